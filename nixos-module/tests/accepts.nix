# Whether each of some options, by its path, takes a value.
{
  lib ? import ./lib,
  cases,
}:
map (
  { path, value }:
  let
    at = builtins.foldl' (inner: name: { ${name} = inner; }) value (reversed path);
    reversed = list: lib.genList (i: builtins.elemAt list (lib.length list - 1 - i)) (lib.length list);
    inherit
      (import ./evaluate.nix {
        inherit lib;
        configuration = at;
      })
      config
      ;
    found = builtins.foldl' (set: name: set.${name}) config path;
  in
  (builtins.tryEval (builtins.deepSeq found true)).success
) cases
