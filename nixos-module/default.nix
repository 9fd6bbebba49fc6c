# The NixOS module: services.aquatic, with one service and one socket for each
# daemon. What all of them share is here; daemon.nix is about a single one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aquatic;
  daemons = import ./daemons.nix;
  enabled = lib.filter (name: cfg.${name}.enable) (lib.attrNames daemons);

  # Addresses over TCP, each with the option that it comes from.
  tcpAddresses = lib.concatMap (
    name:
    let
      option = "services.aquatic.${name}.settings";
      inherit (cfg.${name}.settings) metrics network;
    in
    lib.optionals (daemons.${name}.transport == "tcp") (
      map (address: {
        inherit address;
        option = "${option}.network.address";
      }) network.address
    )
    ++ lib.optional (metrics.address != "") {
      inherit (metrics) address;
      option = "${option}.metrics.address";
    }
  ) enabled;
  inherit (import ./addresses.nix { inherit lib; }) overlap;
  # Pairs of those that cannot be told apart.
  shared = lib.concatLists (
    lib.imap1 (
      number: one:
      map (other: { inherit one other; }) (
        lib.filter (other: one.option != other.option && overlap one.address other.address) (
          lib.drop number tcpAddresses
        )
      )
    ) tcpAddresses
  );
in
{
  imports = [
    ./cluster.nix
    ./monitoring.nix
  ]
  ++ lib.mapAttrsToList (name: daemon: import ./daemon.nix { inherit name daemon; }) daemons;

  options.services.aquatic = {
    enable = lib.mkEnableOption "aquatic, a BitTorrent tracker over UDP, HTTP and WebTorrent";

    user = lib.mkOption {
      type = lib.types.str;
      default = "aquatic";
      description = ''
        User that the daemons run as. It is created if its name is `aquatic`.
      '';
    };

    group = lib.mkOption {
      type = lib.types.str;
      default = "aquatic";
      description = ''
        Group that the daemons run as. It is created if its name is `aquatic`.
      '';
    };

    checkConfig = lib.mkOption {
      type = lib.types.bool;
      default = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
      defaultText = lib.literalExpression "pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform";
      description = ''
        Whether each daemon checks its configuration when the system is built, so
        that errors are found before the running system is changed. Files that the
        configuration refers to exist only on the machine, and are checked when the
        service starts or reloads.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = map (
      { one, other }:
      {
        assertion = false;
        message =
          if one.address == other.address then
            ''
              Two daemons cannot share the TCP address ${one.address}: it is in
              ${one.option} and in ${other.option}.
            ''
          else
            ''
              ${one.address} in ${one.option} and
              ${other.address} in ${other.option} overlap: a connection
              would reach either of the two.
            '';
      }
    ) shared;

    warnings = lib.optional (enabled == [ ]) ''
      services.aquatic.enable is true, but none of its daemons is enabled.
    '';

    environment.etc."aquatic/reopen-sockets" = lib.mkIf (enabled != [ ]) {
      source = ./reopen-sockets;
    };

    users.users = lib.mkIf (cfg.user == "aquatic") {
      aquatic = {
        description = "BitTorrent trackers";
        isSystemUser = true;
        group = cfg.group;
      };
    };

    users.groups = lib.mkIf (cfg.group == "aquatic") {
      aquatic = { };
    };
  };

  meta.maintainers = [ ];
}
