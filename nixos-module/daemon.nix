# One daemon: its options, its configuration file, its socket and its service.
{ name, daemon }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  aquatic = config.services.aquatic;
  cfg = aquatic.${name};
  unit = "aquatic-${name}";
  option = "services.aquatic.${name}";
  network = cfg.settings.network;
  useACMEHost = cfg.useACMEHost or null;
  certificate = config.security.acme.certs.${useACMEHost};
  certificateUnits = lib.optional (useACMEHost != null) "acme-${useACMEHost}.service";

  # A submodule of which values are given, and not the path of a module: that of a list
  # would be imported.
  valuesOf =
    let
      onlyValues =
        type:
        types.addCheck type builtins.isAttrs
        // {
          substSubModules = modules: onlyValues (type.substSubModules modules);
        };
    in
    module: onlyValues (types.submodule module);

  settingsOptions =
    let
      generated = import ./settings.nix { inherit lib; } name;
    in
    generated
    // {
      socket_workers = generated.socket_workers // {
        # systemd opens a socket for each worker, so 0, which leaves their number
        # to the machine, is out of range.
        type = types.ints.between 1 1024;
        default = 1;
        description = ''
          Number of worker threads. systemd opens one socket per worker and
          address before the service starts, so the number has to be set
          explicitly; there is no benefit in exceeding the number of CPU cores.
        '';
      };
    };

  # Settings with the names of today for options that had others.
  rename =
    settings:
    lib.foldl' (
      all:
      {
        section,
        from,
        to,
      }:
      let
        keys = all.${section} or { };
      in
      if keys ? ${from} then
        lib.warn
          "${option}.settings.${section}.${from} has been renamed to ${option}.settings.${section}.${to}."
          (
            all
            // {
              ${section} = {
                ${to} = keys.${from};
              }
              // removeAttrs keys [ from ];
            }
          )
      else
        all
    ) settings ((import ./renamed.nix).${name} or [ ]);

  # The access list.
  list = cfg.accessList;
  isDeclared = list != null && list.infoHashes != null;
  listName = "aquatic/${unit}.access-list";
  listFile = pkgs.writeText "${unit}.access-list" (
    lib.concatMapStrings (infoHash: infoHash + "\n") list.infoHashes
  );

  # The configuration file.
  configName = "aquatic/${unit}.toml";
  uncheckedConfig = (pkgs.formats.toml { }).generate "${unit}.toml" cfg.settings;
  program = lib.getExe' cfg.package unit;
  checkedConfig =
    pkgs.runCommandLocal "${unit}.toml"
      {
        config = uncheckedConfig;
      }
      ''
        # -P reads the file and checks every value, but opens none of the files
        # that it names.
        ${program} -c "$config" -P > /dev/null
        cp "$config" "$out"
      '';
  configFile = if aquatic.checkConfig then checkedConfig else uncheckedConfig;

  # The settings that take effect at a restart only; others do at a reload.
  settingsOfStart = map (
    section:
    let
      settings = if section.name == "" then cfg.settings else cfg.settings.${section.name};
      keys = map (key: key.name) (lib.filter (key: key.needs_restart) section.keys);
    in
    lib.genAttrs keys (key: settings.${key})
  ) (lib.importJSON ./settings.json).${name}.sections;

  # The addresses.
  addresses = import ./addresses.nix { inherit lib; };
  withoutPort = lib.filter (address: addresses.parse address == null) network.address;
  ports = lib.unique (
    map (address: address.port) (
      lib.filter (address: address != null && !address.isLoopback) (map addresses.parse network.address)
    )
  );

  # The server through which peers are shared.
  sharesPeers = settingsOptions ? cluster;
  url = cfg.settings.cluster.url or "";
  inherit (aquatic.cluster) passwordFile;
  passwordName = "cluster-password";
  destination = import ./destination.nix {
    inherit lib;
    inherit (config.users) groups;
  } url;

  service = import ./service.nix { inherit unit daemon url; };
  sockets = import ./sockets.nix {
    inherit lib daemon unit;
    inherit (cfg) settings;
  };
  socketUnits = map (name: "${name}.socket") (lib.attrNames sockets);
  # The tracker can do without the socket for metrics.
  wantedSocketUnits = builtins.filter (name: name != "${unit}.socket") socketUnits;
  # What tells sockets from those that are open.
  socketsName = "aquatic/${unit}.sockets";
  socketsFile = pkgs.writeText "${unit}.sockets" (
    lib.concatMapStrings
      (
        name:
        (
          if sockets ? ${name} then
            builtins.toJSON {
              inherit (sockets.${name}) socketConfig;
              datagrams = sockets.${name}.listenDatagrams or [ ];
              streams = sockets.${name}.listenStreams or [ ];
            }
          else
            "none"
        )
        + "\n"
      )
      [
        unit
        "${unit}-metrics"
      ]
  );
  # The same on every host and in every release: with any other text, a switch would
  # not reload it but restart it.
  reopenSockets = "/run/current-system/sw/bin/sh /etc/aquatic/reopen-sockets ${unit}";
in
{
  _file = toString ./daemon.nix;

  options.services.aquatic.${name} = {
    enable = lib.mkEnableOption "${unit}, a ${daemon.title}" // {
      default = daemon.nixos_default;
      example = !daemon.nixos_default;
    };

    package = lib.mkPackageOption pkgs unit { };

    settings = mkOption {
      type = types.coercedTo (types.attrsOf types.anything) rename (valuesOf {
        options = settingsOptions;
      });
      default = { };
      description = ''
        Configuration of ${unit}. Every key of its configuration file is an
        option. A change reloads the service, or restarts it if the key needs that. The file ends up in the store, which is world-readable: give paths
        of files as strings.
      '';
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether to open the ports of {option}`${option}.settings.network.address`
        in the firewall. Ports of loopback addresses and the metrics port stay
        closed.
      '';
    };

    accessList = mkOption {
      default = null;
      description = ''
        Allow list or deny list of torrents; `null` serves all torrents. When the
        list changes, the service is reloaded, not restarted.
      '';
      example = lib.literalExpression ''
        {
          mode = "allow";
          infoHashes = [ "0123456789abcdef0123456789abcdef01234567" ];
        }
      '';
      type = types.nullOr (valuesOf {
        options = {
          mode = mkOption {
            type = types.enum [
              "allow"
              "deny"
            ];
            description = ''
              Whether to serve only torrents on the list, or all others.
            '';
          };
          infoHashes = mkOption {
            type = types.nullOr (types.listOf (types.strMatching "[0-9a-fA-F]{40}|[0-9a-fA-F]{64}"));
            default = null;
            description = ''
              The list: info hashes of 40 hexadecimal digits, or 64 for version 2
              torrents. It ends up in the store, which is world-readable.
            '';
          };
          file = mkOption {
            type = types.nullOr (types.strMatching "/.*");
            default = null;
            example = "/var/lib/tracker/allowed";
            description = ''
              Instead of {option}`infoHashes`, a file outside the store with one
              info hash per line, readable by the group of the service. After
              changing it, run `systemctl reload ${unit}`.
            '';
          };
        };
      });
    };
  }
  // lib.optionalAttrs daemon.has_tls {
    useACMEHost = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "tracker.example.org";
      description = ''
        Name of a certificate in {option}`security.acme.certs` to use for TLS.
        When it is renewed, the service is reloaded, and no connection is
        dropped.
      '';
    };
  };

  config = lib.mkIf (aquatic.enable && cfg.enable) {
    assertions =
      import ./assertions.nix {
        inherit lib option unit;
        inherit (cfg) settings;
        accessList = list;
        inherit (config.systemd.services.${unit}) serviceConfig;
      }
      ++ [
        {
          assertion = withoutPort == [ ];
          message = ''
            ${option}.settings.network.address: ${toString withoutPort} is not an IP address
            and port, such as "0.0.0.0:3000" or "[::]:3000".
          '';
        }
        {
          assertion =
            useACMEHost == null
            || lib.any (name: certificate.${name} or null != null) [
              "dnsProvider"
              "listenHTTP"
              "s3Bucket"
              "webroot"
            ];
          message = ''
            ${option}.useACMEHost: there is no certificate ${useACMEHost}. Describe it in
            security.acme.certs."${useACMEHost}", with how the authority can see that the
            name is yours (listenHTTP, webroot, dnsProvider or s3Bucket).
          '';
        }
      ];

    services.aquatic.${name}.settings = {
      access_list = lib.mkIf (list != null) {
        inherit (list) mode;
        path = lib.mkIf (isDeclared || list.file != null) (
          if isDeclared then "/etc/${listName}" else list.file
        );
      };
    }
    // lib.optionalAttrs sharesPeers {
      cluster =
        # Those that the daemon has.
        lib.mapAttrs (_: lib.mkDefault) (builtins.intersectAttrs settingsOptions.cluster aquatic.cluster)
        // {
          password_file = lib.mkIf (passwordFile != null) (
            lib.mkDefault "/run/credentials/${unit}.service/${passwordName}"
          );
        };
    }
    // lib.optionalAttrs daemon.has_tls {
      network = lib.mkIf (useACMEHost != null) {
        enable_tls = true;
        tls_certificate_path = "${certificate.directory}/fullchain.pem";
        tls_private_key_path = "${certificate.directory}/key.pem";
      };
    };

    environment.etc = {
      ${configName}.source = configFile;
      ${socketsName}.source = socketsFile;
    }
    // lib.optionalAttrs isDeclared {
      ${listName}.source = listFile;
    };

    # Its manual page about access lists is the same for all daemons.
    environment.systemPackages = [
      cfg.package
    ]
    ++ lib.optional (cfg.package ? common) cfg.package.common;

    networking.firewall = lib.mkIf cfg.openFirewall {
      allowedUDPPorts = lib.mkIf (daemon.transport == "udp") ports;
      allowedTCPPorts = lib.mkIf (daemon.transport == "tcp") ports;
    };

    security.acme.certs = lib.mkIf (useACMEHost != null) {
      ${useACMEHost}.reloadServices = [ "${unit}.service" ];
    };

    systemd.sockets = sockets;

    systemd.services.${unit} = {
      description = daemon.title;
      documentation = [
        "man:${unit}(8)"
        "man:${unit}.toml(5)"
      ];
      wantedBy = [ "multi-user.target" ];
      requires = [ "${unit}.socket" ];
      wants = wantedSocketUnits ++ certificateUnits;
      after =
        socketUnits
        ++ [ "network.target" ]
        ++ certificateUnits
        ++ destination.after
        ++ lib.optional (sharesPeers && aquatic.cluster.engine.enable) "redis-aquatic.service";
      path = lib.mkForce [ ];
      # The sockets stay open during a restart, so that no request is lost.
      stopIfChanged = false;
      restartTriggers = [ (builtins.toJSON settingsOfStart) ];
      reloadTriggers = [ configFile ] ++ lib.optional isDeclared listFile;
      inherit (service) environment unitConfig;
      serviceConfig =
        service.serviceConfig
        // destination.serviceConfig
        // {
          ExecStart = "${program} -c /etc/${configName}";
          # When the configuration, the access list or a certificate is not in order,
          # the first step fails, and nothing is read again.
          ExecReload = [
            "${program} --check-config -c /etc/${configName}"
            "${lib.getExe' pkgs.bash "sh"} -c 'kill -USR1 $MAINPID'"
          ];
          User = aquatic.user;
          Group = aquatic.group;
          SupplementaryGroups = lib.optional (useACMEHost != null) certificate.group ++ destination.groups;
          LoadCredential = lib.optional (
            sharesPeers && passwordFile != null
          ) "${passwordName}:${passwordFile}";
        };
    };

    # A switch to another configuration leaves sockets as they are. This one opens
    # them again when their addresses or their number have changed, before the switch
    # restarts services, for which it must be reloaded and not restarted itself.
    systemd.services."${unit}-sockets" = {
      description = "Reopen the sockets of ${unit} when they have changed";
      wantedBy = [ "multi-user.target" ];
      # Also when there are no metrics: this text never varies.
      after = [
        "${unit}.socket"
        "${unit}-metrics.socket"
      ];
      path = lib.mkForce [ ];
      environment = lib.mapAttrs (_: _: null) config.systemd.globalEnvironment;
      reloadTriggers = [ socketsFile ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "${unit}-sockets";
        RuntimeDirectoryPreserve = "restart";
        ExecStart = reopenSockets;
        ExecReload = reopenSockets;
      };
    };
  };
}
