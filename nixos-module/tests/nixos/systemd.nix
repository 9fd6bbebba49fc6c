# systemd.services and systemd.sockets, typed as in NixOS, and the text of their
# units as NixOS writes it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
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
        enableDefaultPath = switch true;
        environment = mkOption {
          type = types.attrsOf types.str;
          default = { };
        };
        path = mkOption {
          type = types.listOf types.package;
          default = [ ];
        };
        reloadTriggers = triggers;
        restartIfChanged = switch true;
        restartTriggers = triggers;
        serviceConfig = directives;
        stopIfChanged = switch true;
      };
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
  section =
    name: set:
    "[${name}]\n"
    + concatStrings (
      mapAttrsToList (directive: values: concatMapStrings (line directive) (lib.toList values)) set
    );
  install =
    unit: optionalString (unit.wantedBy != [ ]) "\n[Install]\nWantedBy=${toString unit.wantedBy}\n";

  # Without the tools that NixOS puts into the path of every service.
  environment =
    service:
    assert !service.enableDefaultPath;
    service.environment
    // optionalAttrs (service.path != [ ]) {
      PATH = lib.concatMapStringsSep ":" (package: "${package}/bin") service.path;
    };

  serviceText =
    service:
    section "Unit" service.unitConfig
    + "\n"
    + section "Service" service.serviceConfig
    + concatStrings (
      mapAttrsToList (name: text: line "Environment" (builtins.toJSON "${name}=${text}")) (
        environment service
      )
    )
    + optionalString (!service.restartIfChanged) (line "X-RestartIfChanged" false)
    + optionalString (!service.stopIfChanged) (line "X-StopIfChanged" false)
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

  config.systemd.units =
    lib.mapAttrs' (
      name: service: lib.nameValuePair "${name}.service" { text = serviceText service; }
    ) config.systemd.services
    // lib.mapAttrs' (
      name: socket: lib.nameValuePair "${name}.socket" { text = socketText socket; }
    ) config.systemd.sockets;
}
