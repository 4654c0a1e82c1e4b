# A builder's arguments: which must be there, which may, and of what form. Everything wrong is an error that names the
# builder and the argument, as what nixpkgs itself says would be.
let
  inherit (builtins)
    all
    attrNames
    filter
    isAttrs
    isBool
    isList
    isPath
    isString
    match
    ;
  check =
    builder: name: what: test: value:
    if test value then value else throw "${builder}: ${name} is not ${what}";
  isPackage = value: isAttrs value && value.type or "" == "derivation";
in
rec {
  inherit isPackage;
  types = {
    name = {
      what = "a name that a store path can have";
      test = value: isString value && match "[A-Za-z0-9+_?=-][A-Za-z0-9+._?=-]*" value != null;
    };
    string = {
      what = "a string";
      test = isString;
    };
    bool = {
      what = "true or false";
      test = isBool;
    };
    set = {
      what = "a set";
      test = isAttrs;
    };
    source = {
      what = "a path that exists, or a derivation";
      # A string is the place of an input in the store: nixpkgs takes it as it takes a path.
      test =
        value:
        isPackage value
        || ((isPath value || (isString value && builtins.hasContext value)) && builtins.pathExists value);
    };
    hash = {
      what = "an SRI hash";
      test = value: isString value && match "sha256-[A-Za-z0-9+/]{43}=" value != null;
    };
    hashOrNull = {
      what = "an SRI hash or null";
      test = value: value == null || types.hash.test value;
    };
    package = {
      what = "a derivation";
      test = isPackage;
    };
    packages = {
      what = "a list of derivations";
      test = value: isList value && all isPackage value;
    };
    packagesOrNull = {
      what = "a list of derivations and nulls, which are what the compiler brings itself";
      test = value: isList value && all (each: each == null || isPackage each) value;
    };
    any = {
      what = "anything";
      test = _: true;
    };
    list = {
      what = "a list";
      test = isList;
    };
    strings = {
      what = "a list of strings";
      test = value: isList value && all isString value;
    };
  };

  # What every mkDerivation takes.
  common = with types; {
    pname = name;
    version = name;
    src = source;
    meta = set;
    nativeBuildInputs = packages;
    buildInputs = packages;
    buildPhase = string;
    installPhase = string;
    outputs = strings;
    doCheck = bool;
    doInstallCheck = bool;
    dontBuild = bool;
    dontFixup = bool;
  };

  checked =
    builder: required: optional: given:
    let
      known = optional // required;
      missing = filter (name: !(given ? ${name})) (attrNames required);
      unknown = filter (name: !(known ? ${name})) (attrNames given);
    in
    if !(isAttrs given) then
      throw "${builder}: its argument is not a set"
    else if missing != [ ] then
      throw "${builder}: ${builtins.concatStringsSep ", " missing} is missing"
    else if unknown != [ ] then
      throw "${builder}: it has no argument ${builtins.concatStringsSep ", " unknown}"
    else
      builtins.mapAttrs (name: value: check builder name known.${name}.what known.${name}.test value) given;
}
