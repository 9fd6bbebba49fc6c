# The part of NixOS that the module, the examples and the tests set: options that
# are typed as far as mistakes would show, and whatever else without a type.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  anything = mkOption {
    type = types.anything;
    default = { };
  };
  listOf =
    type:
    mkOption {
      type = types.listOf type;
      default = [ ];
    };
  attrsOf =
    options:
    mkOption {
      type = types.attrsOf (types.submodule options);
      default = { };
    };
  string =
    default:
    mkOption {
      type = types.str;
      inherit default;
    };
  boolean = mkOption {
    type = types.bool;
    default = false;
  };
  ports = listOf types.port;
in
{
  imports = [ ./systemd.nix ];

  options = {
    assertions = listOf types.unspecified;
    warnings = listOf types.str;
    meta.maintainers = listOf types.unspecified;

    boot.kernel.sysctl = anything;
    boot.loader.grub = {
      device = string "";
      enable = boolean;
    };
    environment.etc = attrsOf (
      { config, name, ... }:
      {
        options = {
          target = string name;
          text = mkOption {
            type = types.nullOr types.lines;
            default = null;
          };
          source = mkOption { type = types.path; };
        };
        config.source = lib.mkIf (config.text != null) (pkgs.writeText name config.text);
      }
    );
    environment.systemPackages = listOf types.package;
    fileSystems = attrsOf {
      options = {
        device = string "";
        fsType = string "auto";
      };
    };
    networking = {
      hostName = string "nixos";
      # Of machines in tests.
      primaryIPAddress = string "192.168.1.1";
      firewall = {
        enable = boolean;
        allowedTCPPorts = ports;
        allowedUDPPorts = ports;
      };
      interfaces = anything;
    };
    nixpkgs.hostPlatform = string "x86_64-linux";
    security.acme = {
      acceptTerms = boolean;
      defaults.email = string "";
      certs = attrsOf (
        { name, ... }:
        {
          options = {
            directory = string "/var/lib/acme/${name}";
            dnsProvider = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
            domain = string name;
            group = string "acme";
            listenHTTP = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
            reloadServices = listOf types.str;
            s3Bucket = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
            webroot = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
          };
        }
      );
    };
    services.grafana = {
      enable = boolean;
      provision = {
        enable = boolean;
        dashboards.settings.providers = listOf types.anything;
        datasources.settings.datasources = listOf types.anything;
      };
    };
    services.nginx = anything;
    services.prometheus = {
      enable = boolean;
      port = mkOption {
        type = types.port;
        default = 9090;
      };
      ruleFiles = listOf types.path;
      scrapeConfigs = listOf types.anything;
    };
    services.redis = {
      package = mkOption {
        type = types.package;
        default = pkgs.redis;
      };
      servers = attrsOf (
        { name, ... }:
        {
          options = {
            enable = boolean;
            appendOnly = boolean;
            bind = mkOption {
              type = types.nullOr types.str;
              default = "127.0.0.1";
            };
            openFirewall = boolean;
            port = mkOption {
              type = types.port;
              default = 0;
            };
            requirePassFile = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
            save = mkOption {
              type = types.listOf types.unspecified;
              default = [ ];
            };
            settings = anything;
            unixSocket = string "/run/redis-${name}/redis.sock";
          };
        }
      );
    };
    specialisation = attrsOf { options.configuration = anything; };
    system.stateVersion = string "";
    system.switch.enable = boolean;
    users.users = attrsOf {
      options = {
        description = string "";
        extraGroups = listOf types.str;
        group = string "";
        isNormalUser = boolean;
        isSystemUser = boolean;
      };
    };
    users.groups = attrsOf { options.members = listOf types.str; };
  };

  # Each server has a group of its own.
  config.users.groups = lib.mapAttrs' (
    name: _: lib.nameValuePair "redis-${name}" { }
  ) config.services.redis.servers;
}
