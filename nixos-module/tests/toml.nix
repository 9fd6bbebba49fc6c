# A value as TOML. Keys of a table come before the tables in it, so that none of
# them ends up in another table.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    isAttrs
    isBool
    isInt
    isList
    isString
    match
    toJSON
    ;

  key = name: if match "[A-Za-z0-9_-]+" name != null then name else toJSON name;

  scalar =
    value:
    if isBool value then
      (if value then "true" else "false")
    else if isInt value then
      toString value
    else if isString value then
      # The escapes of JSON are escapes of TOML.
      toJSON value
    else if isList value then
      "[${concatStringsSep ", " (map scalar value)}]"
    else if isAttrs value then
      # Within a list.
      "{ ${concatStringsSep ", " (map (name: "${key name} = ${scalar value.${name}}") (attrNames value))} }"
    else
      throw "there is no need yet to write a ${builtins.typeOf value} as TOML";

  table =
    path: set:
    let
      names = attrNames set;
      keys = filter (name: !isAttrs set.${name}) names;
      tables = filter (name: isAttrs set.${name}) names;
    in
    concatStringsSep "" (
      map (name: "${key name} = ${scalar set.${name}}\n") keys
      ++ map (
        name:
        let
          inner = path ++ [ (key name) ];
        in
        "\n[${concatStringsSep "." inner}]\n" + table inner set.${name}
      ) tables
    );
in
table [ ]
