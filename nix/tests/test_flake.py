"""The project's own flake: every output evaluates, with a stand-in for nixpkgs' packages."""

import json
import re
import shutil
import tomllib
from base64 import b64decode
from pathlib import Path
from typing import Any

from nix.environment import NixEnvironment
from nix.run import run
from nix.tests.places import REPOSITORY

SYSTEM = "x86_64-linux"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
DEPENDENCIES = {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in PROJECT["dependencies"]}
TOOLS = {"hypothesis", "mypy", "pytest", "pytest-cov", "pytest-timeout", "pytest-trio", "setuptools"}


def a_copy(tmp_path: Path) -> Path:
    """What the flake reads of this repository, without git."""
    root = tmp_path / "procurator"
    for part in ("flake.nix", "pyproject.toml", "nix/package.nix", "nix/shell.nix"):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / part, root / part)
    for part in ("nix/lib", "nix/modules", "nix/checks", "example/nixos"):
        shutil.copytree(REPOSITORY / part, root / part)
    names = sorted(DEPENDENCIES | TOOLS)
    (root / "nix/checks/stand-in/python-packages.json").write_text(json.dumps(names))
    return root


async def nix(tmp_path: Path, *words: str) -> bytes:
    root = tmp_path / "procurator"
    if not root.exists():
        a_copy(tmp_path)
    override = ("--override-input", "nixpkgs", f"path:{root}/nix/checks/stand-in", "--no-write-lock-file")
    environment = NixEnvironment(tmp_path / "nix").write()
    return (await run(("nix", *words, *override), deadline=120, env=environment.env)).stdout


async def evaluated(tmp_path: Path, attribute: str, *, apply: str) -> Any:
    root = tmp_path / "procurator"
    return json.loads(await nix(tmp_path, "eval", "--json", f"path:{root}#{attribute}", "--apply", apply))


async def test_every_output_is_of_a_kind_that_nix_knows(tmp_path: Path) -> None:
    shown = json.loads(await nix(tmp_path, "flake", "show", "--json", f"path:{tmp_path}/procurator"))
    shown = shown.get("inventory", shown)
    assert set(shown) >= {"packages", "checks", "devShells", "nixosModules", "overlays", "templates", "lib"}
    assert set(shown["nixosModules"]) == {
        *("control-plane", "worker", "ci", "cache", "repohub"),
        *("cluster", "guest", "default"),
    }
    assert set(shown["packages"][SYSTEM]) == {"procurator", "default"}
    assert set(shown["checks"][SYSTEM]) == {"procurator", "worker-settings", "machine", "guest"}
    assert shown["templates"]["default"]["type"] == "template"


async def test_nix_flake_check_finds_nothing_wrong(tmp_path: Path) -> None:
    await nix(tmp_path, "flake", "check", "--no-build", f"path:{tmp_path}/procurator")


async def test_the_package_has_all_dependencies_of_the_project(tmp_path: Path) -> None:
    asked = await evaluated(
        tmp_path,
        f"packages.{SYSTEM}.procurator.arguments",
        apply="a: { inherit (a) pname version pyproject; dependencies = map (p: p.name) a.dependencies; }",
    )
    assert set(asked.pop("dependencies")) == DEPENDENCIES
    assert asked == {"pname": PROJECT["name"], "version": PROJECT["version"], "pyproject": True}


async def test_the_package_brings_the_pycapnp_of_the_lock_where_nixpkgs_has_an_older_one(tmp_path: Path) -> None:
    asked = await evaluated(
        tmp_path,
        f"packages.{SYSTEM}.procurator.arguments",
        apply="a: map (p: { inherit (p) version; src = p.src.arguments; })"
        ' (builtins.filter (p: p.name == "pycapnp") a.dependencies)',
    )
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = re.search(r"^pycapnp==(\S+) \\\n((?:\s+--hash=\S+(?: \\)?\n)+)", lock, re.MULTILINE)
    assert locked is not None
    (pycapnp,) = asked
    assert pycapnp["version"] == pycapnp["src"]["version"] == locked[1]
    assert f"pycapnp>={pycapnp['version']}" in PROJECT["dependencies"]
    kind, digest = pycapnp["src"]["hash"].split("-")
    assert f"--hash={kind}:{b64decode(digest).hex()}" in locked[2].split()


async def test_a_check_reads_the_settings_that_a_module_renders(tmp_path: Path) -> None:
    asked = await evaluated(
        tmp_path,
        f"checks.{SYSTEM}.worker-settings.arguments",
        apply="a: { inherit (a) script; toml = a.environment.toml; }",
    )
    assert tomllib.loads(asked["toml"])["control_plane"]["address"] == "10.0.0.1:7400"
    assert "procurator-worker --config" in asked["script"]


async def test_nix_flake_init_makes_a_flake_of_its_own(tmp_path: Path) -> None:
    root, mine = a_copy(tmp_path), tmp_path / "mine"
    flake = root / "flake.nix"
    text, replaced = re.subn(r"github:NixOS/nixpkgs/[a-z0-9.-]+", f"path:{root}/nix/checks/stand-in", flake.read_text())
    assert replaced == 1
    flake.write_text(text)
    mine.mkdir()
    environment = NixEnvironment(tmp_path / "nix").write()
    await run(("nix", "flake", "init", "-t", f"path:{root}"), deadline=60, env=environment.env, cwd=mine)
    written = {str(file.relative_to(mine)) for file in mine.rglob("*") if file.is_file()}
    source = REPOSITORY / "example/nixos"
    assert written == {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    inputs = ("--override-input", "procurator", f"path:{root}/nix")
    printed = await nix(tmp_path, "eval", "--json", f"path:{mine}#blueprintJSON", *inputs)
    assert set(json.loads(printed)["vms"]) == {"web", "db", "batch"}
