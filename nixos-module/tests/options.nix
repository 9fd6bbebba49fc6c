# Every option of the module, those in submodules included.
{
  lib ? import ./lib,
}:
let
  inherit (import ./evaluate.nix { inherit lib; }) options;

  walk =
    path: node:
    if lib.isOption node then
      [
        {
          name = lib.concatStringsSep "." path;
          default = node.default or null;
          type = node.type.description;
          isDocumented = node ? description && node.description != "";
        }
      ]
      ++ inside path ((node.type.getSubOptions or (_: { })) path)
    else
      inside path node;

  inside =
    path: set:
    lib.concatMap (name: walk (path ++ [ name ]) set.${name}) (
      lib.filter (name: name != "_module") (lib.attrNames set)
    );
in
walk [ "services" "aquatic" ] options.services.aquatic
