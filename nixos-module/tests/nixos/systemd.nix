# systemd.services and systemd.sockets, typed as in a release of NixOS, and the text
# of their units as it writes it.
{
  config,
  lib,
  pkgs,
  release,
  ...
}:
let
  cfg = config.systemd;

  # What is declared here and not there hides faults, so it comes with its release.
  hasEnableDefaultPath = !lib.versionOlder release "26.05";

  inherit (lib)
    concatMapStrings
    concatStrings
    mapAttrsToList
    mkOption
    optionalAttrs
    optionalString
    types
    ;

  unitNames = mkOption {
    type = types.listOf (
      types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)"
    );
    default = [ ];
  };
  strings = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };
  triggers = mkOption {
    type = types.listOf types.unspecified;
    default = [ ];
  };
  switch =
    default:
    mkOption {
      type = types.bool;
      inherit default;
    };
  # Directives of a section; a list is as many lines.
  directives = mkOption {
    type = types.attrsOf (
      let
        one = types.oneOf [
          types.bool
          types.int
          types.str
          types.path
          types.package
        ];
      in
      types.either one (types.listOf one)
    );
    default = { };
  };

  environment = mkOption {
    type = types.attrsOf (
      types.nullOr (
        types.oneOf [
          types.str
          types.path
          types.package
        ]
      )
    );
    default = { };
  };

  # What becomes a directive of [Unit].
  relations = {
    After = "after";
    Before = "before";
    BindsTo = "bindsTo";
    Conflicts = "conflicts";
    Documentation = "documentation";
    PartOf = "partOf";
    Requires = "requires";
    Wants = "wants";
  };

  # A change of what a trigger holds changes the unit.
  triggerFile =
    kind: name: content:
    pkgs.writeText "${kind}-${name}" (toString content);

  unit =
    { config, name, ... }:
    {
      options =
        lib.genAttrs (lib.filter (option: option != "documentation") (lib.attrValues relations)) (
          _: unitNames
        )
        // {
          enable = switch true;
          description = mkOption {
            type = types.singleLineStr;
            default = "";
          };
          documentation = strings;
          wantedBy = unitNames;
          unitConfig = directives;
        };
      config.unitConfig =
        lib.concatMapAttrs (
          directive: option:
          optionalAttrs (config.${option} != [ ]) { ${directive} = toString config.${option}; }
        ) relations
        // optionalAttrs (config.description != "") { Description = config.description; };
    };

  service =
    { config, name, ... }:
    {
      options = {
        environment = environment;
        path = mkOption {
          type = types.listOf types.package;
          default = [ ];
        };
        reloadTriggers = triggers;
        restartIfChanged = switch true;
        restartTriggers = triggers;
        serviceConfig = directives;
        stopIfChanged = switch true;
      }
      // optionalAttrs hasEnableDefaultPath { enableDefaultPath = switch true; };
      # The tools that every service has in its path, unless it says that it has none.
      config.path = lib.mkIf (config.enableDefaultPath or true) [
        pkgs.coreutils
        pkgs.findutils
        pkgs.gnugrep
        pkgs.gnused
        cfg.package
      ];
      config.unitConfig =
        optionalAttrs (config.reloadTriggers != [ ]) {
          X-Reload-Triggers = triggerFile "X-Reload-Triggers" name config.reloadTriggers;
        }
        // optionalAttrs (config.restartTriggers != [ ]) {
          X-Restart-Triggers = triggerFile "X-Restart-Triggers" name config.restartTriggers;
        };
    };

  socket.options = {
    listenDatagrams = strings;
    listenStreams = strings;
    socketConfig = directives;
  };

  value = one: if builtins.isBool one then lib.boolToString one else toString one;
  line = name: one: "${name}=${value one}\n";
  directivesOf =
    set:
    concatStrings (
      mapAttrsToList (directive: values: concatMapStrings (line directive) (lib.toList values)) set
    );
  section = name: set: "[${name}]\n" + directivesOf set;
  install =
    unit: optionalString (unit.wantedBy != [ ]) "\n[Install]\nWantedBy=${toString unit.wantedBy}\n";

  environmentOf =
    service:
    cfg.globalEnvironment
    // optionalAttrs (service.path != [ ]) {
      PATH = lib.concatMapStringsSep ":" (package: "${package}/bin") service.path;
    }
    // service.environment;

  serviceText =
    service:
    section "Unit" service.unitConfig
    + "\n[Service]\n"
    + concatStrings (
      mapAttrsToList (
        name: text:
        optionalString (text != null) (line "Environment" (builtins.toJSON "${name}=${toString text}"))
      ) (environmentOf service)
    )
    + optionalString (!service.restartIfChanged) (line "X-RestartIfChanged" false)
    + optionalString (!service.stopIfChanged) (line "X-StopIfChanged" false)
    + directivesOf service.serviceConfig
    + install service;

  socketText =
    socket:
    section "Unit" socket.unitConfig
    + "\n"
    + section "Socket" socket.socketConfig
    + concatMapStrings (line "ListenDatagram") socket.listenDatagrams
    + concatMapStrings (line "ListenStream") socket.listenStreams
    + install socket;
in
{
  options.systemd = {
    globalEnvironment = environment;
    package = mkOption {
      type = types.package;
      default = pkgs.systemd;
    };
    services = mkOption {
      type = types.attrsOf (
        types.submodule [
          unit
          service
        ]
      );
      default = { };
    };
    sockets = mkOption {
      type = types.attrsOf (
        types.submodule [
          unit
          socket
        ]
      );
      default = { };
    };
  };

  options.systemd.units = mkOption {
    type = types.attrsOf (
      types.submodule (
        { config, name, ... }:
        {
          options.text = mkOption { type = types.str; };
          options.unit = mkOption { type = types.package; };
          config.unit = pkgs.writeText name config.text;
        }
      )
    );
    default = { };
  };

  # As on every host; the first is in another place with every nixpkgs.
  config.systemd.globalEnvironment = {
    LOCALE_ARCHIVE = "${pkgs.glibcLocales}/lib/locale/locale-archive";
    TZDIR = "/etc/zoneinfo";
  };

  config.systemd.units =
    lib.mapAttrs' (
      name: service: lib.nameValuePair "${name}.service" { text = serviceText service; }
    ) config.systemd.services
    // lib.mapAttrs' (
      name: socket: lib.nameValuePair "${name}.socket" { text = socketText socket; }
    ) config.systemd.sockets;
}
