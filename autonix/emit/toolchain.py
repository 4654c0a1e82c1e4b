"""From a version that a project asks for to the package of nixpkgs that has it; it knows names, not whether they exist.

A pin (`20`, `^20.1`, `==3.11.*`, `3.11.4`, `<3.12`) chooses a package; a lower bound alone does not, as
nixpkgs' default is newer. Where nixpkgs has dropped the version, the generated expression falls back to the default.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from autonix.findings import Analysis, Ecosystem, Finding, Project, Toolchain
from autonix.nixast import Node, Select, Var, names

_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Chosen:
    """An expression for a tool and the fact that decided, None where nothing was asked for."""

    node: Node
    because: Finding[Toolchain] | None


@dataclass(frozen=True, slots=True)
class _Tool:
    """`attribute` is nixpkgs' default; `versioned` its name for a (major, minor), None where it has none.

    `newest_first`: of several versions the newest can build for all of them.
    """

    attribute: str
    versioned: Callable[[int, int | None], str | None]
    caret_is_pin: bool = True
    newest_first: bool = False


_TOOLS: Final[Mapping[str, _Tool]] = {
    "python": _Tool("python3", lambda major, minor: None if minor is None else f"python{major}{minor}", False),
    "node": _Tool("nodejs", lambda major, _minor: f"nodejs_{major}"),
    "go": _Tool("go", lambda major, minor: None if minor is None else f"go_{major}_{minor}"),
    "java": _Tool("jdk", lambda major, minor: f"jdk{minor if major == 1 and minor else major}"),
    "php": _Tool("php", lambda major, minor: None if minor is None else f"php{major}{minor}"),
    "ruby": _Tool("ruby", lambda major, minor: None if minor is None else f"ruby_{major}_{minor}"),
    "dotnet": _Tool("dotnet-sdk", lambda major, _minor: f"dotnet-sdk_{major}", newest_first=True),
    "elixir": _Tool("elixir", lambda major, minor: None if minor is None else f"elixir_{major}_{minor}"),
    "zig": _Tool("zig", lambda major, minor: None if minor is None else f"zig_{major}_{minor}"),
}


_OF_ECOSYSTEM: Final = {
    Ecosystem.PYTHON: "python",
    Ecosystem.JAVASCRIPT: "node",
    Ecosystem.GO: "go",
    Ecosystem.JAVA: "java",
    Ecosystem.RUBY: "ruby",
    Ecosystem.PHP: "php",
    Ecosystem.DOTNET: "dotnet",
    Ecosystem.ELIXIR: "elixir",
    Ecosystem.ZIG: "zig",
}
"""The tool that a project cannot do without."""


def with_tools_of_ci(project: Project, analysis: Analysis) -> Project:
    """`project` with the version that CI runs it with, where it asks for none itself and CI knows only one."""
    tool = _OF_ECOSYSTEM.get(project.ecosystem)
    said = [each for each in analysis.ci_tools if each.value.tool == tool]
    versions = {each.value.constraint for each in said}
    if tool is None or len(versions) != 1 or any(each.value.tool == tool for each in project.toolchain):
        return project
    found = Finding(Toolchain(tool, versions.pop()), said[0].file, said[0].line, said[0].rule, said[0].confidence)
    return replace(project, toolchain=(*project.toolchain, found))


def chosen(project: Project, tool: str) -> Chosen:
    """The package for `tool` (a key of the table: `python`, `node` …) that suits the project best."""
    known = _TOOLS[tool]
    default = names(f"pkgs.{known.attribute}")
    wanted = [each for each in project.toolchain if each.value.tool in (tool, f"{tool}js", known.attribute)]
    if known.newest_first:
        wanted.sort(key=lambda each: pinned(each.value.constraint) or (0, 0), reverse=True)
    for finding in sorted(wanted, key=lambda each: not _is_exact(each.value.constraint)):
        version = pinned(finding.value.constraint, caret=known.caret_is_pin)
        attribute = known.versioned(*version) if version else None
        if attribute is not None:
            return Chosen(Select(Var("pkgs"), (attribute,), default), finding)
    return Chosen(default, wanted[0] if wanted else None)


def _is_exact(constraint: str) -> bool:
    return re.fullmatch(r"\s*v?\d+(\.\d+)*\s*", constraint) is not None


def pinned(constraint: str, *, caret: bool = True) -> tuple[int, int | None] | None:
    """(major, minor) that a constraint narrows the choice to, None where the newest will do.

    `caret`: whether `^` and `~=` bound the part that names the package (for Python's 3.x they do not).
    """
    alternatives = [part for part in re.split(r"\|\|", constraint) if part.strip()]
    if not alternatives:
        return None
    for part in re.split(r"[,\s]+(?=[<>=~^!v\d])", alternatives[-1].strip()):
        found = re.match(r"(==|<=|<|>=|>|~=|~|\^|=|!=)?\s*v?(\d+(?:\.\d+)?)", part.strip())
        if found is None or found[1] in (">", ">=", "!="):
            continue
        if found[1] in ("^", "~=") and not caret:
            continue
        number = _NUMBER.match(found[2])
        if number is None:
            continue
        major, minor = int(number[1]), None if number[2] is None else int(number[2])
        return _below(major, minor) if found[1] == "<" else (major, minor)
    return None


def _below(major: int, minor: int | None) -> tuple[int, int | None] | None:
    """The newest version under an exclusive bound; `<4` leaves the choice open (3.x is what there is)."""
    if minor:
        return major, minor - 1
    return None
