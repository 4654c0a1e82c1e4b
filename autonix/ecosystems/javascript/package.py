"""package.json as a project; lock files and version files are not looked at."""

from collections.abc import Iterator
from posixpath import normpath

from autonix.ecosystems.merge import distinct
from autonix.findings import Command, Dependency, Ecosystem, EntryPoint, Finding, Group, Project, Toolchain
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.reader import folder

_GROUPS = (
    ("dependencies", Group.RUNTIME),
    ("devDependencies", Group.DEVELOPMENT),
    ("optionalDependencies", Group.OPTIONAL),
    ("peerDependencies", Group.OPTIONAL),
)
_TOOLS = ("node", "npm", "pnpm", "yarn", "bun")


def describes_package(document: Document) -> bool:
    """Whether it is more than a mark for the module system (`{"type": "module"}`)."""
    return any(document.get(key) for key in ("name", "scripts", "dependencies", "devDependencies", "workspaces"))


def from_package(document: Document) -> Project:
    """What the file says; `manager` only where its own field names one."""
    rule = "javascript.package"
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.JAVASCRIPT,
        manifest=document.path,
        name=document.said("name", rule=f"{rule}.name"),
        version=document.said("version", rule=f"{rule}.version"),
        description=document.said("description", rule=f"{rule}.description"),
        license=document.said("license", rule=f"{rule}.license"),
        manager=_manager(document),
        entry_points=tuple(_entry_points(document)),
        toolchain=tuple(_toolchain(document)),
        dependencies=distinct(list(_dependencies(document))),
        members=tuple(_members(document)),
    )


def scripts(document: Document, runner: str) -> Iterator[Finding[Command]]:
    """The package's scripts, run by its manager."""
    for name, text in document.table("scripts").items():
        if isinstance(text, str):
            command = Command(name, text, runner, purpose_of(name, text))
            yield document.finding(command, "scripts", name, rule="javascript.package.scripts")


def _manager(document: Document) -> Finding[str] | None:
    name, at, _ = document.text("packageManager").partition("@")
    if at and name in _TOOLS:
        return document.finding(name, "packageManager", rule="javascript.package.packageManager")
    return None


def _entry_points(document: Document) -> Iterator[Finding[EntryPoint]]:
    rule = "javascript.package.bin"
    if target := document.text("bin"):
        name = document.text("name").rpartition("/")[2]
        yield document.finding(EntryPoint(name, normpath(target)), "bin", rule=rule)
    for name, target in document.table("bin").items():
        if isinstance(target, str) and target:
            yield document.finding(EntryPoint(name, normpath(target)), "bin", name, rule=rule)


def _toolchain(document: Document) -> Iterator[Finding[Toolchain]]:
    name, _, version = document.text("packageManager").partition("@")
    if name in _TOOLS and version:
        pinned = Toolchain(name, version.partition("+")[0])
        yield document.finding(pinned, "packageManager", rule="javascript.package.packageManager")
    for table in ("volta", "engines"):
        for tool in _TOOLS:
            keys: tuple[Key, ...] = (table, tool)
            if constraint := document.text(*keys):
                yield document.finding(Toolchain(tool, constraint), *keys, rule=f"javascript.package.{table}")


def _dependencies(document: Document) -> Iterator[Finding[Dependency]]:
    for table, group in _GROUPS:
        for name, constraint in document.table(table).items():
            if isinstance(constraint, str):
                found = Dependency(name, constraint, group)
                yield document.finding(found, table, name, rule=f"javascript.package.{table}")


def _members(document: Document) -> Iterator[Finding[str]]:
    rule = "javascript.package.workspaces"
    yield from document.strings("workspaces", rule=rule)
    yield from document.strings("workspaces", "packages", rule=rule)
