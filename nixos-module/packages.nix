# The packages: one for each daemon, one of the load tests, and one of all.
{
  lib,
  gitMinimal,
  installShellFiles,
  rustPlatform,
  symlinkJoin,
}:
let
  inherit ((lib.importTOML ../Cargo.toml).workspace.package) version;

  meta = {
    license = lib.licenses.asl20;
    maintainers = [ ];
    # io_uring, epoll and much else that only Linux has.
    platforms = [
      "aarch64-linux"
      "x86_64-linux"
    ];
  };

  build =
    {
      pname,
      crate,
      programs,
      # Manual pages besides those of the programs.
      pages ? [ ],
      description,
    }:
    rustPlatform.buildRustPackage {
      inherit pname version;

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

      cargoBuildFlags = [
        "--package=${crate}"
      ]
      ++ map (program: "--bin=${program}") programs;

      nativeBuildInputs = [
        # glommio runs it when it is built, whatever comes of that.
        gitMinimal
        installShellFiles
      ];

      # They start daemons, make networks and run BitTorrent clients.
      doCheck = false;

      postInstall =
        lib.concatMapStrings (program: ''
          ln -s ${program} $out/bin/${lib.replaceStrings [ "-" ] [ "_" ] program}
          installManPage man/${program}.*
        '') programs
        + lib.concatMapStrings (page: ''
          installManPage man/${page}
        '') pages;

      doInstallCheck = true;
      installCheckPhase = ''
        runHook preInstallCheck
        ${lib.concatMapStrings (program: ''
          $out/bin/${program} --version | grep -F ${version}
          $out/bin/${program} -p > ${program}.toml
          $out/bin/${program} -c ${program}.toml -P > /dev/null
        '') programs}
        runHook postInstallCheck
      '';

      meta = meta // {
        inherit description;
        mainProgram = lib.head programs;
      };
    };

  daemon =
    name:
    { title, ... }:
    build {
      pname = "aquatic-${name}";
      crate = "aquatic_${name}";
      programs = [ "aquatic-${name}" ];
      pages = [ "aquatic-access-list.5" ];
      description = title;
    };

  daemons = import ./daemons.nix;

  separate =
    lib.mapAttrs' (name: value: lib.nameValuePair "aquatic-${name}" (daemon name value)) daemons
    // {
      aquatic-load-test = build {
        pname = "aquatic-load-test";
        crate = "aquatic_load_test";
        programs = map (name: "aquatic-${name}-load-test") (lib.attrNames daemons);
        description = "Load tests for BitTorrent trackers";
      };
    };
in
separate
// {
  aquatic = symlinkJoin {
    name = "aquatic-${version}";
    paths = lib.attrValues separate;
    meta = meta // {
      description = "BitTorrent trackers over UDP, HTTP and WebTorrent, and load tests for them";
    };
  };
}
