"""JavaScript and TypeScript packages of a tree (package.json, deno.json) with workspaces, locks and Node versions."""

from collections.abc import Iterator
from dataclasses import replace
from posixpath import relpath

from autonix.ecosystems.javascript.deno import CONFIGS, deno_tasks, from_deno
from autonix.ecosystems.javascript.locks import Locked, locked
from autonix.ecosystems.javascript.package import describes_package, from_package, scripts
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Command, Confidence, Finding, Project, Toolchain
from autonix.reader import Reader, beside, folder


def javascript_projects(reader: Reader) -> tuple[Project, ...]:
    """Every package; a member of a workspace takes lock and manager from its root."""
    found: list[Project] = []
    for path in reader.named("package.json"):
        document = reader.json(path)
        if document is not None and describes_package(document):
            project = from_package(document)
            found.append(replace(project, members=project.members or tuple(_pnpm_members(reader, project.path))))
    joined = assigned_workspaces(sorted((*found, *_deno(reader, found)), key=lambda project: project.path))
    roots = {project.path: project for project in joined}
    return tuple(_completed(reader, project, roots) for project in joined)


def _deno(reader: Reader, packages: list[Project]) -> Iterator[Project]:
    """Packages of deno; one beside a package.json only adds its tasks to that."""
    known = {project.path for project in packages}
    for path in reader.named(*CONFIGS):
        document = reader.json(path) if folder(path) not in known else None
        project = from_deno(document) if document is not None else None
        if project is not None:
            known.add(project.path)
            yield project


def _all_scripts(reader: Reader, project: Project, runner: str) -> Iterator[Finding[Command]]:
    document = reader.json(project.manifest)
    if document is not None and not project.manifest.endswith(CONFIGS):
        yield from scripts(document, runner)
    for name in CONFIGS:
        config = reader.json(beside(project.path, name))
        if config is not None:
            yield from deno_tasks(config)


def _pnpm_members(reader: Reader, directory: str) -> Iterator[Finding[str]]:
    document = reader.yaml(beside(directory, "pnpm-workspace.yaml"))
    if document is not None:
        yield from document.strings("packages", rule="javascript.pnpm-workspace")


def _completed(reader: Reader, project: Project, roots: dict[str, Project]) -> Project:
    root = roots.get(project.workspace or "", project)
    own = locked(reader, project.path)
    lock = own or locked(reader, root.path)
    base = project.path if own else root.path
    manager = _manager(project, root, lock)
    return replace(
        project,
        manager=manager,
        lock=lock.lock if lock else None,
        scripts=tuple(_all_scripts(reader, project, manager.value)),
        toolchain=(*_node_version(reader, project.path), *project.toolchain),
        dependencies=tuple(
            replace(item, value=replace(item.value, locked=lock.version(relpath(project.path, base), item.value)))
            for item in project.dependencies
        )
        if lock
        else project.dependencies,
    )


def _manager(project: Project, root: Project, lock: Locked | None) -> Finding[str]:
    said = project.manager or root.manager
    if said is not None:
        return said
    if lock is not None:
        return Finding(lock.lock.value.tool, lock.lock.file, 1, "javascript.manager.lock")
    return Finding("npm", project.manifest, 1, "javascript.manager.default", Confidence.LIKELY)


def _node_version(reader: Reader, directory: str) -> Iterator[Finding[Toolchain]]:
    for name in (".nvmrc", ".node-version"):
        path = beside(directory, name)
        for number, line in reader.numbered(path):
            version = line.partition("#")[0].strip()
            if version:
                version = version[1:] if version[:1] == "v" and version[1:2].isdigit() else version
                yield Finding(Toolchain("node", version), path, number, f"javascript{name}")
                return
