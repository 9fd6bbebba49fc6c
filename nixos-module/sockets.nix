# The sockets that systemd opens for a daemon: one for each address and worker, and
# one for metrics. The same as what the generators of the packages for other
# distributions make of a configuration, which a test compares.
{
  lib,
  daemon,
  unit,
  settings,
}:
let
  inherit (settings) network;
  isUdp = daemon.transport == "udp";
  inherit (import ./addresses.nix { inherit lib; }) plain;
  listen = lib.concatMap (
    address: lib.genList (_: plain address) settings.socket_workers
  ) network.address;

  everySocket = {
    # IPv4 addresses stand in the configuration apart.
    BindIPv6Only = "ipv6-only";
    # An address may come up after this unit.
    FreeBind = true;
  };
in
{
  ${unit} = {
    description = "Sockets of the ${daemon.title}";
    documentation = [
      "man:${unit}(8)"
      "man:${unit}.toml(5)"
    ];
    wantedBy = [ "sockets.target" ];
    # When this is started again after a failure, the service is, too.
    wants = [ "${unit}.service" ];
    # Sockets that are opened again several times in seconds count as more starts than
    # systemd allows by default.
    unitConfig = {
      StartLimitIntervalSec = 10;
      StartLimitBurst = 30;
    };
    listenDatagrams = lib.optionals isUdp listen;
    listenStreams = lib.optionals (!isUdp) listen;
    socketConfig =
      everySocket
      // {
        # The kernel spreads what arrives over the sockets of an address.
        ReusePort = true;
      }
      // lib.optionalAttrs (isUdp && network.socket_recv_buffer_size > 0) {
        # systemd may go beyond net.core.rmem_max, and the service may not.
        ReceiveBuffer = network.socket_recv_buffer_size;
      }
      // lib.optionalAttrs (!isUdp) {
        Backlog = network.tcp_backlog;
      };
  };
}
// lib.optionalAttrs (settings.metrics.address != "") {
  "${unit}-metrics" = {
    description = "Metrics socket of ${unit}";
    partOf = [ "${unit}.socket" ];
    listenStreams = [ (plain settings.metrics.address) ];
    socketConfig = everySocket // {
      FileDescriptorName = "metrics";
      Service = "${unit}.service";
    };
  };
}
