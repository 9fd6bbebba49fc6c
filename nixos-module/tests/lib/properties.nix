# What a definition can be besides its value: conditional, several in one, or of
# another priority. The least number wins.
let
  isProperty = kind: value: builtins.isAttrs value && value._type or null == kind;

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };

  priorities = {
    force = 50;
    plain = 100;
    default = 1000;
    optionDefault = 1500;
  };

  # The properties of a set of attributes, moved to each of them. Conditions are
  # not looked at, because they may depend on another attribute of the same set.
  pushDown =
    value:
    if isProperty "merge" value then
      builtins.concatMap pushDown value.contents
    else if isProperty "if" value then
      map (builtins.mapAttrs (_: mkIf value.condition)) (pushDown value.content)
    else if isProperty "override" value then
      map (builtins.mapAttrs (_: mkOverride value.priority)) (pushDown value.content)
    else
      [ value ];

  # The values that a definition gives, each with its priority.
  discharge =
    definition:
    let
      inherit (definition) value;
      inner = content: discharge (definition // { value = content; });
    in
    if isProperty "merge" value then
      builtins.concatMap inner value.contents
    else if isProperty "if" value then
      (if value.condition then inner value.content else [ ])
    else if isProperty "override" value then
      map (one: one // { inherit (value) priority; }) (inner value.content)
    else
      [ ({ priority = priorities.plain; } // definition) ];

  # Those of the definitions that count.
  strongest =
    definitions:
    let
      all = builtins.concatMap discharge definitions;
      least = builtins.foldl' (least: one: if one.priority < least then one.priority else least) 9999 all;
    in
    map (one: removeAttrs one [ "priority" ]) (builtins.filter (one: one.priority == least) all);
in
{
  inherit
    mkIf
    mkMerge
    mkOverride
    priorities
    pushDown
    strongest
    ;
  mkDefault = mkOverride priorities.default;
  mkForce = mkOverride priorities.force;
}
