"""Haskell packages of a tree: .cabal files, hpack's package.yaml, and the projects of cabal and stack over them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import normpath

from autonix.ecosystems.hpack import from_hpack
from autonix.ecosystems.merge import distinct
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Lock, Project, Toolchain
from autonix.formats.cabal import CabalField, CabalSection, parse_cabal
from autonix.reader import Reader, beside, folder

_DEPENDENCY = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?::(?:\{[^}]*\}|[\w-]+))?\s*(.*)", re.DOTALL)
_COMPILER = re.compile(r"ghc-([0-9][0-9.]*)")
_FROZEN = re.compile(r"any\.([A-Za-z0-9-]+)\s*==\s*([0-9][0-9.]*)")
_PACKAGE = re.compile(r"hackage:\s*([A-Za-z0-9-]+?)-([0-9][0-9.]*)(?:@|$)")
_DEVELOPMENT = ("test-suite", "benchmark")
_PARTS = ("library", "foreign-library", "executable")


def haskell_projects(reader: Reader) -> tuple[Project, ...]:
    """Every package, and every directory with a cabal.project or stack.yaml over others."""
    packages = {folder(path): _package(reader, path) for path in reader.named("*.cabal")}
    for path in reader.named("package.yaml"):
        document = reader.yaml(path)
        if folder(path) not in packages and document is not None:
            packages[folder(path)] = from_hpack(document)
    found = {path: project for path, project in packages.items() if project is not None and project.name is not None}
    roots = sorted({folder(path) for path in reader.named("cabal.project", "stack.yaml")})
    for directory in roots:
        if directory in found:
            members = tuple(item for item in _members(reader, directory, set(found)) if item.value != directory)
            found[directory] = replace(found[directory], members=members)
        elif members := _members(reader, directory, set(found)):
            manifest = _first(reader, directory)
            found[directory] = Project(directory, Ecosystem.HASKELL, manifest, members=members)
    joined = assigned_workspaces([found[path] for path in sorted(found)])
    return tuple(_completed(reader, project) for project in joined)


def _first(reader: Reader, directory: str) -> str:
    path = beside(directory, "stack.yaml")
    return path if reader.has(path) else beside(directory, "cabal.project")


def _completed(reader: Reader, project: Project) -> Project:
    """Manager, lock and compiler come from the nearest stack.yaml or cabal.project; stack's comes first."""
    root = project.workspace or project.path
    is_stack = reader.has(beside(root, "stack.yaml"))
    lock_path = beside(root, "stack.yaml.lock" if is_stack else "cabal.project.freeze")
    tool = "stack" if is_stack else "cabal"
    where = beside(root, "stack.yaml") if is_stack else project.manifest
    versions = dict(_locked(reader, lock_path))
    return replace(
        project,
        manager=Finding(tool, where, 1, "haskell.manager"),
        toolchain=tuple(_compiler(reader, project.path)),
        dependencies=tuple(
            replace(item, value=replace(item.value, locked=versions.get(item.value.name)))
            for item in project.dependencies
        ),
        lock=Finding(Lock(tool), lock_path, 1, f"haskell.lock.{tool}") if reader.has(lock_path) else None,
    )


def _members(reader: Reader, directory: str, known: set[str]) -> tuple[Finding[str], ...]:
    """Directories of packages as cabal.project's or stack.yaml's `packages` names them, relative to the project."""
    said = [*_stack_packages(reader, directory), *_cabal_packages(reader, directory)]
    found: list[Finding[str]] = []
    for item in said:
        text = normpath(item.value)
        text = folder(text) if text.endswith(".cabal") else text
        if text != "." and ("*" in text or beside(directory, text) in known):
            found.append(replace(item, value=text))
    return tuple(found)


def _stack_packages(reader: Reader, directory: str) -> Iterator[Finding[str]]:
    document = reader.yaml(beside(directory, "stack.yaml"))
    if document is not None:
        yield from document.strings("packages", rule="haskell.stack.packages")


def _cabal_packages(reader: Reader, directory: str) -> Iterator[Finding[str]]:
    path = beside(directory, "cabal.project")
    for section in parse_cabal(reader.text(path) or ""):
        if section.kind:
            continue
        for each in section.named("packages"):
            for line, text in each.lines:
                for word in text.replace(",", " ").split():
                    yield Finding(word, path, line, "haskell.cabal-project.packages")


def _compiler(reader: Reader, directory: str) -> Iterator[Finding[Toolchain]]:
    document = reader.yaml(beside(directory, "stack.yaml"))
    if document is not None:
        for key in ("snapshot", "resolver"):
            said = document.text(key)
            if match := _COMPILER.fullmatch(said):
                yield document.finding(Toolchain("ghc", match[1]), key, rule="haskell.stack.resolver")
            elif said.startswith(("lts-", "nightly-")):
                yield document.finding(Toolchain("stackage", said), key, rule="haskell.stack.resolver")
        if match := _COMPILER.fullmatch(document.text("compiler")):
            yield document.finding(Toolchain("ghc", match[1]), "compiler", rule="haskell.stack.compiler")
    path = beside(directory, "cabal.project")
    for section in parse_cabal(reader.text(path) or ""):
        for each in section.named("with-compiler"):
            if match := _COMPILER.fullmatch(each.text):
                yield Finding(Toolchain("ghc", match[1]), path, each.lines[0][0], "haskell.cabal-project.compiler")


def _locked(reader: Reader, path: str) -> Iterator[tuple[str, str]]:
    pattern = _PACKAGE if path.endswith(".lock") else _FROZEN
    for _, line in reader.numbered(path):
        if len(line) < 2000 and (match := pattern.search(line)):
            yield match[1], match[2]


def _package(reader: Reader, path: str) -> Project | None:
    """What a .cabal file says."""
    sections = parse_cabal(reader.text(path) or "")
    top = next((section for section in sections if not section.kind and section.text("name")), None)
    if top is None:
        return None
    common = {section.name: section for section in sections if section.kind == "common"}
    name = top.text("name")
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.HASKELL,
        manifest=path,
        name=_said(path, top, "name"),
        version=_said(path, top, "version"),
        description=_said(path, top, "synopsis"),
        license=_said(path, top, "license"),
        entry_points=tuple(
            _executable(path, section)
            for section in sections
            if section.kind == "executable" and section.name and section.text("main-is")
        ),
        dependencies=tuple(_dependencies(path, sections, common, own=name)),
    )


def _said(path: str, section: CabalSection, name: str) -> Finding[str] | None:
    found = next(section.named(name), None)
    return Finding(found.text, path, found.lines[0][0], f"haskell.cabal.{name}") if found and found.text else None


def _executable(path: str, section: CabalSection) -> Finding[EntryPoint]:
    directory = section.text("hs-source-dirs").replace(",", " ").split()[:1]
    target = normpath("/".join((*directory, section.text("main-is"))))
    return Finding(EntryPoint(section.name, target), path, section.line, "haskell.cabal.executable")


def _dependencies(
    path: str, sections: Sequence[CabalSection], common: Mapping[str, CabalSection], *, own: str
) -> Iterator[Finding[Dependency]]:
    """Of library and executables for run time, of tests and benchmarks for development; never the package itself."""
    found: list[Finding[Dependency]] = []
    for kinds, group in ((_PARTS, Group.RUNTIME), (_DEVELOPMENT, Group.DEVELOPMENT)):
        for section in sections:
            if section.kind in kinds:
                for each in _fields(section, common, depth=0):
                    found += _listed(path, each, group)
    internal = {section.name for section in sections if section.kind == "library"} | {own}
    yield from (item for item in distinct(found) if item.value.name not in internal)


def _fields(section: CabalSection, common: Mapping[str, CabalSection], *, depth: int) -> Iterator[CabalField]:
    """Its `build-depends`, and those of the common stanzas that it imports."""
    for each in section.named("import"):
        for name in each.text.replace(",", " ").split():
            if name in common and depth < 5:
                yield from _fields(common[name], common, depth=depth + 1)
    yield from section.named("build-depends")


def _listed(path: str, each: CabalField, group: Group) -> Iterator[Finding[Dependency]]:
    for line, text in each.lines:
        for part in _parts(text):
            if match := _DEPENDENCY.fullmatch(part):
                yield Finding(Dependency(match[1], match[2].strip(), group), path, line, "haskell.cabal.build-depends")


def _parts(text: str) -> Iterator[str]:
    """The list's elements; a comma inside of braces (`^>= { 1.2, 1.3 }`) parts nothing."""
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            yield text[start:index].strip()
            start = index + 1
    yield text[start:].strip()
