"""pyproject.toml: PEP 621 and what poetry, pdm, uv, hatch, poe and flit add to it; other files are not looked at.

`tool.poetry` counts only for what `[project]` does not say, as poetry itself has it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from autonix.ecosystems.python.requirement import dependency, normal_name
from autonix.findings import (
    Command,
    Confidence,
    Dependency,
    Ecosystem,
    EntryPoint,
    Finding,
    Group,
    Project,
    Toolchain,
)
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.reader import folder

_BACKENDS = {
    "poetry.core.masonry.api": "poetry",
    "poetry.masonry.api": "poetry",
    "pdm.backend": "pdm",
    "pdm.pep517.api": "pdm",
    "hatchling.build": "hatch",
    "flit_core.buildapi": "flit",
    "uv_build": "uv",
    "maturin": "maturin",
    "setuptools.build_meta": "setuptools",
}
_BODIES = ("cmd", "shell", "script", "sequence", "composite")
_TASKS: tuple[tuple[str, tuple[Key, ...]], ...] = (
    ("pdm", ("tool", "pdm", "scripts")),
    ("poe", ("tool", "poe", "tasks")),
    ("taskipy", ("tool", "taskipy", "tasks")),
    ("hatch", ("tool", "hatch", "envs", "default", "scripts")),
)


def describes_project(document: Document) -> bool:
    """Whether it is about something that is built, and not only settings of tools."""
    tables: tuple[tuple[Key, ...], ...] = (
        ("project",),
        ("tool", "poetry"),
        ("build-system",),
        ("tool", "uv", "workspace"),
    )
    return any(document.get(*keys) is not None for keys in tables)


def from_pyproject(document: Document) -> list[Project]:
    """What the file says, strongest source first."""
    return [_pep621(document), _poetry(document)]


def _pep621(document: Document) -> Project:
    rule = "python.pep621"
    license_ = document.said("project", "license", rule=f"{rule}.license") or document.said(
        "project", "license", "text", rule=f"{rule}.license"
    )
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.PYTHON,
        manifest=document.path,
        name=document.said("project", "name", rule=f"{rule}.name"),
        version=document.said("project", "version", rule=f"{rule}.version"),
        description=document.said("project", "description", rule=f"{rule}.description"),
        license=license_,
        manager=_manager(document),
        build_system=tuple(_build_requirements(document)),
        entry_points=tuple(_entry_points(document)),
        scripts=tuple(_tasks(document)),
        toolchain=tuple(_toolchain(document, ("project", "requires-python"), f"{rule}.requires-python")),
        dependencies=tuple(_pep621_dependencies(document)),
        members=tuple(_members(document)),
    )


def _members(document: Document) -> Iterator[Finding[str]]:
    """The globs of a uv workspace; what it excludes comes last, with a `!`."""
    yield from document.strings("tool", "uv", "workspace", "members", rule="python.uv.workspace")
    for excluded in document.strings("tool", "uv", "workspace", "exclude", rule="python.uv.workspace"):
        yield replace(excluded, value=f"!{excluded.value}")


def _manager(document: Document) -> Finding[str] | None:
    for tool in ("uv", "poetry", "pdm"):
        if document.table("tool", tool):
            return document.finding(tool, "tool", tool, rule=f"python.{tool}.table")
    backend = document.text("build-system", "build-backend")
    if backend in _BACKENDS:
        return document.finding(
            _BACKENDS[backend],
            "build-system",
            "build-backend",
            rule="python.build-backend",
            confidence=Confidence.LIKELY,
        )
    return None


def _build_requirements(document: Document) -> Iterator[Finding[str]]:
    for said in document.strings("build-system", "requires", rule="python.build-system.requires"):
        if (parsed := dependency(said.value, Group.BUILD)) is not None:
            yield Finding(parsed.name, said.file, said.line, said.rule)


def _entry_points(document: Document) -> Iterator[Finding[EntryPoint]]:
    tables: tuple[tuple[Key, ...], ...] = (
        ("project", "scripts"),
        ("project", "gui-scripts"),
        ("project", "entry-points", "console_scripts"),
    )
    for keys in tables:
        for name, target in document.table(*keys).items():
            if isinstance(target, str):
                yield document.finding(EntryPoint(name, target), *keys, name, rule=f"python.pep621.{keys[1]}")


def _tasks(document: Document) -> Iterator[Finding[Command]]:
    for runner, keys in _TASKS:
        for name, value in document.table(*keys).items():
            text = _task_text(value)
            if name != "_" and text is not None:
                command = Command(name, text, runner, purpose_of(name, text))
                yield document.finding(command, *keys, name, rule=f"python.{runner}.script")


def _task_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[key] for key in _BODIES if key in value), None)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " && ".join(value)
    return value if isinstance(value, str) else None


def _toolchain(document: Document, keys: tuple[Key, ...], rule: str) -> Iterator[Finding[Toolchain]]:
    if constraint := document.text(*keys):
        yield document.finding(Toolchain("python", constraint), *keys, rule=rule)


def _pep621_dependencies(document: Document) -> Iterator[Finding[Dependency]]:
    lists: list[tuple[tuple[Key, ...], Group]] = [(("project", "dependencies"), Group.RUNTIME)]
    lists += [
        (("project", "optional-dependencies", name), Group.OPTIONAL)
        for name in document.table("project", "optional-dependencies")
    ]
    lists += [(("dependency-groups", name), Group.DEVELOPMENT) for name in document.table("dependency-groups")]
    lists += [
        (("tool", "pdm", "dev-dependencies", name), Group.DEVELOPMENT)
        for name in document.table("tool", "pdm", "dev-dependencies")
    ]
    lists += [(("tool", "uv", "dev-dependencies"), Group.DEVELOPMENT)]
    for keys, group in lists:
        for said in document.strings(*keys, rule=".".join(["python", *(str(key) for key in keys[:2])])):
            if (parsed := dependency(said.value, group)) is not None:
                yield Finding(parsed, said.file, said.line, said.rule)


def _poetry(document: Document) -> Project:
    rule, base = "python.poetry", ("tool", "poetry")
    table = document.table(*base, "dependencies")
    python = table.get("python")
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.PYTHON,
        manifest=document.path,
        name=document.said(*base, "name", rule=f"{rule}.name"),
        version=document.said(*base, "version", rule=f"{rule}.version"),
        description=document.said(*base, "description", rule=f"{rule}.description"),
        license=document.said(*base, "license", rule=f"{rule}.license"),
        entry_points=tuple(
            document.finding(EntryPoint(name, target), *base, "scripts", name, rule=f"{rule}.scripts")
            for name, target in document.table(*base, "scripts").items()
            if isinstance(target, str)
        ),
        toolchain=(
            (document.finding(Toolchain("python", python), *base, "dependencies", "python", rule=f"{rule}.python"),)
            if isinstance(python, str)
            else ()
        ),
        dependencies=tuple(_poetry_dependencies(document)),
    )


def _poetry_dependencies(document: Document) -> Iterator[Finding[Dependency]]:
    base: tuple[Key, ...] = ("tool", "poetry")
    tables: list[tuple[tuple[Key, ...], Group]] = [
        ((*base, "dependencies"), Group.RUNTIME),
        ((*base, "dev-dependencies"), Group.DEVELOPMENT),
    ]
    tables += [((*base, "group", name, "dependencies"), Group.DEVELOPMENT) for name in document.table(*base, "group")]
    for keys, group in tables:
        for name, value in document.table(*keys).items():
            if name == "python":
                continue
            optional = isinstance(value, dict) and value.get("optional") is True
            extras = value.get("extras") if isinstance(value, dict) else None
            known = Dependency(
                normal_name(name),
                constraint_of(value),
                Group.OPTIONAL if optional else group,
                features=tuple(sorted(str(item) for item in extras)) if isinstance(extras, list) else (),
            )
            yield document.finding(known, *keys, name, rule="python.poetry.dependencies")


def constraint_of(value: Any) -> str:
    """The version wish of a poetry or Pipfile entry, which is a string or a table."""
    if isinstance(value, dict):
        value = value.get("version")
    return value.strip() if isinstance(value, str) else ""
