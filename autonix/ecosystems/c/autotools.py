"""Projects of autotools: configure.ac for name, version and libraries, Makefile.am for the programs; nothing is run."""

import re
from collections.abc import Iterator, Sequence

from autonix.ecosystems.merge import distinct
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Project, Toolchain
from autonix.formats.m4 import MacroCall, parse_m4
from autonix.reader import Reader, folder

CONFIGURE = ("configure.ac", "configure.in")
_VERSION = re.compile(r"[0-9]+(\.[0-9A-Za-z]+)*([-+~][0-9A-Za-z.]+)*")
_NAME = re.compile(r"[A-Za-z0-9][^$\[\]()`\\]*")
_PROGRAMS = re.compile(r"^(?:s?bin|libexec)_PROGRAMS\s*\+?=[ \t]*(?P<names>(?:[^\\\n]|\\\n|\\.)*)", re.MULTILINE)
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_MODULE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]*)(?:\s*(>=|<=|!=|=|>|<)\s*([^\s,]+))?[\s,]*")


def autotools_project(reader: Reader, path: str) -> Project | None:
    """What a configure.ac says; None where it names no package."""
    calls = parse_m4(reader.text(path) or "")
    known = {call.arguments[0]: call.arguments[1] for call in calls if _defines(call)}
    begun = next((call for call in calls if call.name == "AC_INIT" and call.arguments), None)
    if begun is None:
        return None
    words = [known.get(word, word) for word in begun.arguments]
    name = words[3] if len(words) > 3 and _NAME.fullmatch(words[3]) else words[0]
    version = words[1] if len(words) > 1 else ""
    lowest = next((call for call in calls if call.name == "AC_PREREQ" and call.arguments), None)
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.C,
        manifest=path,
        name=Finding(name, path, begun.line, "c.autotools.name") if _NAME.fullmatch(name) else None,
        version=Finding(version, path, begun.line, "c.autotools.version") if _VERSION.fullmatch(version) else None,
        manager=Finding("autotools", path, 1, "c.manager"),
        entry_points=tuple(_programs(reader, folder(path))),
        toolchain=(
            (Finding(Toolchain("autoconf", f">={lowest.arguments[0]}"), path, lowest.line, "c.autotools.prereq"),)
            if lowest is not None and _VERSION.fullmatch(lowest.arguments[0])
            else ()
        ),
        dependencies=distinct(list(_modules(path, calls))),
    )


def _defines(call: MacroCall) -> bool:
    return call.name in ("m4_define", "AC_SUBST") and len(call.arguments) == 2


def _modules(path: str, calls: Sequence[MacroCall]) -> Iterator[Finding[Dependency]]:
    """What pkg-config is asked for; a call with an action for its absence may do without, but says what it knows."""
    for call in calls:
        if call.name != "PKG_CHECK_MODULES" or len(call.arguments) < 2 or "$" in call.arguments[1]:
            continue
        for match in _MODULE.finditer(call.arguments[1]):
            constraint = f"{match[2]} {match[3]}" if match[2] else ""
            yield Finding(Dependency(match[1], constraint), path, call.line, "c.autotools.pkg-config")


def _programs(reader: Reader, directory: str) -> Iterator[Finding[EntryPoint]]:
    seen: set[str] = set()
    for path in reader.named("Makefile.am"):
        if directory != "." and not path.startswith(f"{directory}/"):
            continue
        text = reader.text(path) or ""
        for match in _PROGRAMS.finditer(text):
            for word in match["names"].partition("#")[0].replace("\\\n", " ").split():
                if _PROGRAM.fullmatch(word) and word not in seen:
                    seen.add(word)
                    line = text.count("\n", 0, match.start()) + 1
                    yield Finding(EntryPoint(word, word), path, line, "c.automake.programs")
