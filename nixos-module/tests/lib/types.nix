# Types of options. `check` says whether a value may be one, and `merge` makes one
# value of all definitions, which come as { file, value }.
{ lib }:
let
  inherit (builtins)
    all
    concatMap
    filter
    head
    isAttrs
    isFunction
    isInt
    isList
    isString
    length
    match
    substring
    toJSON
    ;
  inherit (import ./properties.nix) strongest;

  isPackage = value: isAttrs value && value.type or null == "derivation";

  show =
    value:
    if isFunction value then
      "<function>"
    else if isPackage value then
      "<derivation ${value.name}>"
    else if builtins.isPath value then
      toString value
    else
      toJSON value;

  showDefinitions = lib.concatMapStrings (
    definition: "\n- In `${toString definition.file}': ${show definition.value}"
  );

  # The value of an option of this type, if every definition is of it.
  mergeChecked =
    type: loc: definitions:
    let
      bad = filter (definition: !type.check definition.value) definitions;
    in
    if bad != [ ] then
      throw "A definition for option `${lib.showOption loc}' is not of type `${type.description}'. Definition values:${showDefinitions bad}"
    else
      type.merge loc definitions;

  # For values that cannot be put together.
  mergeEqual =
    loc: definitions:
    let
      first = (head definitions).value;
    in
    # A single one is not looked into.
    if all (definition: definition.value == first) (lib.tail definitions) then
      first
    else
      throw "The option `${lib.showOption loc}' has conflicting definition values:${showDefinitions definitions}";

  simple = description: check: {
    inherit description check;
    merge = mergeEqual;
  };

  between =
    least: most:
    simple "integer between ${toString least} and ${toString most} (both inclusive)" (
      value: isInt value && value >= least && value <= most
    );

  types = {
    bool = simple "boolean" builtins.isBool;
    int = simple "signed integer" isInt;
    number = simple "signed integer or floating point number" (
      value: isInt value || builtins.isFloat value
    );
    str = simple "string" isString;
    singleLineStr = simple "(optionally newline-terminated) single-line string" (
      value: isString value && match "[^\n]*\n?" value != null
    );
    strMatching =
      pattern:
      simple "string matching the pattern ${pattern}" (
        value: isString value && match pattern value != null
      );
    enum = values: simple "one of ${toJSON values}" (value: builtins.elem value values);
    package = simple "package" isPackage // {
      # Not even the same package twice.
      merge =
        loc: definitions:
        if length definitions == 1 then
          (head definitions).value
        else
          throw "The option `${lib.showOption loc}' is defined multiple times while it's expected to be unique.${showDefinitions definitions}";
    };
    path = simple "absolute path" (
      value: builtins.isPath value || isPackage value || (isString value && substring 0 1 value == "/")
    );
    port = between 0 65535;
    ints = {
      inherit between;
      unsigned = simple "unsigned integer, meaning >=0" (value: isInt value && value >= 0);
      positive = simple "positive integer, meaning >0" (value: isInt value && value > 0);
    };
    unspecified = simple "unspecified value" (_: true);

    lines = types.str // {
      merge = _: definitions: lib.concatMapStringsSep "\n" (definition: definition.value) definitions;
    };

    listOf = element: {
      description = "list of ${element.description}";
      check = isList;
      getSubOptions = loc: (element.getSubOptions or (_: { })) (loc ++ [ "*" ]);
      merge =
        loc:
        concatMap (
          definition:
          map (
            value:
            mergeChecked element (loc ++ [ "*" ]) [
              {
                inherit (definition) file;
                inherit value;
              }
            ]
          ) definition.value
        );
    };

    attrsOf = element: {
      description = "attribute set of ${element.description}";
      check = isAttrs;
      merge =
        loc: definitions:
        let
          of =
            name:
            strongest (
              map (definition: definition // { value = definition.value.${name}; }) (
                filter (definition: definition.value ? ${name}) definitions
              )
            );
          names = lib.unique (concatMap (definition: lib.attrNames definition.value) definitions);
        in
        lib.genAttrs (filter (name: of name != [ ]) names) (
          name: mergeChecked element (loc ++ [ name ]) (of name)
        );
    };

    either = one: other: {
      description = "${one.description} or ${other.description}";
      check = value: one.check value || other.check value;
      merge =
        loc: definitions:
        let
          areAll = type: all (definition: type.check definition.value) definitions;
        in
        if areAll one then
          one.merge loc definitions
        else if areAll other then
          other.merge loc definitions
        else
          mergeEqual loc definitions;
    };

    oneOf = alternatives: lib.foldl' types.either (head alternatives) (lib.tail alternatives);

    nullOr =
      type:
      types.either (simple "null" (value: value == null)) type
      // {
        getSubOptions = type.getSubOptions or (_: { });
      };

    coercedTo =
      from: coerce: to:
      let
        coerced = value: if from.check value then coerce value else value;
      in
      {
        description = "${to.description} or ${from.description} convertible to it";
        check = value: to.check (coerced value);
        merge =
          loc: definitions:
          to.merge loc (map (definition: definition // { value = coerced definition.value; }) definitions);
        getSubOptions = to.getSubOptions or (_: { });
      };

    submodule =
      module:
      let
        evaluate =
          loc: definitions:
          lib.evalModules {
            prefix = loc;
            modules =
              lib.toList module
              ++ [ { _module.args.name = lib.last loc; } ]
              ++ map (definition: {
                _file = definition.file;
                config =
                  if isAttrs definition.value then
                    definition.value
                  else
                    throw "${definition.value} would be imported as a module";
              }) definitions;
          };
      in
      {
        description = "submodule";
        # As in nixpkgs, a path is that of a module.
        check = value: isAttrs value || isFunction value || types.path.check value;
        merge = loc: definitions: (evaluate loc definitions).config;
        getSubOptions = loc: (evaluate loc [ ]).options;
      };

    addCheck = type: check: type // { check = value: type.check value && check value; };

    # A set of whatever is defined, put together as far as it can be.
    anything = {
      description = "anything";
      check = _: true;
      merge =
        loc: definitions:
        let
          areAll = check: all (definition: check definition.value) definitions;
        in
        if areAll (value: isAttrs value && !isPackage value) then
          (types.attrsOf types.anything).merge loc definitions
        else if length definitions > 1 && areAll isList then
          concatMap (definition: definition.value) definitions
        else
          mergeEqual loc definitions;
    };
  };
in
types
// {
  inherit mergeChecked showDefinitions;
}
