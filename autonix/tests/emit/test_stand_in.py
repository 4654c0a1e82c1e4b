"""The stand-in for nixpkgs refuses what nixpkgs would refuse: without that, evaluating with it would prove nothing."""

from pathlib import Path

from autonix.tests.emit.flakes import STAND_IN
from autonix.tests.emit.realnix import evaluate

HASH = '"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'
IDENTITY = 'pname = "a"; version = "1"; src = ./.;'

RIGHT = [
    f"pkgs.stdenv.mkDerivation {{ {IDENTITY} }}",
    f"pkgs.python3.pkgs.buildPythonApplication {{ {IDENTITY} pyproject = true; build-system = [ ]; }}",
    f"pkgs.buildNpmPackage {{ {IDENTITY} npmDepsHash = {HASH}; }}",
    f"pkgs.buildGoModule {{ {IDENTITY} vendorHash = null; }}",
    f"pkgs.maven.buildMavenPackage {{ {IDENTITY} mvnHash = {HASH}; }}",
    "pkgs.mkShell { packages = [ pkgs.nodejs ]; }",
    'pkgs.buildRubyGem { gemName = "a"; version = "1"; src = ./.; dontBuild = false; }',
    'pkgs.writeShellApplication { name = "a"; text = "true"; runtimeInputs = [ pkgs.deno ]; }',
    f'pkgs.stdenvNoCC.mkDerivation {{ {IDENTITY} outputHash = {HASH}; outputHashMode = "recursive"; }}',
    'nixos { services.phpfpm.pools.a = { user = "a"; group = "b"; settings = { pm = ""; "pm.max_children" = 1; }; }; }',
    'nixos { services.nginx = { enable = true; virtualHosts.a.locations."/".tryFiles = "$uri"; }; }',
    "nixos { services.postgresql.enable = true; }",
    'nixos { systemd.services.a.script = "true"; }',
]

WRONG = [
    'pkgs.stdenv.mkDerivation { pname = "a"; version = "1"; }',
    'pkgs.stdenv.mkDerivation { pname = "@a/b"; version = "1"; src = ./.; }',
    'pkgs.stdenv.mkDerivation { pname = "a"; version = "1"; src = ./nowhere; }',
    f"pkgs.stdenv.mkDerivation {{ {IDENTITY} nativeBuildInputs = [ \"cmake\" ]; }}",
    f"pkgs.stdenv.mkDerivation {{ {IDENTITY} unknown = 1; }}",
    f"pkgs.python3.pkgs.buildPythonApplication {{ {IDENTITY} build-system = [ ]; }}",
    f"pkgs.python3.pkgs.buildPythonApplication {{ {IDENTITY} pyproject = true; build-system = [ null ]; }}",
    f"pkgs.buildNpmPackage {{ {IDENTITY} }}",
    f"pkgs.buildNpmPackage {{ {IDENTITY} npmDeps = pkgs.importNpmLock {{ npmRoot = ./.; }}; }}",
    f"pkgs.buildGoModule {{ {IDENTITY} }}",
    f"pkgs.buildGoModule {{ {IDENTITY} vendorHash = \"\"; }}",
    f"pkgs.rustPlatform.buildRustPackage {{ {IDENTITY} cargoLock.lockFile = ./Cargo.lock; }}",
    f"pkgs.maven.buildMavenPackage {{ {IDENTITY} }}",
    "pkgs.mkShell { packages = [ 1 ]; }",
    "pkgs.mkShell { }",
    "pkgs.fetchYarnDeps { yarnLock = ./yarn.lock; }",
    "nixos { services.postgresql.package = pkgs.postgresql_16; }",
    "nixos { services.postgrsql.enable = true; }",
    'pkgs.buildRubyGem { gemName = "a"; version = "1"; }',
    'pkgs.bundlerEnv { name = "a"; gemdir = ./.; }',
    'pkgs.writeShellApplication { name = "a"; }',
    f'pkgs.stdenvNoCC.mkDerivation {{ {IDENTITY} outputHash = ""; }}',
    'nixos { services.phpfpm.pools.a = { user = "a"; group = "a"; settings.pm = "static"; }; }',
    'nixos { services.phpfpm.pools.a.settings = { }; }',
    'nixos { services.nginx = { enable = true; virtualHosts.a.locations."/".tryfiles = "$uri"; }; }',
    'nixos { services.nginx = { enable = true; virtualHosts.a.listen = [ { addr = "::"; port = "1"; } ]; }; }',
    "nixos { systemd.tmpfiles.rules = [ 1 ]; }",
    "nixos { services.memcached = { enable = true; port = \"1\"; }; }",
    "nixos { systemd.services.a.environment.X = 1; }",
    "nixos { networking.firewall.allowedTCPPorts = [ 70000 ]; }",
    "nixos { network.firewall = { }; }",
    "nixos { services.postgresql = { enable = true; ensureUsers = [ { } ]; }; }",
]  # fmt: skip


async def accepted(directory: Path, expressions: list[str]) -> list[bool]:
    tried = " ".join(f"(builtins.tryEval (builtins.seq ({each}).drvPath true)).value" for each in expressions)
    return list(
        await evaluate(
            directory,
            f"""let
              pkgs = import {STAND_IN}/packages.nix;
              system = import {STAND_IN}/nixos.nix {{ inherit pkgs; }};
              made = module: system {{ system = "x86_64-linux"; modules = [ module ]; }};
              nixos = module: (made module).config.system.build.toplevel;
            in [ {tried} ]""",
        )
    )


async def test_right_calls_are_accepted(tmp_path: Path) -> None:
    found = await accepted(tmp_path, RIGHT)
    assert [call for call, good in zip(RIGHT, found, strict=True) if not good] == []


async def test_each_wrong_call_is_refused(tmp_path: Path) -> None:
    found = await accepted(tmp_path, WRONG)
    assert [call for call, good in zip(WRONG, found, strict=True) if good] == []
