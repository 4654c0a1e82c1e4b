# As much of nixpkgs' `lib` and its module system as our modules use, so that they are evaluated where there is no nixpkgs.
# It decides nothing about them: where PROCURATOR_NIXPKGS names a real one, a test holds the two to the same results.
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    removeAttrs
    replaceStrings
    stringLength
    substring
    ;

  # --- properties: mkIf, mkMerge, mkDefault ------------------------------------------------------------------------
  kindOf = value: if isAttrs value then value._type or null else null;
  byDefault = 1500;
  usual = 100;

  # What a definition says, however it is wrapped: the names in it, and the values at one name. No condition is looked at
  # before an option's own value is asked for: it may depend on other options.
  namesIn =
    value:
    {
      merge = concatMap namesIn value.contents;
      "if" = namesIn value.content;
      override = namesIn value.content;
    }
    .${toString (kindOf value)} or (attrNames value);
  valuesAt =
    name: value:
    {
      merge = concatMap (valuesAt name) value.contents;
      "if" = map (inner: value // { content = inner; }) (valuesAt name value.content);
      override = map (inner: value // { content = inner; }) (valuesAt name value.content);
    }
    .${toString (kindOf value)} or (if value ? ${name} then [ value.${name} ] else [ ]);
  discharged =
    priority: value:
    {
      merge = concatMap (discharged priority) value.contents;
      "if" = if value.condition then discharged priority value.content else [ ];
      override = discharged value.priority value.content;
    }
    .${toString (kindOf value)} or [ { inherit priority value; } ];

  # --- options ------------------------------------------------------------------------------------------------------
  showOption = concatStringsSep ".";
  distinct = values: attrNames (listToAttrs (map (name: { inherit name; value = null; }) values));

  valueOf =
    path: option: definitions:
    let
      given =
        concatMap (discharged usual) definitions
        ++ (
          if option ? default then
            [
              {
                priority = byDefault;
                value = option.default;
              }
            ]
          else
            [ ]
        );
      strongest = foldl' (low: each: if each.priority < low then each.priority else low) 10000 given;
      chosen = map (each: each.value) (filter (each: each.priority == strongest) given);
    in
    if given == [ ] then
      throw "The option `${showOption path}' was accessed but has no value defined."
    else if option.readOnly or false && definitions != [ ] then
      throw "The option `${showOption path}' is read-only, but it's set multiple times."
    else
      merged path option.type chosen;

  merged =
    path: type: values:
    foldl' (
      result: value:
      if type.check value then
        result
      else
        throw "A definition for option `${showOption path}' is not of type `${type.description}'. Definition values: ${shown value}"
    ) (type.merge path (map (value: { inherit value; }) values)) values;
  shown =
    value:
    if isAttrs value || isFunction value then
      "<${builtins.typeOf value}>"
    else if builtins.isPath value then
      toString value
    else
      builtins.toJSON value;

  evaluate =
    path: tree: definitions:
    let
      unknown = filter (name: !(tree ? ${name})) (concatMap namesIn definitions);
    in
    if unknown != [ ] then
      throw "The option `${showOption (path ++ [ (head unknown) ])}' does not exist."
    else
      mapAttrs (
        name: inner:
        (if kindOf inner == "option" then valueOf else evaluate) (path ++ [ name ]) inner (
          concatMap (valuesAt name) definitions
        )
      ) tree;

  mergeTrees =
    left: right:
    if kindOf left == "option" || kindOf right == "option" then
      throw "an option is declared twice"
    else
      left // mapAttrs (name: inner: if left ? ${name} then mergeTrees left.${name} inner else inner) right;

  # --- modules ------------------------------------------------------------------------------------------------------
  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    let
      arguments = specialArgs // {
        inherit config lib;
        options = tree;
      };
      isFile = module: builtins.isPath module || isString module;
      load = module: if isFile module then load (import module) // { file = toString module; } else parsed (if isFunction module then module arguments else module);
      parsed =
        module:
        if module ? config || module ? options then
          { imports = [ ]; options = { }; config = { }; } // module
        else
          {
            imports = module.imports or [ ];
            options = { };
            config = removeAttrs module [ "imports" "key" "_file" ];
          }
          // (if module ? key then { inherit (module) key; } else { });
      # Each once, what is imported before what imports it.
      walk =
        seen: module:
        let
          loaded = load module;
          key = loaded.key or loaded.file or null;
        in
        if key != null && elem key seen.keys then
          seen
        else
          let
            inner = foldl' walk (seen // { keys = seen.keys ++ (if key == null then [ ] else [ key ]); }) (loaded.imports or [ ]);
          in
          inner // { found = inner.found ++ [ loaded ]; };
      found =
        (foldl' walk {
          keys = [ ];
          found = [ ];
        } modules).found;
      tree = foldl' mergeTrees { } (map (module: module.options) found);
      config = evaluate [ ] tree (map (module: module.config) found);
    in
    {
      inherit config;
      options = tree;
      extendModules =
        added:
        evalModules {
          modules = modules ++ added.modules;
          inherit specialArgs;
        };
    };

  # --- types --------------------------------------------------------------------------------------------------------
  equal =
    path: definitions:
    let
      first = (head definitions).value;
    in
    if all (each: each.value == first) definitions then
      first
    else
      throw "The option `${showOption path}' has conflicting definition values";
  mkOptionType = type: { merge = equal; description = type.name; } // type;
  plain = name: check: mkOptionType { inherit name check; };

  types = rec {
    bool = plain "boolean" isBool;
    int = plain "signed integer" isInt;
    str = plain "string" isString;
    package = plain "package" (value: value.type or null == "derivation");
    path = plain "path" (value: builtins.isPath value || value ? outPath || (isString value && substring 0 1 value == "/"));
    port = plain "16 bit unsigned integer" (value: isInt value && value >= 0 && value <= 65535);
    raw = plain "raw value" (_value: true) // {
      merge =
        path: definitions: if length definitions == 1 then (head definitions).value else throw "The option `${showOption path}' is defined multiple times";
    };
    unspecified = raw;
    anything = raw // {
      merge =
        path: definitions:
        if all (each: isAttrs each.value) definitions then (attrsOf anything).merge path definitions else equal path definitions;
    };
    lines = str // {
      merge = _path: definitions: concatStringsSep "\n" (map (each: each.value) definitions);
    };
    oneOf = choices: plain "one of several" (value: any (type: type.check value) choices);
    nullOr =
      type:
      plain "null or ${type.description}" (value: value == null || type.check value)
      // {
        merge = path: definitions: if all (each: each.value == null) definitions then null else type.merge path definitions;
      };
    listOf =
      type:
      plain "list of ${type.description}" isList
      // {
        merge =
          path: definitions:
          let
            elements = concatMap (each: each.value) definitions;
          in
          genList (index: merged (path ++ [ "[definition ${toString index}]" ]) type [ (elemAt elements index) ]) (length elements);
      };
    attrsOf =
      type:
      plain "attribute set of ${type.description}" isAttrs
      // {
        merge =
          path: definitions:
          let
            written = map (each: each.value) definitions;
            one = name: {
              inherit name;
              values = concatMap (discharged usual) (concatMap (valuesAt name) written);
            };
          in
          listToAttrs (
            map (each: {
              inherit (each) name;
              value = valueOf (path ++ [ each.name ]) { inherit type; } (map (inner: { _type = "override"; inherit (inner) priority; content = inner.value; }) each.values);
            }) (filter (each: each.values != [ ]) (map one (distinct (concatMap namesIn written))))
          );
      };
    submodule =
      module:
      plain "submodule" isAttrs
      // {
        merge = path: definitions: evaluate path (module.options or { }) (map (each: each.value) definitions);
      };
  };

  # --- the rest of lib that our modules use -------------------------------------------------------------------------
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  lib = {
    inherit
      all
      any
      attrNames
      concatMap
      concatStringsSep
      elem
      evalModules
      filter
      genList
      hasPrefix
      isList
      mkOptionType
      types
      ;
    cleanSource = source: source;
    concatMapStrings = function: list: concatStringsSep "" (map function list);
    concatStrings = concatStringsSep "";
    genAttrs = names: function: listToAttrs (map (name: { inherit name; value = function name; }) names);
    hasInfix = part: text: length (builtins.split (replaceStrings [ "." ] [ "[.]" ] part) text) > 1;
    last = list: elemAt list (length list - 1);
    literalExpression = text: text;
    literalMD = text: text;
    mapAttrs' = function: set: listToAttrs (map (name: function name set.${name}) (attrNames set));
    mapAttrsToList = function: set: map (name: function name set.${name}) (attrNames set);
    mergeEqualOption = equal;
    mkDefault = content: { _type = "override"; priority = 1000; inherit content; };
    mkForce = content: { _type = "override"; priority = 50; inherit content; };
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    mkOption = option: { _type = "option"; } // option;
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];
    optionalAttrs = condition: set: if condition then set else { };
    optionals = condition: list: if condition then list else [ ];
    recursiveUpdate =
      left: right:
      if isAttrs left && isAttrs right then
        left // mapAttrs (name: inner: if left ? ${name} then lib.recursiveUpdate left.${name} inner else inner) right
      else
        right;
    removePrefix =
      prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (stringLength text) text else text;
    splitString = separator: text: filter isString (builtins.split (replaceStrings [ "." ] [ "[.]" ] separator) text);
    toInt = builtins.fromJSON;
    toList = value: if isList value then value else [ value ];
  };
in
lib
