# The little type checker behind mkCluster. A type is a set of
#   check    path: value: the list of what is wrong, each a sentence that names the option and the value
#   what     how the sentence and the reference call it
#   form     the same as data, for the reference page and for the tests that hold this to schema/blueprint.py
#   nixpkgs  lib: the same as a type of nixpkgs' module system
# Nothing is filled in and nothing is converted.
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    isAttrs
    isBool
    isInt
    isList
    isString
    mapAttrs
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
    else if builtins.isPath value then
      "the path ${toString value}"
    else
      builtins.toJSON value;

  wrong =
    what: path: value:
    [ "${path}: ${show value} is not ${what}" ];

  # A value without options inside: `test` decides.
  simple = what: form: test: {
    inherit what form;
    check = path: value: if test value then [ ] else wrong what path value;
    nixpkgs =
      lib:
      lib.mkOptionType {
        name = form.kind;
        description = what;
        check = test;
        merge = lib.mergeEqualOption;
      };
  };

  names = record: builtins.concatStringsSep ", " (attrNames record);
in
rec {
  inherit show simple;

  bool = simple "true or false" { kind = "bool"; } isBool;
  string = simple "a string" { kind = "text"; } isString;
  any = simple "anything" { kind = "any"; } (_value: true) // {
    nixpkgs = lib: lib.types.raw or lib.types.unspecified;
  };

  # A whole number from `low` to `high`; `unit` is said with it.
  int =
    low: high: unit:
    simple "a whole number${unit} from ${toString low} to ${toString high}"
      {
        kind = "int";
        inherit low high;
      }
      (value: isInt value && value >= low && value <= high);

  oneOf =
    values:
    simple "one of ${builtins.concatStringsSep ", " values}" {
      kind = "choice";
      inherit values;
    } (value: elem value values);

  matching =
    what: pattern:
    simple what {
      kind = "text";
      inherit pattern;
    } (value: isString value && match pattern value != null);

  listOf = type: {
    what = "a list, each ${type.what}";
    of = type;
    form = {
      kind = "list";
      of = type.form;
    };
    check =
      path: value:
      if !isList value then
        wrong "a list" path value
      else
        builtins.concatLists (
          builtins.genList (index: type.check "${path}[${toString index}]" (builtins.elemAt value index)) (
            builtins.length value
          )
        );
    nixpkgs = lib: lib.types.listOf (type.nixpkgs lib);
  };

  # A set with any names that are as `name` says and values of `type`.
  mapOf = name: type: {
    what = "a set from names to ${type.what}";
    of = type;
    form = {
      kind = "map";
      name = name.form;
      of = type.form;
    };
    check =
      path: value:
      if !isAttrs value then
        wrong "a set" path value
      else
        concatMap (key: name.check "${path}: the name" key ++ type.check "${path}.${key}" value.${key}) (attrNames value);
    nixpkgs = lib: lib.types.attrsOf (type.nixpkgs lib);
  };

  # Options of a record. What is `optional` may be left out, and then counts as `default`; null: there is no value.
  needed = type: description: {
    inherit type description;
    required = true;
  };
  optional = default: type: description: {
    inherit type description default;
    required = false;
  };

  # A set with these options and no others.
  record = options: {
    inherit options;
    what = "a set of options";
    form = {
      kind = "record";
      options = mapAttrs (_name: option: builtins.removeAttrs option [ "type" ] // { inherit (option.type) what form; }) options;
    };
    check =
      path: value:
      if !isAttrs value then
        wrong "a set" path value
      else
        concatMap (
          key:
          if options ? ${key} then
            if mayBeNull options.${key} && value.${key} == null then [ ] else options.${key}.type.check "${path}.${key}" value.${key}
          else
            [ "${path}.${key}: there is no such option (there are: ${names options})" ]
        ) (attrNames value)
        ++ map (key: "${path}.${key}: is missing") (
          filter (key: options.${key}.required && !(value ? ${key})) (attrNames options)
        );
    nixpkgs = lib: lib.types.submodule { options = mkOptions lib options; };
  };

  # Such an option may also be said to have no value.
  mayBeNull = option: !option.required && option.default == null;

  # Options of a record as options of nixpkgs' module system.
  mkOptions =
    lib:
    mapAttrs (
      _name: option:
      let
        type = option.type.nixpkgs lib;
      in
      lib.mkOption (
        {
          inherit (option) description;
          type = if mayBeNull option then lib.types.nullOr type else type;
        }
        // (if option.required then { } else { inherit (option) default; })
        // (if option ? example then { inherit (option) example; } else { })
        // (if option ? defaultText then { inherit (option) defaultText; } else { })
      )
    );

  # The value of a record without what is as if it were not there: the shortest way to say the same. An option that a
  # reader does not know yet is then there only where it is used, and what a module system filled in is not.
  sparse =
    type: value:
    let
      inherit (type) options;
      kept = filter (
        key: options ? ${key} && (options.${key}.required || !(same options.${key}.default pruned.${key}))
      ) (attrNames value);
      pruned = mapAttrs (
        key: inner: if options ? ${key} then sparseOf options.${key}.type inner else inner
      ) value;
    in
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = pruned.${name};
      }) kept
    );
  sparseOf =
    type: value:
    if value == null then
      value
    else if type.form.kind == "record" then
      sparse type value
    else if type.form.kind == "map" then
      mapAttrs (_name: sparseOf type.of) value
    else if type.form.kind == "list" then
      map (sparseOf type.of) value
    else
      value;
  # Functions and configurations are never a default, and cannot be compared.
  same = default: value: builtins.typeOf default == builtins.typeOf value && (default == value);

  label = matching "a DNS label (a-z, 0-9 and inner -, at most 63)" "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
}
