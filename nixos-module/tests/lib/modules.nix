# Modules: sets of options and of definitions, which together make a configuration.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    functionArgs
    head
    isFunction
    isPath
    mapAttrs
    ;
  inherit (import ./properties.nix) pushDown strongest;
  inherit (lib.types) mergeChecked showDefinitions;

  # What a module that has options or definitions in places of their own may have.
  keywords = [
    "_file"
    "config"
    "freeformType"
    "imports"
    "key"
    "meta"
    "options"
  ];

  # Modules and all that they import, in one form. `parent` is the key of the module
  # that imports them.
  loadAll =
    call: from: parent: modules:
    lib.concatLists (lib.imap1 (number: load call from "${parent}:anon-${toString number}") modules);

  load =
    call: from: anonymous: module:
    let
      imported = if isPath module then import module else module;
      content = if isFunction imported then call imported else imported;
      file = content._file or (if isPath module then module else from);
      # Modules of the same key are the same.
      key = content.key or (if isPath module then toString module else anonymous);
      isSorted = content ? options || content ? config;
      stray = filter (name: !lib.elem name keywords) (attrNames content);
      all =
        if isSorted then
          content.config or { }
        else
          removeAttrs content [
            "_file"
            "imports"
            "key"
          ];
      meta = lib.optionalAttrs (isSorted && content ? meta) { inherit (content) meta; };
    in
    if isSorted && stray != [ ] then
      throw "Module `${toString file}' has an unsupported attribute `${head stray}'."
    else
      [
        {
          inherit file key;
          args = all._module.args or { };
          freeformType = content.freeformType or null;
          options = content.options or { };
          definitions = removeAttrs all [ "_module" ] // meta;
        }
      ]
      ++ loadAll call file key (content.imports or [ ]);

  # Each module once, however often it is imported.
  once =
    loaded:
    (lib.foldl'
      (
        { keys, modules }@seen:
        module:
        if keys ? ${module.key} then
          seen
        else
          {
            keys = keys // {
              ${module.key} = true;
            };
            modules = modules ++ [ module ];
          }
      )
      {
        keys = { };
        modules = [ ];
      }
      loaded
    ).modules;

  # One tree of the options of all modules.
  declare =
    loc: trees:
    lib.genAttrs (lib.unique (concatMap attrNames trees)) (
      name:
      let
        here = map (tree: tree.${name}) (filter (tree: tree ? ${name}) trees);
        path = loc ++ [ name ];
      in
      if !lib.any lib.isOption here then
        declare path here
      else if lib.length here == 1 then
        head here // { loc = path; }
      else
        throw "The option `${lib.showOption path}' is declared more than once."
    );

  # The value of an option.
  valueOf =
    option: definitions:
    let
      default = {
        file = "the option's default";
        value = option.default;
      };
      defined = strongest definitions;
      # A default that is not used is not evaluated.
      used = if defined == [ ] && option ? default then [ default ] else defined;
      apply = option.apply or (value: value);
    in
    if used == [ ] then
      throw "The option `${lib.showOption option.loc}' was accessed but has no value defined. Try setting the option."
    else
      apply (mergeChecked option.type option.loc used);

  # The values of all options in a tree, by definitions of the whole tree.
  fill =
    freeformType: loc: tree: definitions:
    let
      levels = concatMap (
        definition: map (value: definition // { inherit value; }) (pushDown definition.value)
      ) definitions;
      of =
        name:
        map (level: level // { value = level.value.${name}; }) (
          filter (level: level.value ? ${name}) levels
        );
      unknown = filter (name: !tree ? ${name}) (
        lib.unique (concatMap (level: attrNames level.value) levels)
      );
      path = loc ++ [ (head unknown) ];
      free = lib.genAttrs (filter (name: strongest (of name) != [ ]) unknown) (
        name: mergeChecked freeformType (loc ++ [ name ]) (strongest (of name))
      );
    in
    if unknown != [ ] && freeformType == null then
      throw "The option `${lib.showOption path}' does not exist. Definition values:${showDefinitions (strongest (of (head unknown)))}"
    else
      mapAttrs (
        name: node:
        if lib.isOption node then
          valueOf node (of name)
        else
          fill freeformType (loc ++ [ name ]) node (of name)
      ) tree
      // lib.optionalAttrs (unknown != [ ]) free;
in
{
  evalModules =
    {
      modules,
      prefix ? [ ],
      specialArgs ? { },
    }:
    let
      always = {
        inherit config lib options;
      }
      // specialArgs;
      # Set by modules, so looked at only by those that ask for them.
      others = lib.foldl' (all: module: all // module.args) { } loaded;
      call = function: function (mapAttrs (name: _: others.${name}) (functionArgs function) // always);
      loaded = once (loadAll call "<unknown-file>" "" modules);
      freeformTypes = filter (type: type != null) (map (module: module.freeformType) loaded);
      options = declare prefix (map (module: module.options) loaded);
      config = fill (if freeformTypes == [ ] then null else head freeformTypes) prefix options (
        map (module: {
          inherit (module) file;
          value = module.definitions;
        }) loaded
      );
    in
    {
      inherit config options;
    };
}
