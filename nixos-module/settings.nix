# The settings of a daemon: an option for every key of its configuration file, as
# settings.json describes it, which `cargo xtask generate` writes from the struct
# that reads the file.
{ lib }:
daemon:
let
  inherit (lib) types;

  typeOf =
    { type, values, ... }:
    {
      boolean = types.bool;
      choice = types.enum (map (choice: choice.value) values);
      integer = types.ints.between values.minimum values.maximum;
      text = types.str;
      texts =
        if values.or_one then
          # One text becomes a list, so that whoever reads the option need not look.
          types.coercedTo types.str lib.singleton (types.listOf types.str)
        else
          types.listOf types.str;
    }
    .${type};

  # In Markdown.
  descriptionOf =
    key:
    key.description
    + lib.optionalString (key.type == "choice") (
      "\n\n"
      + lib.concatMapStrings (
        { value, description }:
        "- `\"${value}\"`: ${builtins.replaceStrings [ "\n" ] [ " " ] description}\n"
      ) key.values
    )
    + lib.optionalString key.needs_restart "\n\nA change restarts the service; other changes reload it.";

  optionOf =
    key:
    lib.nameValuePair key.name (
      lib.mkOption {
        type = typeOf ({ values = null; } // key);
        inherit (key) default;
        description = descriptionOf key;
      }
    );

  optionsOf = section: lib.listToAttrs (map optionOf section.keys);

  # A list of tables, whose keys have no defaults.
  listOf =
    section:
    let
      exampleOf = key: lib.nameValuePair key.name key.default;
      keyOf =
        key:
        lib.nameValuePair key.name (
          lib.mkOption {
            type = typeOf ({ values = null; } // key);
            example = key.default;
            description = descriptionOf key;
          }
        );
    in
    lib.mkOption {
      type = types.listOf (types.submodule { options = lib.listToAttrs (map keyOf section.keys); });
      default = [ ];
      example = [ (lib.listToAttrs (map exampleOf section.keys)) ];
      inherit (section) description;
    };
in
lib.foldl' (
  all: section:
  # Keys before the first section are in one without a name.
  all
  // (
    if section.name == "" then
      optionsOf section
    else
      { ${section.name} = if section.is_list then listOf section else optionsOf section; }
  )
) { } (lib.importJSON ./settings.json).${daemon}.sections
