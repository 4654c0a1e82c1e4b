"""Zig packages of a tree: build.zig.zon, and the executables that build.zig names in so many words."""

import re
from collections.abc import Iterator
from itertools import islice

from autonix.findings import Confidence, Dependency, Ecosystem, EntryPoint, Finding, Project, Toolchain
from autonix.formats.document import Document
from autonix.reader import Reader, beside, folder

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|(//[^\n]*)')
_EXECUTABLE = re.compile(r"\baddExecutable\s*\(\s*\.\{")
_MOST = 100
_NAME = re.compile(r'\.name\s*=\s*"([^"\\\n]+)"')


def zig_projects(reader: Reader) -> tuple[Project, ...]:
    """Every build.zig, with the manifest beside it where there is one."""
    directories = sorted({folder(path) for path in reader.named("build.zig", "build.zig.zon")})
    return tuple(_project(reader, directory) for directory in directories)


def _project(reader: Reader, directory: str) -> Project:
    path, script = beside(directory, "build.zig.zon"), beside(directory, "build.zig")
    document = reader.zon(path) or Document(path, {})
    manifest = path if reader.has(path) else script
    lowest = document.text("minimum_zig_version")
    return Project(
        path=directory,
        ecosystem=Ecosystem.ZIG,
        manifest=manifest,
        name=document.said("name", rule="zig.zon.name"),
        version=document.said("version", rule="zig.zon.version"),
        manager=Finding("zig", manifest, 1, "zig.manager"),
        entry_points=tuple(_executables(reader, script)),
        toolchain=(
            (document.finding(Toolchain("zig", f">={lowest}"), "minimum_zig_version", rule="zig.zon.minimum"),)
            if lowest
            else ()
        ),
        dependencies=tuple(
            document.finding(Dependency(name), "dependencies", name, rule="zig.zon.dependencies")
            for name in document.table("dependencies")
        ),
    )


def _executables(reader: Reader, path: str) -> Iterator[Finding[EntryPoint]]:
    """The `.name` of each `addExecutable(.{ … })`, at the outermost level of its braces."""
    text = _COMMENT.sub(lambda match: " " * len(match[1]) if match[1] else match[0], reader.text(path) or "")
    seen: set[str] = set()
    for call in islice(_EXECUTABLE.finditer(text), _MOST):
        body = _outermost(text, call.end())
        name = _NAME.search(body)
        if name is not None and name[1] not in seen:
            seen.add(name[1])
            line = text.count("\n", 0, call.end() + name.start()) + 1
            point = EntryPoint(name[1], name[1])
            yield Finding(point, path, line, "zig.build.addExecutable", Confidence.LIKELY)


def _outermost(text: str, start: int) -> str:
    """The text up to the closing brace, with what deeper braces hold blanked; strings hold no braces that count."""
    kept: list[str] = []
    depth, quoted = 0, False
    for index in range(start, min(len(text), start + 20_000)):
        character = text[index]
        if character == '"' and text[index - 1] != "\\":
            quoted = not quoted
        elif not quoted and character in "{(":
            depth += 1
        elif not quoted and character in "})":
            if depth == 0:
                break
            depth -= 1
        kept.append(character if depth == 0 or character == "\n" else " ")
    return "".join(kept)
