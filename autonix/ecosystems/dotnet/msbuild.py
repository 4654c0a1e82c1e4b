"""MSBuild files (project files, Directory.*.props) as properties and items; conditions are not evaluated.

Of what MSBuild means only this is followed: `$(Name)` of properties that the same files set to a literal, and the
nearest `Directory.Build.props` and `Directory.Packages.props` above a project, as the SDK looks for them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autonix.findings import Finding
from autonix.formats.document import Document, Key
from autonix.reader import Reader, beside, folder

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.]*)\)")
BUILD_PROPS = "Directory.Build.props"
PACKAGES_PROPS = "Directory.Packages.props"


@dataclass(frozen=True, slots=True)
class Item:
    """One element of an ItemGroup: what it includes, its metadata (attributes and children), and where it is."""

    include: str
    metadata: Mapping[str, str]
    document: Document
    line: int


def nearest(reader: Reader, directory: str, name: str) -> str | None:
    """The file of that name in `directory` or the nearest one above."""
    while True:
        path = beside(directory, name)
        if reader.has(path):
            return path
        if directory == ".":
            return None
        directory = folder(directory)


def properties(documents: list[Document]) -> dict[str, Finding[str]]:
    """Literal properties of files in the order in which MSBuild reads them: a later one wins."""
    found: dict[str, Finding[str]] = {}
    for document in documents:
        for keys, group in _children(document, ("Project",), "PropertyGroup"):
            for name, value in group.items():
                text = value.get("#text") if isinstance(value, dict) else value
                if not name.startswith(("@", "#")) and isinstance(text, str) and text:
                    known = {key: said.value for key, said in found.items()}
                    found[name] = document.finding(_expand(text, known), *keys, name, rule=f"dotnet.msbuild.{name}")
    return found


def items(document: Document, name: str, known: Mapping[str, Finding[str]]) -> Iterator[Item]:
    """Every `<name Include=…>` (or `Update`) of a file's item groups."""
    values = {key: said.value for key, said in known.items()}
    for keys, group in _children(document, ("Project",), "ItemGroup"):
        for place, item in _children(document, keys, name, group):
            include = _text(item, "@Include") or _text(item, "@Update")
            metadata = {
                key.removeprefix("@"): _expand(text, values) for key in item if (text := _text(item, key)) is not None
            }
            if include:
                yield Item(_expand(include, values), metadata, document, document.line(*place))


def _children(
    document: Document, keys: tuple[Key, ...], name: str, within: Any = None
) -> Iterator[tuple[tuple[Key, ...], dict[str, Any]]]:
    """Elements of a name, whether one or several are there."""
    value = within.get(name) if isinstance(within, dict) else document.get(*keys, name)
    if isinstance(value, dict):
        yield (*keys, name), value
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield (*keys, name, index), item


def _text(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value.strip() if isinstance(value, str) else None


def _expand(text: str, known: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: known.get(match[1], match[0])[:1000], text[:1000])
