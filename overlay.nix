# The packages, laid over nixpkgs. For those without flakes:
#
#     nixpkgs.overlays = [ (import ./aquatic/overlay.nix) ];
#     imports = [ ./aquatic/nixos-module ];
final: _:
let
  all = final.callPackage ./nixos-module/packages.nix { };
  daemons = builtins.attrNames (import ./nixos-module/daemons.nix);
  # Written out, because the names of an overlay must not depend on the packages that
  # it is laid over.
  names = [
    "aquatic"
    "aquatic-common"
    "aquatic-load-test"
  ]
  ++ map (name: "aquatic-${name}") daemons;
in
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = all.${name};
  }) names
)
