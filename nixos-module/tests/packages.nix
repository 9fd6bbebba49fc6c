# The packages that the module uses. They are never built: a path in them stands
# for the file, and a derivation made of texts carries them.
#
# `generation` is in all their paths, as the state of nixpkgs is; `overlay` names those
# that an overlay adds to it.
{
  lib,
  generation ? "0",
  overlay ? [ ],
}:
let
  toTOML = import ./toml.nix;
  package = name: {
    type = "derivation";
    inherit name;
    outPath = "${builtins.storeDir}/${lib.concatStrings (lib.genList (_: generation) 32)}-${name}";
    meta.mainProgram = name;
  };
  # The name of a file of NixOS depends on its content and on what has written it, and
  # so does this one's.
  file =
    name: content: extra:
    package name
    // {
      outPath = "${builtins.storeDir}/${
        builtins.substring 0 32 (builtins.hashString "sha256" (generation + content))
      }-${name}";
    }
    // extra;
  packages = {
    inherit lib;
    stdenv = {
      buildPlatform.canExecute = _: true;
      hostPlatform.system = "x86_64-linux";
    };
    formats.toml = _: {
      generate =
        name: value:
        let
          text = toTOML value;
        in
        file name text { inherit text; };
    };
    writeText = name: text: file name text { inherit text; };
    runCommandLocal =
      name: environment: script:
      file name "${toString environment.config}${script}" {
        inherit script;
        inherit (environment.config) text;
      };
  }
  // lib.genAttrs overlay package
  // lib.genAttrs [
    "bash"
    "coreutils"
    "findutils"
    "glibcLocales"
    "gnugrep"
    "gnused"
    "redis"
    "systemd"
    "valkey"
  ] package;
in
packages
