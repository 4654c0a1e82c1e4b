"""Go modules of a tree, with workspaces and main packages; imports of source files are not followed."""

import re
from collections.abc import Iterator
from dataclasses import replace

from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Lock, Project, Toolchain
from autonix.formats.gomod import Directive, parse_gomod
from autonix.reader import Reader, beside, folder

_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_MAJOR = re.compile(r"/v[0-9]+$")
_IGNORED = re.compile(r"^//go:build .*\b(ignore|tools?)\b", re.MULTILINE)


def go_projects(reader: Reader) -> tuple[Project, ...]:
    """Every module; the modules that a go.work uses are members of its directory's."""
    modules = sorted({folder(path) for path in reader.named("go.mod")})
    found = [_project(reader, directory, modules) for directory in modules]
    for path in reader.named("go.work"):
        root = folder(path)
        members = tuple(
            Finding(directive.words[0], path, directive.line, "go.work.use")
            for directive in parse_gomod(reader.text(path) or "")
            if directive.verb == "use" and directive.words and directive.words[0] not in (".", "./")
        )
        known = next((project for project in found if project.path == root), None)
        if known is None:
            found.append(
                Project(root, Ecosystem.GO, path, manager=Finding("go", path, 1, "go.manager"), members=members)
            )
        else:
            found[found.index(known)] = replace(known, members=members)
    return assigned_workspaces(found)


def _project(reader: Reader, directory: str, modules: list[str]) -> Project:
    path = beside(directory, "go.mod")
    directives = parse_gomod(reader.text(path) or "")
    module = next((item for item in directives if item.verb == "module" and item.words), None)
    lock = beside(directory, "go.sum")
    return Project(
        path=directory,
        ecosystem=Ecosystem.GO,
        manifest=path,
        name=Finding(module.words[0], path, module.line, "go.module") if module else None,
        manager=Finding("go", path, 1, "go.manager"),
        entry_points=tuple(_entry_points(reader, directory, modules, module)),
        toolchain=tuple(_toolchain(path, directives)),
        dependencies=tuple(_dependencies(path, directives)),
        lock=Finding(Lock("go"), lock, 1, "go.sum") if reader.has(lock) else None,
    )


def _toolchain(path: str, directives: tuple[Directive, ...]) -> Iterator[Finding[Toolchain]]:
    """The exact toolchain before the language's lowest version."""
    for verb, prefix in (("toolchain", ""), ("go", ">=")):
        for item in directives:
            if item.verb == verb and item.words and item.words[0] != "default":
                version = item.words[0].removeprefix("go")
                yield Finding(Toolchain("go", prefix + version), path, item.line, f"go.{verb}")


def _dependencies(path: str, directives: tuple[Directive, ...]) -> Iterator[Finding[Dependency]]:
    for item in directives:
        if item.verb == "require" and len(item.words) == 2 and item.comment != "indirect":
            name, version = item.words
            found = Dependency(name, version, Group.RUNTIME, locked=version.removeprefix("v"))
            yield Finding(found, path, item.line, "go.require")


def _entry_points(
    reader: Reader, directory: str, modules: list[str], module: Directive | None
) -> Iterator[Finding[EntryPoint]]:
    """Directories of the module with a main.go of package main; named as `go install` would."""
    for path in reader.named("main.go"):
        where, text = folder(path), reader.text(path) or ""
        if _owner(where, modules) != directory or _IGNORED.search(text):
            continue
        match = _MAIN.search(text)
        if match is None:
            continue
        inside = "." if where == directory else f"./{where.removeprefix(f'{directory}/')}"
        full = module.words[0] if module else directory
        name = _MAJOR.sub("", full).rpartition("/")[2] if inside == "." else inside.rpartition("/")[2]
        line = text.count("\n", 0, match.start()) + 1
        yield Finding(EntryPoint(name, inside), path, line, "go.package-main")


def _owner(directory: str, modules: list[str]) -> str | None:
    """The deepest module that holds the directory."""
    holding = [module for module in modules if module == "." or f"{directory}/".startswith(f"{module}/")]
    return max(holding, key=lambda module: 0 if module == "." else len(module), default=None)
