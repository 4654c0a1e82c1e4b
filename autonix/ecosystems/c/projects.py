"""C and C++ projects of a tree: CMake, Meson, autotools, else a Makefile; nothing is configured or run."""

import re
from collections.abc import Collection, Iterator, Sequence

from autonix.ecosystems.c.autotools import CONFIGURE, autotools_project
from autonix.ecosystems.c.make import make_projects
from autonix.ecosystems.merge import distinct
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Project, Toolchain
from autonix.formats.cmake import CmakeCommand, parse_cmake
from autonix.formats.meson import MesonCall, parse_meson
from autonix.reader import Reader, folder

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
_MESON_VERSION = re.compile(r"[0-9]+(\.[0-9A-Za-z]+)*([-+][0-9A-Za-z.]+)*")
_TOOLS = frozenset(("threads", "python", "python3", "pkgconfig", "git", "doxygen", "ccache"))
"""What find_package looks for that is no library."""


def c_projects(reader: Reader, others: Collection[str] = ()) -> tuple[Project, ...]:
    """Every outermost build of C; a Makefile counts only where nothing else builds, also not `others` (directories)."""
    found: dict[str, Project] = {}
    for path in reader.named("CMakeLists.txt"):
        _add(found, folder(path), _cmake(path, reader.text(path) or ""))
    for path in reader.named("meson.build"):
        _add(found, folder(path), _meson(path, reader.text(path) or ""))
    for path in reader.named(*CONFIGURE):
        _add(found, folder(path), autotools_project(reader, path))
    for project in make_projects(reader):
        if project.path not in others:
            _add(found, project.path, project)
    outermost = [path for path in found if not any(_holds(other, path) for other in found if other != path)]
    return tuple(found[path] for path in sorted(outermost))


def _add(found: dict[str, Project], directory: str, project: Project | None) -> None:
    """A directory's first build is the one; what lies in a project's own directories is a part of it."""
    if project is not None and directory not in found and not any(_holds(other, directory) for other in found):
        found[directory] = project


def _holds(outer: str, inner: str) -> bool:
    return outer == "." or f"{inner}/".startswith(f"{outer}/")


def _cmake(path: str, text: str) -> Project | None:
    commands = parse_cmake(text)
    project = next((item for item in commands if item.name == "project" and item.words), None)
    if project is None or "${" in project.words[0]:
        return None
    lowest = next((item for item in commands if item.name == "cmake_minimum_required"), None)
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.C,
        manifest=path,
        name=Finding(project.words[0], path, project.line, "c.cmake.project"),
        version=_cmake_version(path, project, commands),
        manager=Finding("cmake", path, 1, "c.manager"),
        entry_points=tuple(
            Finding(EntryPoint(item.words[0], item.words[0]), path, item.line, "c.cmake.add_executable")
            for item in commands
            if item.name == "add_executable"
            and item.words
            and "$" not in item.words[0]
            and "IMPORTED" not in item.words
        ),
        toolchain=tuple(_cmake_tool(path, lowest)) if lowest else (),
        dependencies=distinct(
            [
                Finding(Dependency(item.words[0], group=_group(item)), path, item.line, "c.cmake.find_package")
                for item in commands
                if item.name == "find_package" and item.words and item.words[0].lower() not in _TOOLS
                if "$" not in item.words[0]
            ]
        ),
    )


def _group(command: CmakeCommand) -> Group:
    return Group.RUNTIME if "REQUIRED" in command.words else Group.OPTIONAL


def _cmake_version(path: str, project: CmakeCommand, commands: Sequence[CmakeCommand]) -> Finding[str] | None:
    """`project(x VERSION 1.2)`; a variable where the same file sets it to a literal before."""
    if "VERSION" not in project.words[:-1]:
        return None
    said = project.words[project.words.index("VERSION") + 1]
    if match := re.fullmatch(r"\$\{(\w+)\}", said):
        values = [item for item in commands if item.name == "set" and item.words[:1] == (match[1],)]
        return next(
            (
                Finding(item.words[1], path, item.line, "c.cmake.version")
                for item in values[:1]
                if len(values) == 1 and len(item.words) > 1 and _VERSION.fullmatch(item.words[1])
            ),
            None,
        )
    return Finding(said, path, project.line, "c.cmake.version") if _VERSION.fullmatch(said) else None


def _cmake_tool(path: str, command: CmakeCommand) -> Iterator[Finding[Toolchain]]:
    if len(command.words) > 1 and command.words[0] == "VERSION" and "$" not in command.words[1]:
        lowest = command.words[1].partition("...")[0]
        yield Finding(Toolchain("cmake", f">={lowest}"), path, command.line, "c.cmake.minimum")


def _meson(path: str, text: str) -> Project | None:
    calls = parse_meson(text)
    project = next((call for call in calls if call.name == "project" and call.words), None)
    if project is None:
        return None
    version, lowest = project.keywords.get("version", ""), project.keywords.get("meson_version", "")
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.C,
        manifest=path,
        name=Finding(project.words[0], path, project.line, "c.meson.project"),
        version=Finding(version, path, project.line, "c.meson.version") if _MESON_VERSION.fullmatch(version) else None,
        manager=Finding("meson", path, 1, "c.manager"),
        entry_points=tuple(
            Finding(EntryPoint(call.words[0], call.words[0]), path, call.line, "c.meson.executable")
            for call in calls
            if call.name == "executable" and call.words
        ),
        toolchain=(Finding(Toolchain("meson", lowest), path, project.line, "c.meson.minimum"),) if lowest else (),
        dependencies=distinct([_meson_dependency(path, call) for call in calls if _is_dependency(call)]),
    )


def _is_dependency(call: MesonCall) -> bool:
    return call.name == "dependency" and bool(call.words) and call.words[0].lower() not in _TOOLS


def _meson_dependency(path: str, call: MesonCall) -> Finding[Dependency]:
    found = Dependency(call.words[0], call.keywords.get("version", ""))
    return Finding(found, path, call.line, "c.meson.dependency")
