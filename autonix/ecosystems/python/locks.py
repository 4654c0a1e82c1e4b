"""Python's lock files: which tool wrote it, and the exact version of each package; it resolves nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from autonix.ecosystems.python.requirement import normal_name
from autonix.findings import Dependency, Finding, Lock
from autonix.formats.document import Document
from autonix.reader import Reader, beside

LOCKS: Mapping[str, str] = {
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "pdm.lock": "pdm",
    "Pipfile.lock": "pipenv",
    "pylock.toml": "pylock",
    "pixi.lock": "pixi",
    "conda-lock.yml": "conda-lock",
}
"""File names in the order of their authority where several are there, and their tools."""

_READ = {"Pipfile.lock": Reader.json, "pixi.lock": Reader.yaml, "conda-lock.yml": Reader.yaml}
_FILE = re.compile(r"([^/]+)-([0-9][^-/]*)-[^-/]+\.(?:conda|tar\.bz2)$")
_PIN = re.compile(r"===?\s*([^\s,;*]+)$")


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock file and the versions in it, by normal name."""

    lock: Finding[Lock]
    versions: Mapping[str, str]


def locked(reader: Reader, directory: str) -> Locked | None:
    """The lock of a project in `directory`, if there is one."""
    for name, tool in LOCKS.items():
        path = beside(directory, name)
        if not reader.has(path):
            continue
        document = _READ.get(name, Reader.toml)(reader, path)
        if document is None:
            continue
        lock = Lock(tool, _format(document))
        return Locked(Finding(lock, path, 1, f"python.lock.{tool}"), _versions(document))
    return None


def _format(document: Document) -> str:
    keys = (("version",), ("metadata", "lock-version"), ("metadata", "lock_version"), ("lock-version",))
    for path in keys:
        value = document.get(*path)
        if isinstance(value, str | int):
            return str(value)
    spec = document.get("_meta", "pipfile-spec")
    return str(spec) if isinstance(spec, int) else ""


def _versions(document: Document) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in [*document.array("package"), *document.array("packages")]:
        if isinstance(package, dict) and isinstance(package.get("name"), str):
            version = package.get("version")
            if isinstance(version, str | int):
                found.setdefault(normal_name(package["name"]), str(version))
        elif isinstance(package, dict) and (match := _FILE.search(str(package.get("conda") or ""))):
            found.setdefault(normal_name(match[1]), match[2])
    for section in ("default", "develop"):
        for name, entry in document.table(section).items():
            if isinstance(entry, dict) and isinstance(entry.get("version"), str):
                found.setdefault(normal_name(name), entry["version"].lstrip("= "))
    return found


def pinned(dependency: Dependency) -> str | None:
    """The version of an `==` constraint, which is as exact as a lock."""
    match = _PIN.fullmatch(dependency.constraint)
    return match[1] if match else None
