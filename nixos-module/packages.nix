# The packages: one for each daemon, one of aquatic-keys, one of the load tests, one of
# what they share, and one of all.
{
  lib,
  gitMinimal,
  installShellFiles,
  runCommand,
  rustPlatform,
  rustc,
  symlinkJoin,
  testers,
}:
let
  inherit ((lib.importTOML ../Cargo.toml).workspace.package) repository rust-version version;
  daemons = import ./daemons.nix;

  loadTests = map (name: "aquatic-${name}-load-test") (lib.attrNames daemons);
  programs = map (name: "aquatic-${name}") (lib.attrNames daemons) ++ loadTests;

  meta = {
    homepage = repository;
    changelog = "${repository}/blob/v${version}/CHANGELOG.md";
    license = lib.licenses.asl20;
    maintainers = [ ];
    # io_uring, epoll and much else that only Linux has.
    platforms = [
      "aarch64-linux"
      "x86_64-linux"
    ];
  };

  # All programs and manual pages. Compiled once, of which the packages have copies.
  workspace = rustPlatform.buildRustPackage {
    pname = "aquatic-workspace";
    inherit version;

    src = lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions [
        ../Cargo.lock
        ../Cargo.toml
        ../crates
        ../man
        # A member of the workspace.
        ../packaging/tests
      ];
    };
    cargoLock.lockFile = ../Cargo.lock;

    cargoBuildFlags =
      map (name: "--package=aquatic_${name}") (
        lib.attrNames daemons
        ++ [
          "keys"
          "load_test"
        ]
      )
      ++ map (program: "--bin=${program}") (programs ++ [ "aquatic-keys" ]);

    nativeBuildInputs = [
      # glommio runs it when it is built, whatever comes of that.
      gitMinimal
      installShellFiles
    ];

    # They start daemons, make networks and run BitTorrent clients.
    doCheck = false;

    postInstall = ''
      installManPage man/*
    '';

    doInstallCheck = true;
    installCheckPhase = ''
      runHook preInstallCheck
      ${lib.concatMapStrings (program: ''
        $out/bin/${program} --version | grep -F ${version}
        $out/bin/${program} -p > ${program}.toml
        $out/bin/${program} -c ${program}.toml -P > /dev/null
      '') programs}
      $out/bin/aquatic-keys --version | grep -F ${version}
      runHook postInstallCheck
    '';

    meta = meta // {
      description = "All programs of aquatic, as they are compiled";
    };
  };

  # Said before anything is compiled, and not by cargo at the end of a long list.
  compiled =
    if lib.versionOlder rustc.version rust-version then
      throw ''
        aquatic needs rustc ${rust-version} or later, and this nixpkgs has ${rustc.version}.
        Take the packages of a newer nixpkgs, such as nixos-unstable, or override
        rustc and rustPlatform with those of an overlay of Rust.
      ''
    else
      workspace;

  package =
    {
      pname,
      description,
      programs ? [ ],
      # Manual pages besides those of the programs and of their configurations.
      pages ? [ ],
      passthru ? { },
    }:
    let
      self =
        runCommand "${pname}-${version}"
          {
            inherit pname version;
            passthru = passthru // {
              tests = lib.optionalAttrs (programs != [ ]) {
                version = testers.testVersion { package = self; };
              };
            };
            meta =
              meta
              // {
                inherit description;
              }
              // lib.optionalAttrs (programs != [ ]) { mainProgram = lib.head programs; };
          }
          ''
            mkdir -p $out
            ${lib.concatMapStrings (program: ''
              install -D --mode=755 --target-directory=$out/bin ${compiled}/bin/${program}
              ln -s ${program} $out/bin/${lib.replaceStrings [ "-" ] [ "_" ] program}
            '') programs}
            for page in ${
              lib.concatMapStringsSep " " (page: "${compiled}/share/man/man*/${page}.*") (programs ++ pages)
            }; do
              section=$(basename "$(dirname "$page")")
              install -D --mode=644 --target-directory="$out/share/man/$section" "$page"
            done
          '';
    in
    self;

  common = package {
    pname = "aquatic-common";
    description = "Manual pages about access lists, accounting, clusters and metrics of aquatic";
    pages = [
      "aquatic-access-list"
      "aquatic-accounting"
      "aquatic-cluster"
      "aquatic-metrics"
    ];
  };

  separate =
    lib.mapAttrs' (
      name:
      { title, ... }:
      lib.nameValuePair "aquatic-${name}" (package {
        pname = "aquatic-${name}";
        description = title;
        programs = [ "aquatic-${name}" ];
        # Whoever installs several daemons has this once.
        passthru = { inherit common; };
      })
    ) daemons
    // {
      aquatic-common = common;
      aquatic-keys = package {
        pname = "aquatic-keys";
        description = "Keys of clients for private BitTorrent trackers";
        programs = [ "aquatic-keys" ];
      };
      aquatic-load-test = package {
        pname = "aquatic-load-test";
        description = "Load tests for BitTorrent trackers";
        programs = loadTests;
      };
    };

  # With these packages, whatever a host has.
  module = {
    imports = [ ./. ];
    services.aquatic = lib.mapAttrs (name: _: {
      package = lib.mkDefault separate."aquatic-${name}";
    }) daemons;
  };
in
separate
// {
  aquatic = symlinkJoin {
    name = "aquatic-${version}";
    paths = lib.attrValues separate;
    # On virtual machines, for whoever has KVM.
    passthru.tests = lib.mapAttrs (
      _: test:
      testers.runNixOSTest (
        import test {
          inherit module;
          inherit (separate) aquatic-load-test;
        }
      )
    ) (import ./tests/machines);
    meta = meta // {
      description = "BitTorrent trackers over UDP, HTTP and WebTorrent, and load tests for them";
      mainProgram = "aquatic-udp";
    };
  };
}
