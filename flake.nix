{
  description = "BitTorrent trackers over UDP, HTTP and WebTorrent, as services";

  # One with rustc 1.92 or later: nixos-25.11 is too old, which the packages say.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
      forEachSystem = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      daemons = lib.mapAttrs (name: _: "aquatic-${name}") (import ./nixos-module/daemons.nix);

      packages = pkgs: import ./overlay.nix pkgs pkgs;

      # The examples of the documentation and of the tests, each a configuration.
      examples = import ./nixos-module/examples;

      # A host with what NixOS insists on.
      host =
        system: configuration:
        lib.nixosSystem {
          modules = [
            self.nixosModules.default
            configuration
            {
              boot.loader.grub.enable = false;
              fileSystems."/".device = "tmpfs";
              nixpkgs.hostPlatform = system;
              system.stateVersion = lib.trivial.release;
            }
          ];
        };
    in
    {
      packages = forEachSystem (
        pkgs:
        let
          all = packages pkgs;
        in
        all // { default = all.aquatic; }
      );

      overlays.default = import ./overlay.nix;

      nixosModules.default =
        { lib, pkgs, ... }:
        {
          # Imported twice, it is one module still.
          key = "${toString ./flake.nix}#nixosModules.default";
          _file = toString ./flake.nix;
          imports = [ ./nixos-module ];
          # Without the overlay, too.
          services.aquatic = lib.mapAttrs (_: name: {
            package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.${name};
          }) daemons;
        };

      nixosConfigurations.appliance = lib.nixosSystem {
        modules = [
          self.nixosModules.default
          ./nixos-module/appliance.nix
        ];
      };

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.aquatic-udp ];
          packages = [
            pkgs.aria2
            pkgs.cargo-deny
            pkgs.clippy
            pkgs.iproute2
            pkgs.nixfmt
            pkgs.rustfmt
            pkgs.transmission_4
          ];
        };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt);

      # What the module makes of the examples with NixOS as it is. To build it,
      # each daemon has to accept its configuration.
      checks = forEachSystem (
        pkgs:
        let
          inherit (pkgs.stdenv.hostPlatform) system;
          files =
            configuration:
            let
              inherit (host system configuration) config;
              ours = lib.filterAttrs (name: _: lib.hasPrefix "aquatic" name);
            in
            lib.mapAttrsToList (name: unit: {
              name = "units/${name}";
              path = "${unit.unit}/${name}";
            }) (ours config.systemd.units)
            ++ lib.mapAttrsToList (name: entry: {
              name = "etc/${name}";
              path = entry.source;
            }) (ours config.environment.etc);
        in
        lib.mapAttrs' (
          name: configuration:
          lib.nameValuePair "module-${name}" (pkgs.linkFarm "aquatic-module-${name}" (files configuration))
        ) examples
      );

      legacyPackages = forEachSystem (pkgs: {
        # Every option with its documentation: nix build .#options
        options =
          (pkgs.nixosOptionsDoc {
            options =
              let
                evaluated = lib.evalModules {
                  modules = [
                    ./nixos-module
                    {
                      _module.args.pkgs = pkgs;
                      # The options of NixOS itself are missing.
                      _module.check = false;
                    }
                  ];
                };
              in
              removeAttrs evaluated.options [ "_module" ];
          }).optionsCommonMark;

        # Virtual machines, for whoever has KVM: nix build .#nixosTests.transfer
        nixosTests = self.packages.${pkgs.stdenv.hostPlatform.system}.aquatic.tests;
      });
    };
}
