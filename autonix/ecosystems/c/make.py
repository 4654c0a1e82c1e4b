"""Projects of C that only a Makefile builds: it lies beside sources, and nothing else claims them."""

import re
from collections.abc import Iterator

from autonix.findings import Confidence, Ecosystem, EntryPoint, Finding, Project
from autonix.reader import Reader, beside, folder
from autonix.tasks import MAKEFILES

_SOURCE = (".c", ".cc", ".cpp", ".cxx")
_INSIDE = ("", "src", "source", "sources")
_ASSIGNED = re.compile(r"(?P<name>[A-Z_]+)\s*[:?]?:?=\s*(?P<value>[^\s#$]+)\s*")
_RULE = re.compile(r"(?P<value>[a-z0-9][a-z0-9_+-]*)\s*:(?!=)\s*(?:[\w./-]+\s+)*[\w./-]+\.(?:c|cc|cpp|cxx)\b.*")
_PROGRAM = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
_VERSION = re.compile(r"[0-9]+(\.[0-9A-Za-z]+)*")
_NAMES = ("NAME", "PROJECT", "PACKAGE")
_OF_RULE = ""
"""The first target that is made from a source."""
_PROGRAMS = ("PROGRAM", "PROG", "TARGET", "BIN", "EXE", "EXECUTABLE", "NAME", _OF_RULE)
SETTINGS = "config.mk"


def make_projects(reader: Reader) -> Iterator[Project]:
    """Every directory with a Makefile and C or C++ sources in it or in its `src`."""
    for name in MAKEFILES:
        for path in reader.named(name):
            if _has_sources(reader, folder(path)):
                yield _project(reader, path)


def _has_sources(reader: Reader, directory: str) -> bool:
    inside = {beside(directory, name) if name else directory for name in _INSIDE}
    return any(path.endswith(_SOURCE) and folder(path) in inside for path in reader.below(directory))


def _project(reader: Reader, path: str) -> Project:
    assigned: dict[str, Finding[str]] = {}
    for file in (path, beside(folder(path), SETTINGS)):
        for number, line in reader.numbered(file):
            if len(line) < 500 and (match := _ASSIGNED.fullmatch(line)):
                found = Finding(match["value"], file, number, "c.make.variable", Confidence.LIKELY)
                assigned.setdefault(match["name"], found)
            elif len(line) < 500 and (match := _RULE.fullmatch(line)):
                assigned.setdefault(_OF_RULE, Finding(match["value"], file, number, "c.make.rule", Confidence.LIKELY))
    programs = [assigned[name] for name in _PROGRAMS if name in assigned and _PROGRAM.fullmatch(assigned[name].value)]
    version = assigned.get("VERSION")
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.C,
        manifest=path,
        name=next((assigned[name] for name in _NAMES if name in assigned), None),
        version=version if version is not None and _VERSION.fullmatch(version.value) else None,
        manager=Finding("make", path, 1, "c.manager"),
        entry_points=tuple(
            Finding(EntryPoint(found.value, found.value), found.file, found.line, found.rule, found.confidence)
            for found in programs[:1]
        ),
    )
