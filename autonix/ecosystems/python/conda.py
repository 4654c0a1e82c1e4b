"""conda's environment.yml and pixi.toml as projects; channels and platforms are passed over, nothing is solved."""

import re
from collections.abc import Iterator
from typing import Any

from autonix.ecosystems.merge import distinct
from autonix.ecosystems.python.pyproject import constraint_of
from autonix.ecosystems.python.requirement import dependency, normal_name
from autonix.ecosystems.python.requirements import from_requirements, group_of
from autonix.findings import Command, Dependency, Ecosystem, Finding, Group, Project, Toolchain
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.reader import Reader, beside, folder

ENVIRONMENTS = ("environment.yml", "environment.yaml")
PIXI = "pixi.toml"
_MATCH = re.compile(r"(?:[\w./-]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<wish>[=<>!~*\d].*)?")
_INCLUDED = re.compile(r"(?:-r|--requirement)[=\s]+(\S+)")
_TOOLS = frozenset(("pip", "python", "conda", "setuptools", "wheel"))


def from_environment(reader: Reader, document: Document) -> Project | None:
    """What an environment.yml lists; None where it lists nothing."""
    if not document.array("dependencies"):
        return None
    found = list(_listed(reader, document))
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.PYTHON,
        manifest=document.path,
        name=document.said("name", rule="python.conda.name"),
        manager=Finding("conda", document.path, 1, "python.manager.conda"),
        toolchain=tuple(_python(document)),
        dependencies=distinct([item for item in found if item.value.name not in _TOOLS]),
    )


def _listed(reader: Reader, document: Document) -> Iterator[Finding[Dependency]]:
    for index, item in enumerate(document.array("dependencies")):
        keys: tuple[Key, ...] = ("dependencies", index)
        if isinstance(item, str) and (match := _MATCH.fullmatch(item.strip())):
            found = Dependency(normal_name(match["name"]), _wish(match["wish"]))
            yield document.finding(found, *keys, rule="python.conda.dependencies")
        elif isinstance(item, dict):
            yield from _pip(reader, document, (*keys, "pip"))


def _pip(reader: Reader, document: Document, keys: tuple[Key, ...]) -> Iterator[Finding[Dependency]]:
    for said in document.strings(*keys, rule="python.conda.pip"):
        if match := _INCLUDED.match(said.value):
            path = beside(folder(document.path), match[1])
            yield from from_requirements(reader, path, group_of(path))
        elif (parsed := dependency(said.value, Group.RUNTIME)) is not None:
            yield Finding(parsed, said.file, said.line, said.rule)


def _python(document: Document) -> Iterator[Finding[Toolchain]]:
    for index, item in enumerate(document.array("dependencies")):
        match = _MATCH.fullmatch(item.strip()) if isinstance(item, str) else None
        if match is not None and match["name"] == "python" and match["wish"]:
            wish = _wish(match["wish"])
            wanted = wish.lstrip("=") if wish.startswith("=") else wish
            yield document.finding(Toolchain("python", wanted), "dependencies", index, rule="python.conda.python")


def _wish(text: str | None) -> str:
    """`=1.2=py_0` without the build, which names one file."""
    return re.sub(r"(?<=[\w*])=[\w*]+$", "", (text or "").strip().partition("#")[0].strip())


def from_pixi(document: Document) -> Project | None:
    """What a pixi.toml says."""
    base = "workspace" if document.table("workspace") else "project"
    if not document.table(base):
        return None
    rule = "python.pixi"
    python = constraint_of(document.get("dependencies", "python"))
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.PYTHON,
        manifest=document.path,
        name=document.said(base, "name", rule=f"{rule}.name"),
        version=document.said(base, "version", rule=f"{rule}.version"),
        description=document.said(base, "description", rule=f"{rule}.description"),
        manager=Finding("pixi", document.path, 1, "python.manager.pixi"),
        scripts=tuple(_tasks(document)),
        toolchain=(document.finding(Toolchain("python", python), "dependencies", "python", rule=f"{rule}.python"),)
        if python and python != "*"
        else (),
        dependencies=distinct(list(_tables(document))),
    )


def _tables(document: Document) -> Iterator[Finding[Dependency]]:
    tables: list[tuple[tuple[Key, ...], Group]] = [
        (("dependencies",), Group.RUNTIME),
        (("pypi-dependencies",), Group.RUNTIME),
    ]
    for feature in document.table("feature"):
        tables += [(("feature", feature, name), Group.DEVELOPMENT) for name in ("dependencies", "pypi-dependencies")]
    for keys, group in tables:
        for name, value in document.table(*keys).items():
            if name not in _TOOLS:
                wish = constraint_of(value)
                found = Dependency(normal_name(name), "" if wish == "*" else wish, group)
                yield document.finding(found, *keys, name, rule="python.pixi.dependencies")


def _tasks(document: Document) -> Iterator[Finding[Command]]:
    for name, value in document.table("tasks").items():
        text = _text(value.get("cmd") if isinstance(value, dict) else value)
        if text:
            command = Command(name, text, "pixi", purpose_of(name, text))
            yield document.finding(command, "tasks", name, rule="python.pixi.tasks")


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else ""
