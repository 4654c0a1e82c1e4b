"""sbt builds as far as their text shows: literal settings, subprojects and libraries; no build is run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from autonix.ecosystems.merge import distinct
from autonix.findings import Confidence, Dependency, Ecosystem, EntryPoint, Finding, Group, Project, Toolchain
from autonix.reader import Reader, beside, folder

_SKIPPED = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|(/\*(?:.|\n)*?\*/|//[^\n]*)')
_START = re.compile(r"[^\s)}\].,]")
_PROJECT = re.compile(
    r"lazy\s+val\s+(?P<name>`[^`\n]+`|\w+)\s*(?::\s*Project)?\s*=\s*\(?\s*project\b"
    r"(?:\s*\.?\s*in\s*\(?\s*file\(\s*\"(?P<directory>[^\"\n]*)\"\s*\))?"
)
_VALUE = re.compile(r"(?:lazy\s+)?val\s+(\w+)(?:\s*:\s*String)?\s*=\s*\"([^\"\n]*)\"")
_SETTING = (
    r"(?<![\w./])(?P<scope>ThisBuild\s*/\s*)?{name}(?P<old>\s+in\s+ThisBuild)?"
    r"\s*:=\s*(?:\"(?P<text>[^\"\n]*)\"|(?P<word>\w+))"
)
_LIBRARY = re.compile(
    r"\"(?P<group>[^\"\n]+)\"\s*%%?%?\s*\"(?P<artifact>[^\"\n]+)\"\s*%\s*(?P<version>\"[^\"\n]*\"|\w+)"
    r"(?:\s*%\s*(?P<scope>\"[^\"\n]*\"|\w+))?"
)
_MAIN = re.compile(r"\bmainClass\s*(?:in\s+\w+\s*)?:=\s*Some\(\s*\"([^\"\n]+)\"\s*\)")
_PLUGINS = re.compile(r"\benablePlugins\(([^()]*)\)")
_PACKAGED = frozenset(("JavaAppPackaging", "JavaServerAppPackaging", "PlayScala", "PlayJava", "PlayService"))
_PLAY = frozenset(("PlayScala", "PlayJava", "PlayService"))
_SBT = re.compile(r"\s*sbt\.version\s*[=:]\s*([0-9][\w.-]*)\s*")
_SCOPES = {"test": Group.DEVELOPMENT, "it": Group.DEVELOPMENT, "provided": Group.BUILD, "compile": Group.RUNTIME}
_LONGEST = 400_000


@dataclass(frozen=True, slots=True)
class _Part:
    """A statement of a build at its outermost level, and the line in which it begins."""

    text: str
    line: int

    def at(self, offset: int) -> int:
        return self.line + self.text.count("\n", 0, offset)


@dataclass(frozen=True, slots=True)
class _Build:
    """The statements of the whole build that are of no subproject, and the values that it gives names to."""

    path: str
    shared: Sequence[_Part]
    values: Mapping[str, str]


def sbt_projects(reader: Reader) -> Iterator[Project]:
    """Every build, and the subprojects that it puts into directories of their own."""
    roots = sorted(folder(path) for path in reader.named("build.sbt"))
    for directory in roots:
        outer = [root for root in roots if root != directory and (root == "." or directory.startswith(f"{root}/"))]
        if not outer or reader.has(beside(directory, "project/build.properties")):
            yield from _projects(reader, directory)


def _projects(reader: Reader, directory: str) -> Iterator[Project]:
    path = beside(directory, "build.sbt")
    parts = list(_parts((reader.text(path) or "")[:_LONGEST]))
    values = {match[1]: match[2] for part in parts if (match := _VALUE.match(part.text))}
    inner: dict[str, tuple[str, _Part]] = {}
    shared, own = [], []
    for part in parts:
        match = _PROJECT.match(part.text)
        if match is None:
            shared.append(part)
            continue
        name = match["name"].strip("`")
        where = beside(directory, match["directory"] if match["directory"] is not None else name)
        if where == directory or where.startswith(".."):
            own.append(part)
        else:
            inner[where] = name, part
    build = _Build(path, shared, values)
    root = _project(build, directory, (*own, *shared))
    members = [Finding(where, path, inner[where][1].line, "java.sbt.project") for where in sorted(inner)]
    yield replace(root, toolchain=(*_launcher(reader, directory), *root.toolchain), members=_inside(members, directory))
    for where, (name, part) in inner.items():
        found = _project(build, where, (part,))
        yield found if found.name else replace(found, name=Finding(name, path, part.line, "java.sbt.project"))


def _inside(members: Sequence[Finding[str]], directory: str) -> tuple[Finding[str], ...]:
    return tuple(replace(each, value=each.value.removeprefix(f"{directory}/")) for each in members)


def _parts(text: str) -> Iterator[_Part]:
    """Statements begin at the margin; comments are blanked, lines kept."""
    plain = _SKIPPED.sub(lambda match: re.sub(r"[^\n]", " ", match[1]) if match[1] else match[0], text)
    lines = plain.split("\n")
    starts = [number for number, line in enumerate(lines) if _START.match(line)]
    for start, end in zip(starts, [*starts, len(lines)][1:], strict=True):
        yield _Part("\n".join(lines[start:end]), start + 1)


def _project(build: _Build, directory: str, parts: Sequence[_Part]) -> Project:
    scala = _setting(build, "scalaVersion", parts)
    return Project(
        path=directory,
        ecosystem=Ecosystem.JAVA,
        manifest=build.path,
        name=_setting(build, "name", parts, is_own=True),
        version=_setting(build, "version", parts),
        description=_setting(build, "description", parts, is_own=True),
        manager=Finding("sbt", build.path, 1, "java.manager"),
        entry_points=tuple(_mains(build, parts)),
        toolchain=(Finding(Toolchain("scala", scala.value), scala.file, scala.line, scala.rule),) if scala else (),
        frameworks=tuple(_play(build, parts)),
        dependencies=distinct([item for part in parts for item in _libraries(build, part)]),
    )


def _setting(build: _Build, name: str, parts: Sequence[_Part], *, is_own: bool = False) -> Finding[str] | None:
    """What a project's own statements set to a literal, else what the file sets for the whole build."""
    pattern = re.compile(_SETTING.format(name=name))
    for part in (*parts, *(() if is_own else build.shared)):
        for match in pattern.finditer(part.text):
            if part not in parts and not (match["scope"] or match["old"]):
                continue
            said = match["text"] if match["text"] is not None else build.values.get(match["word"], "")
            if said:
                return Finding(said, build.path, part.at(match.start()), f"java.sbt.{name}")
    return None


def _mains(build: _Build, parts: Sequence[_Part]) -> Iterator[Finding[EntryPoint]]:
    """A main class, or a packaging plugin, which makes a start script of the project's name."""
    name = _setting(build, "name", parts, is_own=True)
    for part in parts:
        for match in _MAIN.finditer(part.text):
            point = EntryPoint(name.value if name else match[1].rpartition(".")[2], match[1])
            yield Finding(point, build.path, part.at(match.start()), "java.sbt.mainClass")
            return
        for match in _PLUGINS.finditer(part.text):
            if name is not None and not _PACKAGED.isdisjoint(re.findall(r"\w+", match[1])):
                point = EntryPoint(name.value, name.value)
                yield Finding(point, build.path, part.at(match.start()), "java.sbt.packaging", Confidence.LIKELY)
                return


def _play(build: _Build, parts: Sequence[_Part]) -> Iterator[Finding[str]]:
    for part in parts:
        for match in _PLUGINS.finditer(part.text):
            if not _PLAY.isdisjoint(re.findall(r"\w+", match[1])):
                yield Finding("play", build.path, part.at(match.start()), "java.sbt.play")
                return


def _libraries(build: _Build, part: _Part) -> Iterator[Finding[Dependency]]:
    for match in _LIBRARY.finditer(part.text):
        said = match["version"]
        version = said.strip('"') if said.startswith('"') else build.values.get(said, "")
        scope = (match["scope"] or "compile").strip('"').lower().partition("->")[0].partition(",")[0]
        if "addSbtPlugin" in part.text or "addCompilerPlugin" in part.text[max(0, match.start() - 40) : match.start()]:
            continue
        found = Dependency(
            f"{match['group']}:{match['artifact']}",
            version,
            _SCOPES.get(scope, Group.RUNTIME),
            locked=version if version[:1].isdigit() else None,
        )
        line = part.at(match.start())
        yield Finding(found, build.path, line, "java.sbt.libraryDependencies", Confidence.LIKELY)


def _launcher(reader: Reader, directory: str) -> Iterator[Finding[Toolchain]]:
    path = beside(directory, "project/build.properties")
    for number, line in reader.numbered(path):
        if match := _SBT.fullmatch(line):
            yield Finding(Toolchain("sbt", match[1]), path, number, "java.sbt.launcher")
            return
