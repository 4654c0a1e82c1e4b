"""Cargo packages and workspaces of a tree, inherited fields filled in from the root; nothing is resolved."""

from collections.abc import Iterator
from dataclasses import replace

from autonix.ecosystems.merge import distinct
from autonix.ecosystems.rust.locks import Versions, locked_versions
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Lock, Project, Toolchain
from autonix.formats.document import Document, Key
from autonix.reader import Reader, beside, folder

_TABLES = (
    ("dependencies", Group.RUNTIME),
    ("dev-dependencies", Group.DEVELOPMENT),
    ("build-dependencies", Group.BUILD),
)


def rust_projects(reader: Reader) -> tuple[Project, ...]:
    """Every package and every virtual workspace; a member takes inherited fields and the lock from its root."""
    documents = {
        folder(path): document
        for path in reader.named("Cargo.toml")
        if (document := reader.toml(path)) is not None and (document.table("package") or document.table("workspace"))
    }
    bare = [_bare(document) for document in documents.values()]
    return tuple(
        _completed(reader, project, documents[project.path], documents.get(project.workspace or project.path))
        for project in assigned_workspaces(bare)
    )


def _bare(document: Document) -> Project:
    members = list(document.strings("workspace", "members", rule="rust.workspace.members"))
    for excluded in document.strings("workspace", "exclude", rule="rust.workspace.exclude"):
        members.append(replace(excluded, value=f"!{excluded.value}"))
    return Project(folder(document.path), Ecosystem.RUST, document.path, members=tuple(members))


def _completed(reader: Reader, project: Project, document: Document, root: Document | None) -> Project:
    name = document.said("package", "name", rule="rust.package.name")
    directory = project.workspace or project.path
    lock_path = beside(directory, "Cargo.lock")
    lock = reader.toml(lock_path)
    versions = locked_versions(lock)
    return replace(
        project,
        name=name,
        version=_inherited(document, root, "version"),
        description=_inherited(document, root, "description"),
        license=_inherited(document, root, "license"),
        manager=Finding("cargo", document.path, 1, "rust.manager"),
        entry_points=tuple(_entry_points(reader, document, name)),
        toolchain=(*_toolchain_file(reader, project.path, directory), *_rust_version(document, root)),
        dependencies=tuple(_locked(item, versions) for item in distinct(list(_dependencies(document, root)))),
        lock=Finding(Lock("cargo", str(lock.get("version") or "")), lock_path, 1, "rust.lock") if lock else None,
    )


def _inherited(document: Document, root: Document | None, field: str) -> Finding[str] | None:
    if said := document.said("package", field, rule=f"rust.package.{field}"):
        return said
    if root is not None and document.get("package", field, "workspace") is True:
        return root.said("workspace", "package", field, rule=f"rust.workspace.{field}")
    return None


def _rust_version(document: Document, root: Document | None) -> Iterator[Finding[Toolchain]]:
    if said := _inherited(document, root, "rust-version"):
        yield Finding(Toolchain("rust", f">={said.value}"), said.file, said.line, said.rule)


def _toolchain_file(reader: Reader, *directories: str) -> Iterator[Finding[Toolchain]]:
    for directory in dict.fromkeys(directories):
        path = beside(directory, "rust-toolchain.toml")
        document = reader.toml(path)
        if document is not None and (channel := document.text("toolchain", "channel")):
            yield document.finding(Toolchain("rust", channel), "toolchain", "channel", rule="rust.toolchain")
            return
        old = beside(directory, "rust-toolchain")
        text = (reader.text(old) or "").strip()
        if text and "\n" not in text:
            yield Finding(Toolchain("rust", text), old, 1, "rust.toolchain")
            return


def _entry_points(reader: Reader, document: Document, name: Finding[str] | None) -> Iterator[Finding[EntryPoint]]:
    directory = folder(document.path)
    declared: set[str] = set()
    for index, table in enumerate(document.array("bin")):
        if isinstance(table, dict) and isinstance(table.get("name"), str):
            path = table.get("path") if isinstance(table.get("path"), str) else f"src/bin/{table['name']}.rs"
            if not reader.has(beside(directory, str(path))) and name is not None and table["name"] == name.value:
                path = "src/main.rs"
            declared.add(str(path))
            yield document.finding(EntryPoint(table["name"], str(path)), "bin", index, rule="rust.bin")
    if name is None or document.get("package", "autobins") is False:
        return
    main = beside(directory, "src/main.rs")
    if reader.has(main) and "src/main.rs" not in declared:
        yield Finding(EntryPoint(name.value, "src/main.rs"), document.path, name.line, "rust.main")
    binaries = beside(directory, "src/bin")
    for path in reader.below(binaries):
        if path.endswith(".rs"):
            inside = path[len(binaries) - len("src/bin") :]
            stem = inside.removeprefix("src/bin/").removesuffix(".rs").removesuffix("/main")
            if "/" not in stem and inside not in declared:
                yield Finding(EntryPoint(stem, inside), path, 1, "rust.src-bin")


def _dependencies(document: Document, root: Document | None) -> Iterator[Finding[Dependency]]:
    places: list[tuple[Key, ...]] = [()]
    places += [("target", target) for target in document.table("target")]
    for place in places:
        for table, group in _TABLES:
            for name in document.table(*place, table):
                found = _dependency(document, root, (*place, table, name), group)
                yield document.finding(found, *place, table, name, rule=f"rust.{table}")


def _dependency(document: Document, root: Document | None, keys: tuple[Key, ...], group: Group) -> Dependency:
    value, name = document.get(*keys), str(keys[-1])
    features = document.array(*keys, "features")
    if isinstance(value, dict) and value.get("workspace") is True and root is not None:
        inherited = root.get("workspace", "dependencies", name)
        features = [*root.array("workspace", "dependencies", name, "features"), *features]
        value = {
            **(inherited if isinstance(inherited, dict) else {"version": inherited}),
            "optional": value.get("optional"),
        }
    table = value if isinstance(value, dict) else {"version": value}
    version, package = table.get("version"), table.get("package")
    return Dependency(
        package if isinstance(package, str) else name,
        version if isinstance(version, str) else "",
        Group.OPTIONAL if table.get("optional") is True and group is Group.RUNTIME else group,
        features=tuple(sorted({item for item in features if isinstance(item, str)})),
    )


def _locked(item: Finding[Dependency], versions: Versions) -> Finding[Dependency]:
    return replace(item, value=replace(item.value, locked=versions.of(item.value)))
