# One swarm for several hosts: keys of [cluster] for all daemons, and a server of this host
# through which they share their peers.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.aquatic;
  inherit (cfg.cluster) engine passwordFile;
  # The same for all daemons, except what each has for itself.
  keys = removeAttrs (import ./settings.nix { inherit lib; } "udp").cluster [
    "node"
    "password_file"
  ];
in
{
  _file = toString ./cluster.nix;

  options.services.aquatic.cluster = keys // {
    passwordFile = mkOption {
      type = types.nullOr (types.strMatching "/.*");
      default = null;
      example = "/run/secrets/aquatic-engine";
      description = ''
        File outside the store with the password for the server, which only root has to be
        able to read: the daemons get it as a credential of systemd. Restart them after
        changing it.
      '';
    };

    engine = {
      enable = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = ''
          Whether to run a server on this host, through which its daemons share their peers:
          {option}`services.redis.servers.aquatic`. For other hosts, set `bind`, `port`,
          `openFirewall` and `requirePassFile` of it.
        '';
      };

      package = lib.mkPackageOption pkgs "valkey" { };

      appendOnly = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether the server writes every change to disk. The daemons have all peers
          themselves, and send them again if the server has lost them, so this only costs.
        '';
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = passwordFile == null || !lib.hasPrefix builtins.storeDir passwordFile;
        message = ''
          services.aquatic.cluster.passwordFile is in the store, which is world-readable.
          Keep the password in a file outside the store.
        '';
      }
    ];

    services.aquatic.cluster.url = lib.mkIf engine.enable (
      lib.mkDefault "redis+unix://${config.services.redis.servers.aquatic.unixSocket}"
    );

    services.redis = lib.mkIf engine.enable {
      package = lib.mkDefault engine.package;
      servers.aquatic = {
        enable = true;
        inherit (engine) appendOnly;
        save = lib.mkDefault [ ];
        # With any other policy, it could delete the swarm.
        settings.maxmemory-policy = "noeviction";
      };
    };
  };
}
