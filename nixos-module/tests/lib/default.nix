# The part of nixpkgs' lib that the module uses, written anew, so that the tests
# need nothing but Nix. Where nixpkgs is present, they use its own as well.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elem
    filter
    foldl'
    length
    listToAttrs
    match
    stringLength
    substring
    toJSON
    ;

  properties = import ./properties.nix;
  types = import ./types.nix { inherit lib; };
  modules = import ./modules.nix { inherit lib; };

  lib = {
    inherit (builtins)
      any
      attrNames
      attrValues
      concatLists
      concatMap
      concatStringsSep
      elem
      foldl'
      filter
      genList
      head
      length
      listToAttrs
      mapAttrs
      tail
      ;
    inherit types;
    inherit (modules) evalModules;
    inherit (properties)
      mkDefault
      mkForce
      mkIf
      mkMerge
      mkOverride
      ;

    # Attribute sets
    concatMapAttrs = f: set: foldl' (all: name: all // f name set.${name}) { } (attrNames set);
    filterAttrs =
      keep: set:
      listToAttrs (
        map (name: lib.nameValuePair name set.${name}) (
          filter (name: keep name set.${name}) (attrNames set)
        )
      );
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    mapAttrs' = f: set: listToAttrs (lib.mapAttrsToList f set);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    nameValuePair = name: value: { inherit name value; };
    optionalAttrs = condition: set: if condition then set else { };

    # Lists
    drop = count: list: builtins.genList (i: builtins.elemAt list (i + count)) (length list - count);
    imap1 = f: list: builtins.genList (i: f (i + 1) (builtins.elemAt list i)) (length list);
    last = list: builtins.elemAt list (length list - 1);
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: list: if condition then list else [ ];
    singleton = value: [ value ];
    toList = value: if builtins.isList value then value else [ value ];
    unique = foldl' (seen: value: if elem value seen then seen else seen ++ [ value ]) [ ];

    # Strings
    boolToString = value: if value then "true" else "false";
    concatMapStrings = f: list: concatStringsSep "" (map f list);
    concatMapStringsSep =
      separator: f: list:
      concatStringsSep separator (map f list);
    concatStrings = concatStringsSep "";
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removeSuffix =
      suffix: text:
      let
        rest = stringLength text - stringLength suffix;
      in
      if rest >= 0 && substring rest (-1) text == suffix then substring 0 rest text else text;
    optionalString = condition: text: if condition then text else "";
    # Like that of nixpkgs, which takes leading zeros for a sign of octal numbers.
    toInt =
      text:
      if match "0[0-9]+" text != null then
        throw "lib.toInt: \"${text}\" is ambiguous"
      else
        builtins.fromJSON text;
    toIntBase10 =
      text:
      # JSON knows no leading zeros.
      builtins.fromJSON (builtins.elemAt (match "0*([0-9]+)" text) 0);
    versionOlder = one: other: builtins.compareVersions one other < 0;

    # Files
    importJSON = path: builtins.fromJSON (builtins.readFile path);

    # Warnings
    warn = message: builtins.trace "evaluation warning: ${message}";

    # Packages
    getExe' = package: name: "${package}/bin/${name}";

    # Options
    isOption = value: value._type or null == "option";
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    mkEnableOption =
      name:
      lib.mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${name}.";
      };
    mkOption = attributes: attributes // { _type = "option"; };
    mkPackageOption =
      pkgs: name: _:
      lib.mkOption {
        type = types.package;
        default = pkgs.${name};
        description = "The ${name} package to use.";
      };
    showOption =
      loc:
      concatStringsSep "." (
        map (part: if match "[a-zA-Z_][a-zA-Z0-9_'-]*" part != null then part else toJSON part) loc
      );
  };
in
lib
