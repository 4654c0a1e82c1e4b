# The little type checker behind mkCluster: a type takes a path and a value and yields the list of what is wrong, each a
# sentence that names the option and the value. Nothing is filled in and nothing is converted.
let
  inherit (builtins)
    concatMap
    elem
    filter
    isAttrs
    isBool
    isInt
    isList
    isString
    match
    ;

  show =
    value:
    if isString value then
      "\"${value}\""
    else if builtins.isFunction value then
      "a function"
    else if isAttrs value then
      "a set"
    else if isList value then
      "[ ${builtins.concatStringsSep "" (map (entry: "${show entry} ") value)}]"
    else
      builtins.toJSON value;

  wrong =
    what: path: value:
    [ "${path}: ${show value} is not ${what}" ];

  simple =
    what: test: path: value:
    if test value then [ ] else wrong what path value;

  names = record: builtins.concatStringsSep ", " (builtins.attrNames record);
in
rec {
  inherit show;

  bool = simple "true or false" isBool;
  string = simple "a string" isString;
  any = _path: _value: [ ];

  # A whole number from `low` to `high`; `unit` is said with it.
  int =
    low: high: unit:
    simple "a whole number${unit} from ${toString low} to ${toString high}" (
      value: isInt value && value >= low && value <= high
    );

  oneOf = values: simple "one of ${builtins.concatStringsSep ", " values}" (value: elem value values);

  matching =
    what: pattern:
    simple what (value: isString value && match pattern value != null);

  listOf =
    type: path: value:
    if !isList value then
      wrong "a list" path value
    else
      builtins.concatLists (
        builtins.genList (index: type "${path}[${toString index}]" (builtins.elemAt value index)) (builtins.length value)
      );

  # A set with any names that are as `name` says and values of `type`.
  mapOf =
    name: type: path: value:
    if !isAttrs value then
      wrong "a set" path value
    else
      concatMap (key: name "${path}: the name" key ++ type "${path}.${key}" value.${key}) (builtins.attrNames value);

  # A set with these options and no others; those in `required` must be there.
  record =
    required: options: path: value:
    if !isAttrs value then
      wrong "a set" path value
    else
      concatMap (
        key:
        if options ? ${key} then
          options.${key} "${path}.${key}" value.${key}
        else
          [ "${path}.${key}: there is no such option (there are: ${names options})" ]
      ) (builtins.attrNames value)
      ++ map (key: "${path}.${key}: is missing") (filter (key: !(value ? ${key})) required);

  label = matching "a DNS label (a-z, 0-9 and inner -, at most 63)" "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
}
