"""The texts of a tree, parsed once each and on demand; a file that cannot be parsed is noted, and never raises."""

import fnmatch
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import basename, join, normpath

from autonix.findings import Skipped
from autonix.formats.document import Document
from autonix.formats.ini import parse_ini
from autonix.formats.json import parse_json
from autonix.formats.toml import parse_toml
from autonix.formats.xml import parse_xml
from autonix.formats.yaml import parse_yaml, parse_yaml_all
from autonix.formats.zon import parse_zon
from schema.errors import InvalidInput

_PLAIN_NAME = re.compile(r"[^/.][^/]*|\.[^/.][^/]*")
_PLAIN_DIRECTORY = re.compile(r"\.|[^/.][^/]*(?:/[^/.][^/]*)*")
Parser = Callable[[str, str], Document]


@dataclass(slots=True)
class Reader:
    """`paths` is the whole tree, sorted; `texts` those files of it that were read. It grows only its own notes.

    `asked` and `listed` are what it was asked about the tree besides those texts: together they are all that an answer
    rests on (`memory.py`).
    """

    paths: tuple[str, ...]
    texts: Mapping[str, str]
    notes: dict[str, Skipped] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    _parsed: dict[str, Document | None] = field(default_factory=dict)
    _named: dict[str, list[str]] = field(default_factory=dict)
    _found: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.texts):
            self._named.setdefault(basename(path), []).append(path)

    def has(self, path: str) -> bool:
        """Whether the tree lists `path`."""
        self.asked.add(path)
        at = bisect_left(self.paths, path)
        return at < len(self.paths) and self.paths[at] == path

    def named(self, *patterns: str) -> list[str]:
        """Paths of files that were read whose last part is one of `patterns` (with `*`), sorted."""
        if patterns not in self._found:
            exact = {name for name in patterns if name in self._named}
            names = exact.union(*(fnmatch.filter(self._named, pattern) for pattern in patterns if "*" in pattern))
            self._found[patterns] = sorted(path for name in names for path in self._named[name])
        return self._found[patterns]

    def below(self, directory: str) -> tuple[str, ...]:
        """All paths of the tree under a directory ("." is the root)."""
        self.listed.add(directory)
        return paths_below(self.paths, directory)

    def with_texts(self, more: Mapping[str, str]) -> "Reader":
        """The same tree with further texts; what was parsed and asked so far is kept."""
        reader = Reader(self.paths, {**self.texts, **more}, self.notes, self.asked, self.listed)
        reader._parsed = self._parsed
        return reader

    def text(self, path: str) -> str | None:
        """The text of `path`, if it was read."""
        return self.texts.get(path)

    def numbered(self, path: str) -> Iterator[tuple[int, str]]:
        """Lines of `path` with their numbers from 1; nothing where it was not read."""
        return iter(enumerate((self.texts.get(path) or "").split("\n"), 1))

    def toml(self, path: str) -> Document | None:
        """`path` as TOML; None where it is absent or wrong, which is noted once."""
        return self._document(path, parse_toml)

    def json(self, path: str) -> Document | None:
        """`path` as JSON (comments and trailing commas allowed)."""
        return self._document(path, parse_json)

    def yaml(self, path: str) -> Document | None:
        """`path` as YAML, its first document."""
        return self._document(path, parse_yaml)

    def yamls(self, path: str) -> tuple[Document, ...]:
        """Every document of `path` as YAML; none where it is absent or wrong, which is noted once."""
        text = self.texts.get(path)
        try:
            return () if text is None else parse_yaml_all(path, text)
        except InvalidInput as error:
            self.note(path, error.message)
            return ()

    def zon(self, path: str) -> Document | None:
        """`path` as Zig's object notation."""
        return self._document(path, parse_zon)

    def ini(self, path: str) -> Document | None:
        """`path` as setup.cfg means it."""
        return self._document(path, parse_ini)

    def xml(self, path: str) -> Document | None:
        """`path` as XML without a document type."""
        return self._document(path, parse_xml)

    def note(self, path: str, reason: str) -> None:
        """Keep that `path` counted for nothing, and why; the first reason stays."""
        self.notes.setdefault(path, Skipped(path, reason))

    def _document(self, path: str, parse: Parser) -> Document | None:
        if path not in self._parsed:
            text = self.texts.get(path)
            try:
                self._parsed[path] = None if text is None else parse(path, text)
            except InvalidInput as error:
                self.note(path, error.message)
                self._parsed[path] = None
        return self._parsed[path]


def paths_below(paths: Sequence[str], directory: str) -> tuple[str, ...]:
    """Those of sorted `paths` that are under a directory ("." is the root)."""
    if directory == ".":
        return tuple(paths)
    first, after = f"{directory}/", f"{directory}0"  # "0" follows "/"
    return tuple(paths[bisect_left(paths, first) : bisect_left(paths, after)])


def folder(path: str) -> str:
    """The directory of a file, "." for the root."""
    return path.rpartition("/")[0] or "."


def beside(directory: str, name: str) -> str:
    """A path under a directory of the tree ("." is the root), without `./`; it may lead out (`../x`)."""
    if _PLAIN_NAME.fullmatch(name) and _PLAIN_DIRECTORY.fullmatch(directory):
        return name if directory == "." else f"{directory}/{name}"  # as nearly always, and found much faster
    return normpath(join(directory, name))
