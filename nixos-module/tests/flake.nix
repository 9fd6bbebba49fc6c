{
  description = "Stands in for nixpkgs, to look at the flake where that is not to be had";

  # Packages are derivations that nobody can build, and a configuration is
  # evaluated as far as ./nixos goes.
  outputs =
    _:
    let
      derived =
        system: name: values:
        derivation {
          inherit name system;
          builder = "nobody";
          # To be known, these have to be evaluated.
          values = builtins.toJSON values;
        };

      # The oldest that compiles aquatic.
      rustcVersion = "1.92.0";

      lib = import ./lib // {
        importTOML = path: builtins.fromTOML (builtins.readFile path);
        replaceStrings = builtins.replaceStrings;
        licenses.asl20.spdxId = "Apache-2.0";
        trivial.release = "25.11";
        fileset = {
          toSource = { root, ... }: root;
          unions = paths: paths;
        };

        nixosSystem =
          { modules }:
          let
            evaluated = lib.evalModules {
              modules = modules ++ [
                ./nixos
                { _module.args = { inherit (lib.trivial) release; }; }
                (
                  { config, ... }:
                  {
                    options.system.build.toplevel = lib.mkOption { type = lib.types.package; };
                    config._module.args.pkgs = packagesFor config.nixpkgs.hostPlatform;
                    config.system.build.toplevel = toplevel config;
                  }
                )
              ];
            };
          in
          evaluated;
      };

      toplevel =
        config:
        let
          failed = lib.filter (one: !one.assertion) config.assertions;
        in
        assert failed == [ ];
        derived config.nixpkgs.hostPlatform "nixos-system" [
          (lib.mapAttrs (_: unit: unit.text) config.systemd.units)
          config.networking.firewall
          config.security.acme
          (lib.mapAttrs (_: entry: "${entry.source}") config.environment.etc)
        ];

      packagesFor =
        system:
        let
          package = name: derived system name [ ];
          # What is passed through, such as tests, may need the package itself.
          built =
            name: arguments: more:
            let
              passthru = arguments.passthru or { };
            in
            derived system name [
              (removeAttrs arguments [ "passthru" ])
              more
            ]
            // passthru
            // {
              inherit passthru;
              inherit (arguments) meta;
            };
          packages =
            import ./packages.nix { inherit lib; }
            // lib.genAttrs [
              "aria2"
              "bash"
              "cargo-deny"
              "clippy"
              "coreutils"
              "curl"
              "findutils"
              "gitMinimal"
              "glibcLocales"
              "gnugrep"
              "gnused"
              "installShellFiles"
              "iproute2"
              "nixfmt"
              "redis"
              "rustfmt"
              "systemd"
              "transmission_4"
              "valkey"
            ] package
            // {
              stdenv = {
                buildPlatform.canExecute = _: true;
                hostPlatform = { inherit system; };
              };
              callPackage =
                path: arguments:
                let
                  function = import path;
                in
                function (builtins.intersectAttrs (builtins.functionArgs function) packages // arguments);
              formats.toml = _: { generate = derived system; };
              linkFarm = derived system;
              mkShell = arguments: derived system "shell" arguments.packages;
              runCommandLocal =
                name: environment: script:
                derived system name [
                  environment
                  script
                ];
              nixosOptionsDoc =
                { options }:
                {
                  optionsCommonMark = derived system "options" (lib.attrNames options.services.aquatic);
                };
              runCommand = built;
              rustPlatform.buildRustPackage = arguments: built arguments.pname arguments [ ];
              rustc.version = rustcVersion;
              symlinkJoin = arguments: built arguments.name arguments [ ];
              testers.testVersion = { package }: derived system "${package.name}-test-version" [ package ];
              testers.runNixOSTest =
                test:
                derived system "vm-test-run-${test.name}" [
                  test.testScript
                  (lib.mapAttrs (
                    _: node:
                    (lib.nixosSystem {
                      modules = [
                        node
                        {
                          config.nixpkgs.hostPlatform = system;
                        }
                      ];
                    }).config.systemd.units
                  ) test.nodes)
                ];
              writeText = derived system;
            };
        in
        packages;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "aarch64-linux" "x86_64-linux" ] packagesFor;
    };
}
