"""Python projects of a tree, each from all the files that speak of it; what a file says is its own module's matter."""

from collections.abc import Iterator
from dataclasses import replace

from autonix.ecosystems.merge import distinct, merged
from autonix.ecosystems.python.conda import ENVIRONMENTS, PIXI, from_environment, from_pixi
from autonix.ecosystems.python.locks import locked, pinned
from autonix.ecosystems.python.pyproject import describes_project, from_pyproject
from autonix.ecosystems.python.requirements import (
    from_pipfile,
    from_requirements,
    group_of,
    pipfile_python,
    requirement_files,
)
from autonix.ecosystems.python.setuptools import from_setup_cfg, from_setup_py
from autonix.ecosystems.python.version import pyproject_version, setup_cfg_version
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Confidence, Dependency, Ecosystem, EntryPoint, Finding, Group, Project, Toolchain
from autonix.reader import Reader, beside, folder
from schema.errors import InvalidInput

MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", PIXI, *ENVIRONMENTS, "requirements.txt")
LOCK_MANAGERS = {"uv": "uv", "poetry": "poetry", "pdm": "pdm", "pipenv": "pipenv", "pixi": "pixi"}


def python_projects(reader: Reader) -> tuple[Project, ...]:
    """Every Python project, by path; members know their uv workspace."""
    directories = sorted({folder(path) for path in reader.named(*MANIFESTS)})
    parts = [[*_declared(reader, directory), *_listed(reader, directory)] for directory in directories]
    joined = assigned_workspaces([merged(said) for said in parts if said])
    return tuple(_completed(reader, project) for project in joined)


def _completed(reader: Reader, project: Project) -> Project:
    """`project` with lock, manager, toolchain and what conventions add; a member takes the lock of its workspace."""
    directory = project.path
    lock = locked(reader, directory) or (locked(reader, project.workspace) if project.workspace else None)
    versions = lock.versions if lock else {}
    dependencies = [
        replace(found, value=replace(found.value, locked=versions.get(found.value.name) or pinned(found.value)))
        for found in distinct([*project.dependencies, *_development(reader, directory)])
    ]
    return replace(
        project,
        dependencies=tuple(dependencies),
        lock=lock.lock if lock else None,
        manager=_manager(project, lock.lock.value.tool if lock else None, lock.lock.file if lock else ""),
        entry_points=(*project.entry_points, *_conventional_entry_points(reader, directory)),
        toolchain=(*_version_file(reader, directory), *project.toolchain),
    )


def _declared(reader: Reader, directory: str) -> Iterator[Project]:
    pyproject = reader.toml(beside(directory, "pyproject.toml"))
    if pyproject is not None and describes_project(pyproject):
        for part in from_pyproject(pyproject):
            yield replace(part, version=part.version or pyproject_version(reader, pyproject))
    config = reader.ini(beside(directory, "setup.cfg"))
    if config is not None and (config.table("metadata") or config.table("options")):
        part = from_setup_cfg(config)
        yield replace(part, version=part.version or setup_cfg_version(reader, config))
    script = beside(directory, "setup.py")
    if (text := reader.text(script)) is not None:
        try:
            called = from_setup_py(script, text)
        except InvalidInput as error:
            reader.note(script, error.message)
            called = None
        if called is not None:
            yield called


def _listed(reader: Reader, directory: str) -> Iterator[Project]:
    """Lists of dependencies, which speak for a project only where nothing above declares any."""
    pipfile = reader.toml(beside(directory, "Pipfile"))
    if pipfile is not None:
        yield Project(
            path=directory,
            ecosystem=Ecosystem.PYTHON,
            manifest=pipfile.path,
            dependencies=tuple(from_pipfile(pipfile)),
            toolchain=tuple(pipfile_python(pipfile)),
        )
    yield from _conda(reader, directory)
    path = beside(directory, "requirements.txt")
    if reader.text(path) is not None:
        dependencies = tuple(from_requirements(reader, path, Group.RUNTIME))
        yield Project(path=directory, ecosystem=Ecosystem.PYTHON, manifest=path, dependencies=dependencies)


def _conda(reader: Reader, directory: str) -> Iterator[Project]:
    pixi = reader.toml(beside(directory, PIXI))
    if pixi is not None and (project := from_pixi(pixi)) is not None:
        yield project
    for name in ENVIRONMENTS:
        environment = reader.yaml(beside(directory, name))
        if environment is not None and (project := from_environment(reader, environment)) is not None:
            yield project


def _development(reader: Reader, directory: str) -> Iterator[Finding[Dependency]]:
    for path in requirement_files(reader, directory):
        if group_of(path) is Group.DEVELOPMENT:
            yield from from_requirements(reader, path, Group.DEVELOPMENT)


def _manager(project: Project, lock_tool: str | None, lock_file: str) -> Finding[str]:
    if lock_tool in LOCK_MANAGERS:
        return Finding(LOCK_MANAGERS[lock_tool], lock_file, 1, "python.manager.lock")
    if project.manager is not None:
        return project.manager
    if project.manifest.endswith("Pipfile"):
        return Finding("pipenv", project.manifest, 1, "python.manager.pipfile")
    return Finding("pip", project.manifest, 1, "python.manager.default", Confidence.LIKELY)


def _version_file(reader: Reader, directory: str) -> Iterator[Finding[Toolchain]]:
    for name, prefix in ((".python-version", ""), ("runtime.txt", "python-")):
        path = beside(directory, name)
        lines = [line.strip() for line in (reader.text(path) or "").split("\n")]
        for number, line in enumerate(lines, 1):
            version = line.removeprefix("cpython-").removeprefix(prefix)
            if line.startswith(prefix) and version[:1].isdigit():
                yield Finding(Toolchain("python", version), path, number, f"python.{name.strip('.')}")
                break


def _conventional_entry_points(reader: Reader, directory: str) -> Iterator[Finding[EntryPoint]]:
    manage = beside(directory, "manage.py")
    if "execute_from_command_line" in (reader.text(manage) or ""):
        yield Finding(EntryPoint("manage.py", "manage.py"), manage, 1, "python.django.manage", Confidence.LIKELY)
    for path in reader.named("__main__.py"):
        package = folder(path)
        if folder(package) in (directory, beside(directory, "src")) and package != ".":
            name = package.rpartition("/")[2]
            if reader.has(beside(package, "__init__.py")) and name not in ("tests", "test"):
                yield Finding(EntryPoint(name, f"-m {name}"), path, 1, "python.main-module", Confidence.LIKELY)
