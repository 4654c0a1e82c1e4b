# Settings as TOML, in the form that the services' own loaders read: tables for sets, inline tables inside of lists.
# What is null is left out. No derivation is needed for it, so what is wrong shows when the machine is evaluated.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    isAttrs
    isFloat
    isList
    isPath
    isString
    ;

  # JSON's strings are TOML's, but that DEL may not stand in them as it is.
  text = value: builtins.replaceStrings [ (builtins.fromJSON ''"\u007f"'') ] [ "\\u007F" ] (builtins.toJSON value);
  key = name: if builtins.match "[A-Za-z0-9_-]+" name != null then name else text name;
  isTable = value: isAttrs value && !(value ? outPath);
  present = table: filter (name: table.${name} != null) (attrNames table);

  scalar =
    where: value:
    if isString value then
      text value
    # A file beside the configuration goes to the store, as everywhere in NixOS: the machine has no other copy of it.
    else if isPath value || isAttrs value && value ? outPath then
      text "${value}"
    else if builtins.isInt value || builtins.isBool value then
      builtins.toJSON value
    else if isFloat value then
      float value
    else if isList value then
      "[${concatStringsSep ", " (map (scalar where) value)}]"
    else if isAttrs value then
      "{ ${concatStringsSep ", " (map (name: "${key name} = ${scalar "${where}.${name}" value.${name}}") (present value))} }"
    else
      throw "procurator: ${where} cannot be written as TOML";

  # A whole number must keep its point to stay a float.
  float =
    value:
    let
      printed = builtins.toJSON value;
    in
    if builtins.match "-?[0-9]+" printed != null then "${printed}.0" else printed;

  table =
    path: set:
    let
      names = present set;
      plain = filter (name: !(isTable set.${name})) names;
      inner = filter (name: isTable set.${name}) names;
      where = name: path ++ [ name ];
      # A table that holds nothing but tables needs no heading of its own.
      heading =
        name:
        if builtins.any (inside: !(isTable set.${name}.${inside})) (present set.${name}) then
          "\n[${concatStringsSep "." (map key (where name))}]\n"
        else
          "";
    in
    concatStringsSep "" (
      map (name: "${key name} = ${scalar (concatStringsSep "." (where name)) set.${name}}\n") plain
      ++ map (name: heading name + table (where name) set.${name}) inner
    );
in
table [ ]
