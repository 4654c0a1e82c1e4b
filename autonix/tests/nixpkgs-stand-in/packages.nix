# Packages by the names that nixpkgs has, and its builders. Nothing of it can be built.
let
  inherit (import ./arguments.nix) checked common types;
  lib = import ./lib.nix;

  leaf =
    name:
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
    };
  leaves =
    list:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = leaf name;
      }) list
    );

  # A derivation whose every checked argument is in its environment, so that instantiating it evaluates them all.
  derive =
    builder: required: optional: given:
    let
      good = checked builder required (common // optional) given;
      made = derivation {
        name = "${good.pname}-${good.version}";
        system = "x86_64-linux";
        builder = "/bin/sh";
        arguments = builtins.toJSON (builtins.deepSeq good (builtins.removeAttrs good [ "meta" ]));
      };
    in
    made
    // {
      inherit (good) pname version;
      meta = good.meta or { };
      overrideAttrs = change: derive builder required optional (given // change given);
    };
  # Some builders and mkDerivation also take a function of the final arguments.
  final =
    builder: required: optional: given:
    if builtins.isFunction given then
      let
        arguments = given (arguments // { finalPackage = made; });
        made = derive builder required optional arguments;
      in
      made
    else
      derive builder required optional given;

  identity = with types; {
    pname = name;
    version = name;
    src = source;
  };

  pythonNames = [
    "hatchling"
    "setuptools"
    "poetry-core"
    "flit-core"
    "pdm-backend"
    "fastapi"
    "flask"
    "django"
    "gunicorn"
    "uvicorn"
    "ruamel-yaml"
    "httpx"
    "sqlalchemy"
    "psycopg"
    "redis"
    "celery"
    "pydantic"
    "pytest"
    "pytest-asyncio"
    "ruff"
    "mypy"
  ];
  python =
    name:
    let
      self = leaf name // {
        pkgs = leaves pythonNames // {
          python = self;
          toPythonModule = package: (checked "toPythonModule" { inherit (types) package; } { } { inherit package; }).package;
          buildPythonApplication = derive "buildPythonApplication" (
            identity
            // {
              pyproject = types.bool;
              build-system = types.packages;
            }
          ) {
            dependencies = types.packages;
            pythonRelaxDeps = types.bool;
            optional-dependencies = types.set;
            nativeCheckInputs = types.packages;
          };
        };
        withPackages =
          choose:
          let
            chosen = choose self.pkgs;
          in
          if types.packages.test chosen then
            leaf "${name}-env" // { inherit chosen; }
          else
            throw "${name}.withPackages: its function does not give a list of derivations";
      };
    in
    self;
  pythons = builtins.listToAttrs (
    map (name: {
      inherit name;
      value = python name;
    }) [
      "python3"
      "python311"
      "python312"
      "python313"
      "python314"
    ]
  );

  berry =
    name:
    leaf name
    // {
      yarnBerryConfigHook = leaf "yarn-berry-config-hook";
      fetchYarnBerryDeps =
        given:
        builtins.deepSeq (checked "fetchYarnBerryDeps" {
          inherit (types) hash;
          src = types.source;
        } { } given) (leaf "yarn-deps");
    };

  zig =
    name:
    leaf name
    // {
      hook = leaf "${name}-hook";
      fetchDeps =
        given:
        builtins.deepSeq (checked "zig.fetchDeps" (identity // { hash = types.hash; }) { } given) (leaf "zig-deps");
    };

  goBuilder = derive "buildGoModule" (identity // { vendorHash = types.hashOrNull; }) {
    subPackages = types.strings;
    modRoot = types.string;
  };

  readable =
    builder: file:
    if builtins.pathExists file then file else throw "${builder}: there is no ${toString file}";
in
leaves [
  "nodejs"
  "nodejs_20"
  "nodejs_22"
  "nodejs_24"
  "pnpm"
  "pnpmConfigHook"
  "yarn"
  "yarnConfigHook"
  "yarnBuildHook"
  "yarnInstallHook"
  "bun"
  "go"
  "go_1_22"
  "go_1_25"
  "gopls"
  "golangci-lint"
  "cargo"
  "rustc"
  "clippy"
  "rustfmt"
  "rustup"
  "jdk"
  "jdk17"
  "jdk21"
  "dotnet-sdk_9"
  "sbt"
  "stack"
  "hpack"
  "deno"
  "pixi"
  "conda"
  "mise"
  "makeWrapper"
  "pkg-config"
  "glib"
  "libpq"
  "zlib"
  "curl"
  "openssl"
  "fmt"
  "dotnet-sdk"
  "dotnet-sdk_8"
  "ruby"
  "ruby_3_3"
  "ruby_3_2"
  "bundler"
  "bundix"
  "writableTmpDirAsHomeHook"
  "php82"
  "php83"
  "nginx"
  "elixir"
  "elixir_1_17"
  "ghc"
  "cabal-install"
  "cmake"
  "meson"
  "ninja"
  "autoreconfHook"
  "gcc"
  "gnumake"
  "just"
  "go-task"
  "nixfmt"
  "uv"
  "poetry"
  "pdm"
  "pipenv"
  "hatch"
  "redis"
  "valkey"
  "mysql84"
  "mariadb"
  "postgresql_14"
  "postgresql_15"
  "postgresql_16"
  "postgresql_17"
  "postgresql_18"
]
// pythons
// {
  inherit lib;
  yarn-berry_3 = berry "yarn-berry_3";
  yarn-berry_4 = berry "yarn-berry_4";
  python3Packages = pythons.python3.pkgs;
  phpPackages = leaves [ "composer" ];

  stdenv.mkDerivation = final "stdenv.mkDerivation" identity {
    mitmCache = types.package;
    gradleBuildTask = types.string;
    zigDeps = types.package;
    postConfigure = types.string;
    makeFlags = types.strings;
    pnpmDeps = types.package;
    bunModules = types.package;
    configurePhase = types.string;
    yarnOfflineCache = types.package;
    offlineCache = types.package;
  };
  mkShell =
    given:
    builtins.deepSeq (checked "mkShell" { packages = types.packages; } { inherit (types) name; } given) (leaf "shell");
  stdenvNoCC.mkDerivation = final "stdenvNoCC.mkDerivation" identity {
    dontConfigure = types.bool;
    outputHashMode = {
      what = "flat or recursive";
      test = value: value == "flat" || value == "recursive";
    };
    outputHash = types.hash;
  };
  writeShellApplication =
    given:
    let
      good = checked "writeShellApplication" {
        inherit (types) name;
        text = types.string;
      } { runtimeInputs = types.packages; } given;
    in
    builtins.deepSeq good (leaf good.name);
  bundlerEnv =
    given:
    let
      good =
        checked "bundlerEnv"
          {
            inherit (types) name;
            gemdir = types.source;
          }
          {
            ruby = types.package;
            gemset = {
              what = "a set, or a Nix file that exists";
              test = value: builtins.isAttrs value || (builtins.isPath value && builtins.pathExists value);
            };
            groups = types.strings;
          }
          given;
    in
    builtins.deepSeq good (builtins.seq (readable "bundlerEnv" (good.gemdir + "/Gemfile.lock")) (leaf good.name));
  buildRubyGem =
    given:
    let
      good = checked "buildRubyGem" {
        gemName = types.name;
        version = types.name;
        src = types.source;
      } (common // { ruby = types.package; }) given;
      made = builtins.deepSeq good (leaf "${good.gemName}-${good.version}");
    in
    made // { overrideAttrs = _: made; };
  writeText =
    name: content:
    builtins.deepSeq (checked "writeText" {
      inherit (types) name;
      content = types.string;
    } { } { inherit name content; }) (leaf name);

  buildNpmPackage =
    given:
    if given ? npmDeps || given ? npmDepsHash then
      derive "buildNpmPackage" identity {
        npmDeps = types.package;
        npmDepsHash = types.hash;
        npmConfigHook = types.package;
        nodejs = types.package;
        npmWorkspace = types.string;
        dontNpmBuild = types.bool;
        npmFlags = types.strings;
      } given
    else
      throw "buildNpmPackage: npmDeps or npmDepsHash is missing";
  importNpmLock = {
    __functor =
      _self: given:
      let
        good = checked "importNpmLock" { npmRoot = types.source; } { } given;
      in
      builtins.seq (readable "importNpmLock" (good.npmRoot + "/package-lock.json")) (leaf "npm-deps");
    npmConfigHook = leaf "npm-config-hook";
  };
  fetchYarnDeps =
    given:
    let
      good = checked "fetchYarnDeps" { hash = types.hash; yarnLock = types.source; } { } given;
    in
    builtins.deepSeq good (leaf "yarn-deps");
  fetchPnpmDeps =
    given:
    let
      good = checked "fetchPnpmDeps" {
        inherit (types) hash;
        pname = types.name;
        src = types.source;
        fetcherVersion = {
          what = "3 or 4";
          test = value: value == 3 || value == 4;
        };
      } { version = types.name; } given;
    in
    builtins.deepSeq good (leaf "pnpm-deps");

  rustPlatform.buildRustPackage = derive "buildRustPackage" (
    identity
    // {
      cargoLock = {
        what = "a set with a lockFile that exists";
        test = value: builtins.isAttrs value && value ? lockFile && builtins.pathExists value.lockFile;
      };
    }
  ) { buildAndTestSubdir = types.string; };
  buildGoModule = {
    __functor = _self: goBuilder;
    override = given: builtins.seq (checked "buildGoModule.override" { go = types.package; } { } given).go goBuilder;
  };
  maven = leaf "maven" // {
    buildMavenPackage = derive "buildMavenPackage" (identity // { mvnHash = types.hash; }) {
      mvnJdk = types.package;
      mvnParameters = types.string;
    };
  };
  gradle = leaf "gradle" // {
    fetchDeps =
      given:
      let
        good = checked "gradle.fetchDeps" {
          pkg = types.set;
          data = {
            what = "a set, or a JSON file that exists";
            test = value: builtins.isAttrs value || ((builtins.isPath value || builtins.isString value) && builtins.pathExists value);
          };
        } { } given;
      in
      builtins.seq good.data (leaf "${good.pkg.pname}-deps");
  };
  buildDotnetModule = derive "buildDotnetModule" identity {
    projectFile = types.string;
    nugetDeps = {
      what = "a file that exists, or a list of packages as text in the store";
      test = value: (builtins.isPath value || builtins.isString value) && builtins.pathExists value;
    };
    dotnet-sdk = types.package;
    executables = types.strings;
  };
  haskellPackages =
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = null;
      }) [ "base" "bytestring" "containers" "text" ]
    )
    // leaves [
      "aeson"
      "hspec"
      "scotty"
      "hedis"
      "warp"
    ]
    // {
      mkDerivation = derive "haskellPackages.mkDerivation" identity {
        isExecutable = types.bool;
        isLibrary = types.bool;
        libraryHaskellDepends = types.packagesOrNull;
        testHaskellDepends = types.packagesOrNull;
        libraryToolDepends = types.packages;
        prePatch = types.string;
        doHaddock = types.bool;
        license = types.any;
        description = types.string;
        mainProgram = types.string;
      };
    };
  php = leaf "php" // {
    buildComposerProject2 = derive "buildComposerProject2" (identity // { vendorHash = types.hash; }) {
      php = types.package;
    };
  };
  beamPackages = {
    mixRelease = derive "mixRelease" identity { mixFodDeps = types.package; preInstall = types.string; };
    fetchMixDeps =
      given:
      builtins.deepSeq (checked "fetchMixDeps" (identity // { hash = types.hash; }) { } given) (leaf "mix-deps");
  };
  zig = zig "zig";
  zig_0_14 = zig "zig_0_14";
}
