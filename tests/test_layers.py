"""The layers hold: pure modules import nothing that acts, services meet only through `schema` (README, "Layers")."""

import ast
import fnmatch
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schema", "nix", "control_plane", "worker", "autonix", "ci_service", "repohub", "cli")
MAY_IMPORT = {
    "schema": {"schema"},
    "nix": {"nix", "schema"},
    "autonix": {"autonix", "nix", "schema"},
    "control_plane": {"control_plane", "nix", "schema"},
    "worker": {"worker", "nix", "schema"},
    "ci_service": {"ci_service", "nix", "schema", "autonix"},
    "repohub": {"repohub", "nix", "schema", "autonix"},
    "cli": {"cli", "nix", "schema", "autonix"},
}
SETTINGS_OF_SERVICES = {
    *("control_plane.settings", "worker.settings", "repohub.settings"),
    *("ci_service.settings", "ci_service.cache.settings"),
}
"""`pcr up` runs the services' programs and renders their settings, so its tests may read the settings models."""
ACTING = {
    *("trio", "asyncio", "anyio", "trio_asyncio", "httpx", "sqlalchemy", "capnp", "textual", "subprocess", "os"),
    *("socket", "time", "random", "logging", "pyroute2", "starlette", "hypercorn", "uvicorn", "threading"),
}
HARD_CAP = 500


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@cache
def layers(kind: str) -> list[str]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns: list[str] = document["tool"]["procurator"]["layers"][kind]
    return patterns


def pure_patterns() -> list[str]:
    return layers("pure")


def pure_modules(pattern: str) -> list[str]:
    """The modules that a pattern names, without those that are said to act."""
    return [name for name in fnmatch.filter(SHIPPED, pattern) if name not in layers("acting")]


SOURCES = {module_name(path): (path, ast.parse(path.read_text())) for path in sources()}
SHIPPED = {name: source for name, source in SOURCES.items() if ".tests" not in name}


@pytest.mark.parametrize("package", PACKAGES)
def test_services_meet_only_through_schema(package: str) -> None:
    breaches = [
        f"{name} imports {wanted}"
        for name, (_, tree) in SHIPPED.items()
        if name.partition(".")[0] == package
        for wanted in imports(tree)
        if wanted.partition(".")[0] in PACKAGES and wanted.partition(".")[0] not in MAY_IMPORT[package]
        if wanted not in SETTINGS_OF_SERVICES
    ]
    assert breaches == []


@pytest.mark.parametrize("pattern", pure_patterns())
def test_pure_modules_do_not_act(pattern: str) -> None:
    matched = pure_modules(pattern)
    assert matched, f"pyproject's layers name {pattern}, and no such module exists"
    breaches = [
        f"{name} imports {wanted}"
        for name in matched
        for wanted in imports(SHIPPED[name][1])
        if wanted.partition(".")[0] in ACTING
    ]
    assert breaches == []


@pytest.mark.parametrize("pattern", pure_patterns())
def test_pure_modules_import_pure_modules_of_ours(pattern: str) -> None:
    pure = {name for known in pure_patterns() for name in pure_modules(known)}
    breaches = [
        f"{name} imports {wanted}"
        for name in pure_modules(pattern)
        for wanted in imports(SHIPPED[name][1])
        if wanted in SHIPPED and wanted not in pure and SHIPPED[wanted][0].name != "__init__.py"
    ]
    assert breaches == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name for name, (path, tree) in SHIPPED.items() if path.read_text().strip() and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_no_module_is_over_the_hard_cap() -> None:
    long = {name: len(path.read_text().splitlines()) for name, (path, _) in SHIPPED.items()}
    assert {name: lines for name, lines in long.items() if lines > HARD_CAP} == {}


def test_every_package_has_a_readme() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "README.md").exists()] == []
