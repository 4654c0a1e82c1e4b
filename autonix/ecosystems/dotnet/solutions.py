"""Solutions (.sln, .slnx) as lists of the project files that they hold; their configurations say nothing here."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from autonix.findings import Finding
from autonix.formats.document import Document
from autonix.reader import Reader, beside, folder

SOLUTIONS = ("*.sln", "*.slnx")
_PROJECT = re.compile(r'Project\("\{[^}"]*\}"\)\s*=\s*"[^"]*",\s*"(?P<path>[^"]+)",\s*"[^"]*"')


def solutions(reader: Reader, known: Collection[str]) -> Iterator[tuple[str, tuple[Finding[str], ...]]]:
    """Each solution with those of its projects that the tree has (`known`: paths of project files)."""
    for path in reader.named(*SOLUTIONS):
        said = _slnx(reader, path) if path.endswith(".slnx") else _sln(reader, path)
        found = [
            Finding(beside(folder(path), member.replace("\\", "/")), path, line, "dotnet.solution")
            for member, line in said
        ]
        yield path, tuple(member for member in found if member.value in known)


def _sln(reader: Reader, path: str) -> Iterator[tuple[str, int]]:
    for number, line in reader.numbered(path):
        if len(line) < 2000 and (match := _PROJECT.match(line)):
            yield match["path"], number


def _slnx(reader: Reader, path: str) -> Iterator[tuple[str, int]]:
    document = reader.xml(path)
    if document is not None:
        yield from _listed(document, document.get("Solution"))


def _listed(document: Document, value: Any) -> Iterator[tuple[str, int]]:
    """`Project` elements, however deep in folders."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        for item in inner if isinstance(inner, list) else [inner]:
            if key == "Project" and isinstance(item, dict) and isinstance(item.get("@Path"), str):
                yield item["@Path"], document.line("Solution", "Project")
            elif key == "Folder":
                yield from _listed(document, item)
