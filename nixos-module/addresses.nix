# What an address says: "0.0.0.0:3000" or "[::]:3000".
{ lib }:
rec {
  # Null if it is none, as far as that can be told here.
  parse =
    address:
    let
      parts = builtins.match "(.+):([0-9]{1,9})" address;
      host = builtins.elemAt parts 0;
      # Leading zeros are no sign of anything.
      port = lib.toIntBase10 (builtins.elemAt parts 1);
    in
    if parts == null || port > 65535 then
      null
    else
      {
        inherit host port;
        isLoopback = builtins.match "127\\..*|\\[::1]" host != null;
        isIPv6 = lib.hasPrefix "[" host;
        isWildcard = host == "0.0.0.0" || host == "[::]";
      };

  # The same address, spelled as systemd and the daemons do.
  plain =
    address:
    let
      parsed = parse address;
    in
    if parsed == null then address else "${parsed.host}:${toString parsed.port}";

  # Whether what is sent to one could also be for the other.
  overlap =
    one: other:
    let
      a = parse one;
      b = parse other;
    in
    if a == null || b == null then
      one == other
    else
      a.port == b.port && a.isIPv6 == b.isIPv6 && (a.host == b.host || a.isWildcard || b.isWildcard);
}
