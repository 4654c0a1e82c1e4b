"""The project's own flake: every output evaluates, with a stand-in for nixpkgs' packages."""

import json
import re
import shutil
import tomllib
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


async def test_a_check_reads_the_settings_that_a_module_renders(tmp_path: Path) -> None:
    asked = await evaluated(
        tmp_path,
        f"checks.{SYSTEM}.worker-settings.arguments",
        apply="a: { inherit (a) script; toml = a.environment.toml; }",
    )
    assert tomllib.loads(asked["toml"])["control_plane"]["address"] == "10.0.0.1:7400"
    assert "procurator-worker --config" in asked["script"]


async def test_the_template_is_a_flake_of_its_own(tmp_path: Path) -> None:
    root = a_copy(tmp_path)
    template = shutil.copytree(root / "example/nixos", tmp_path / "mine")
    inputs = ("--override-input", "procurator", f"path:{root}/nix")
    printed = await nix(tmp_path, "eval", "--json", f"path:{template}#blueprintJSON", *inputs)
    assert set(json.loads(printed)["vms"]) == {"web", "db", "batch"}
