"""Locks of JavaScript: which tool wrote one, and the version that it holds for a dependency; nothing is resolved."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autonix.findings import Dependency, Finding, Lock
from autonix.formats.document import Document
from autonix.reader import Reader, beside

_SPECIFIER = re.compile(r'"?((?:@[^/"]+/)?[^@"/,\s]+)@([^",]+)"?')
_YARN_VERSION = re.compile(r'\s+version:? "?([^"\s]+)"?')
_BUN = re.compile(r"(?:@[^/@]+/)?[^@]+@([0-9][^@]*)")
_LONGEST_LINE = 20_000


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock file; `version(member, dependency)` is what it holds for a package in `member` (relative, "." itself)."""

    lock: Finding[Lock]
    version: Callable[[str, Dependency], str | None] = field(compare=False)


def locked(reader: Reader, directory: str) -> Locked | None:
    """The lock in `directory`, of the first tool that has one there."""
    for name, (tool, parse) in _LOCKS.items():
        path = beside(directory, name)
        if reader.has(path):
            form, version = parse(reader, path)
            return Locked(Finding(Lock(tool, form), path, 1, f"javascript.lock.{tool}"), version)
    return None


Parsed = tuple[str, Callable[[str, Dependency], str | None]]


def _npm(reader: Reader, path: str) -> Parsed:
    document = reader.json(path) or Document(path, {})
    packages, old = document.table("packages"), document.table("dependencies")

    def version(member: str, wanted: Dependency) -> str | None:
        inner = "" if member == "." else f"{member}/"
        for key in (f"{inner}node_modules/{wanted.name}", f"node_modules/{wanted.name}"):
            if found := _text(packages.get(key), "version"):
                return found
        return _text(old.get(wanted.name), "version")

    return str(document.get("lockfileVersion") or ""), version


def _pnpm(reader: Reader, path: str) -> Parsed:
    document = reader.yaml(path) or Document(path, {})

    def version(member: str, wanted: Dependency) -> str | None:
        base = ("importers", member) if document.table("importers") else ()
        for table in ("dependencies", "devDependencies", "optionalDependencies"):
            entry = document.get(*base, table, wanted.name)
            said = _text(entry, "version") or (entry if isinstance(entry, str) else None)
            if said and said[0].isdigit():
                return re.split(r"[(_]", said)[0]
        return None

    return str(document.get("lockfileVersion") or ""), version


def _yarn(reader: Reader, path: str) -> Parsed:
    """Both of yarn's forms have lines of specifiers, each with its version below; the newer says its own."""
    versions: dict[tuple[str, str], str] = {}
    waiting: list[tuple[str, str]] = []
    form = "1"
    for _, line in reader.numbered(path):
        if line.startswith("__metadata:"):
            form = "berry"
        elif form == "berry" and (match := _YARN_VERSION.fullmatch(line)):
            form = match[1]
        if line and not line.startswith((" ", "#")) and line.endswith(":") and len(line) < _LONGEST_LINE:
            waiting = [(name, wish.removeprefix("npm:")) for name, wish in _SPECIFIER.findall(line[:-1])]
        elif waiting and (match := _YARN_VERSION.fullmatch(line)):
            versions.update(dict.fromkeys(waiting, match[1]))
            waiting = []

    def version(_member: str, wanted: Dependency) -> str | None:
        found = versions.get((wanted.name, wanted.constraint.removeprefix("npm:")))
        return found if found and found[0].isdigit() and found != "0.0.0-use.local" else None

    return form, version


def _bun(reader: Reader, path: str) -> Parsed:
    document = reader.json(path) or Document(path, {})
    packages = document.table("packages")

    def version(_member: str, wanted: Dependency) -> str | None:
        entry = packages.get(wanted.name)
        match = _BUN.fullmatch(str(entry[0])) if isinstance(entry, list) and entry else None
        return match[1] if match else None

    return str(document.get("lockfileVersion") or ""), version


def _deno(reader: Reader, path: str) -> Parsed:
    """What each specifier was resolved to; a constraint that deno wrote in another form is found by its name."""
    document = reader.json(path) or Document(path, {})
    said = document.table("specifiers") or document.table("packages", "specifiers")
    exact = {key: str(value).rpartition("@")[2].partition("_")[0] for key, value in said.items()}
    by_name: dict[str, set[str]] = {}
    for key, found in exact.items():
        by_name.setdefault(key.rpartition("@")[0], set()).add(found)

    def version(_member: str, wanted: Dependency) -> str | None:
        known = by_name.get(wanted.constraint.rpartition("@")[0], set())
        said = exact.get(wanted.constraint) or (next(iter(known)) if len(known) == 1 else "")
        return said if said[:1].isdigit() else None

    return str(document.get("version") or ""), version


def _binary(_reader: Reader, _path: str) -> Parsed:
    """bun.lockb, of which only its being there is known."""
    return "binary", lambda _member, _wanted: None


def _text(entry: Any, key: str) -> str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, str) else None


_LOCKS: Mapping[str, tuple[str, Callable[[Reader, str], Parsed]]] = {
    "pnpm-lock.yaml": ("pnpm", _pnpm),
    "bun.lock": ("bun", _bun),
    "bun.lockb": ("bun", _binary),
    "yarn.lock": ("yarn", _yarn),
    "package-lock.json": ("npm", _npm),
    "npm-shrinkwrap.json": ("npm", _npm),
    "deno.lock": ("deno", _deno),
}
