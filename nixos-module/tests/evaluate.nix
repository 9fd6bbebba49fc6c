# What becomes of a NixOS configuration: the files, units and rules that the
# module makes of it, as one value that can be printed.
{
  lib ? import ./lib,
  configuration ? { },
  # The release of NixOS.
  release ? "24.11",
  # Stands for the state of nixpkgs: with another one, all packages are elsewhere in
  # the store. A digit.
  generation ? "0",
}:
let
  pkgs = import ./packages.nix {
    inherit generation lib;
    overlay = map (name: "aquatic-${name}") (builtins.attrNames (import ../daemons.nix));
  };
  inherit
    (lib.evalModules {
      modules = [
        ../.
        ./nixos
        { _module.args = { inherit pkgs release; }; }
        configuration
      ];
    })
    config
    options
    ;
  textOf = source: if builtins.isPath source then builtins.readFile source else source.text;
  failed = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
  result = {
    inherit (config) warnings;
    units = lib.mapAttrs (_: unit: unit.text) config.systemd.units;
    inherit (config.users) groups users;
    etc = lib.mapAttrs (_: entry: textOf entry.source) config.environment.etc;
    # What has to succeed for a file to be made.
    scripts = lib.concatMapAttrs (
      name: entry: lib.optionalAttrs (entry.source ? script) { ${name} = entry.source.script; }
    ) config.environment.etc;
    firewall = {
      tcp = config.networking.firewall.allowedTCPPorts;
      udp = config.networking.firewall.allowedUDPPorts;
    };
    reloadServices = lib.mapAttrs (
      _: certificate: certificate.reloadServices
    ) config.security.acme.certs;
    packages = map (package: package.name) config.environment.systemPackages;
    inherit (config.services) grafana;
    prometheus = config.services.prometheus // {
      ruleFiles = map builtins.readFile config.services.prometheus.ruleFiles;
    };
    redis = config.services.redis // {
      package = config.services.redis.package.name;
    };
  };
in
# As NixOS does before it builds a system.
if failed == [ ] then
  result // { inherit config options; }
else
  throw "\nFailed assertions:\n${lib.concatMapStrings (message: "- ${message}\n") failed}"
