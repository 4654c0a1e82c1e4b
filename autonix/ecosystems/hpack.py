"""hpack's package.yaml, from which stack makes a .cabal file; the projects over it are `haskell.py`'s."""

from collections.abc import Iterator
from posixpath import normpath
from typing import Any

from autonix.ecosystems.merge import distinct
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Project
from autonix.formats.document import Document, Key
from autonix.reader import folder

_TABLES = (
    ("library", Group.RUNTIME),
    ("executable", Group.RUNTIME),
    ("executables", Group.RUNTIME),
    ("internal-libraries", Group.RUNTIME),
    ("tests", Group.DEVELOPMENT),
    ("benchmarks", Group.DEVELOPMENT),
)
_SINGLE = ("library", "executable")


def from_hpack(document: Document) -> Project:
    """What the file says; without a name it is about nothing."""
    rule = "haskell.hpack"
    own = document.text("name")
    version = document.get("version")
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.HASKELL,
        manifest=document.path,
        name=document.said("name", rule=f"{rule}.name"),
        version=document.finding(str(version), "version", rule=f"{rule}.version")
        if isinstance(version, str | int) and not isinstance(version, bool)
        else None,
        description=document.said("synopsis", rule=f"{rule}.synopsis"),
        license=document.said("license", rule=f"{rule}.license"),
        entry_points=tuple(_entry_points(document)),
        dependencies=tuple(
            item for item in distinct(list(_dependencies(document))) if item.value.name != own and item.value.name
        ),
    )


def _parts(document: Document, table: str) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Keys and name of each component of a kind."""
    if table in _SINGLE:
        if document.table(table):
            yield (table,), document.text("name")
    else:
        yield from (((table, name), name) for name in document.table(table))


def _entry_points(document: Document) -> Iterator[Finding[EntryPoint]]:
    for table in ("executable", "executables"):
        for keys, name in _parts(document, table):
            directory = document.text(*keys, "source-dirs") or next(
                (item for item in document.array(*keys, "source-dirs") if isinstance(item, str)), ""
            )
            if main := document.text(*keys, "main"):
                target = normpath(f"{directory}/{main}" if directory else main)
                yield document.finding(EntryPoint(name, target), *keys, rule="haskell.hpack.executable")


def _dependencies(document: Document) -> Iterator[Finding[Dependency]]:
    yield from _listed(document, ("dependencies",), Group.RUNTIME)
    for table, group in _TABLES:
        for keys, _ in _parts(document, table):
            yield from _listed(document, (*keys, "dependencies"), group)


def _listed(document: Document, keys: tuple[Key, ...], group: Group) -> Iterator[Finding[Dependency]]:
    value: Any = document.get(*keys)
    if isinstance(value, dict):
        pairs = [(str(name), item, (*keys, str(name))) for name, item in value.items()]
    else:
        many = value if isinstance(value, list) else [value]
        pairs = [(*_split(item), (*keys, index)) for index, item in enumerate(many)]
    for name, constraint, where in pairs:
        wish = constraint.get("version") if isinstance(constraint, dict) else constraint
        found = Dependency(name, wish if isinstance(wish, str) and wish != "*" else "", group)
        yield document.finding(found, *where, rule="haskell.hpack.dependencies")


def _split(item: Any) -> tuple[str, Any]:
    if isinstance(item, dict):
        return str(item.get("name") or ""), item.get("version")
    name, _, constraint = str(item or "").strip().partition(" ")
    return name, constraint.strip()
