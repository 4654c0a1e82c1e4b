"""TOML by tomllib, with the line of each key and array element; it keeps no comments."""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_LONGEST = 2 * 1024 * 1024
"""Characters up to which lines are looked for; longer files are lock files, and one finding each."""
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{},=\n]|[^\s\[\]{},=#"\']+',
    re.DOTALL,
)


def parse_toml(path: str, text: str) -> Document:
    """Raises InvalidInput, with the reason, where it is not TOML."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"not TOML: {error}") from error
    return Document(path, value, _Lines(_tokens(text)).collect() if len(text) <= _LONGEST else {})


def _tokens(text: str) -> list[tuple[str, int]]:
    found, line, last = [], 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        if not match[0].startswith("#"):
            found.append((match[0], line))
    return found


@dataclass(slots=True)
class _Lines:
    """Walks the tokens of a document that tomllib has accepted, so that it need not check the grammar again."""

    tokens: list[tuple[str, int]]
    at: int = 0
    table: tuple[Key, ...] = ()
    elements: Counter[tuple[Key, ...]] = field(default_factory=Counter)
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict)

    def collect(self) -> dict[tuple[Key, ...], int]:
        while self.at < len(self.tokens) and len(self.lines) < MAX_LINES:
            word, line = self.tokens[self.at]
            if word == "\n":
                self.at += 1
            elif word == "[":
                self._header(line)
            else:
                keys = (*self.table, *self._keys("="))
                self.lines.setdefault(keys, line)
                self._value(keys)
        return self.lines

    def _header(self, line: int) -> None:
        array = self.tokens[self.at + 1][0] == "["
        self.at += 2 if array else 1
        names = self._keys("]")
        self.at += 1 if array else 0
        table = self._resolved(names[:-1]) + names[-1:]
        if array:
            self.elements[table] += 1
            self.lines.setdefault(table, line)
            table = (*table, self.elements[table] - 1)
        elif self.elements[table]:
            table = (*table, self.elements[table] - 1)
        self.table = table
        self.lines.setdefault(table, line)

    def _resolved(self, names: tuple[Key, ...]) -> tuple[Key, ...]:
        """The path of `[a.b]` where `a` is an array of tables: its last element."""
        path: tuple[Key, ...] = ()
        for name in names:
            path = (*path, name)
            if self.elements[path]:
                path = (*path, self.elements[path] - 1)
        return path

    def _keys(self, stop: str) -> tuple[Key, ...]:
        names: list[Key] = []
        while self.at < len(self.tokens) and self.tokens[self.at][0] != stop:
            word = self.tokens[self.at][0]
            names += [word[1:-1]] if word[0] in "\"'" else [part for part in word.split(".") if part]
            self.at += 1
        self.at += 1
        return tuple(names)

    def _value(self, keys: tuple[Key, ...]) -> None:
        depth, index, fresh = 0, 0, False
        is_array = self.at < len(self.tokens) and self.tokens[self.at][0] == "["
        while self.at < len(self.tokens):
            word, line = self.tokens[self.at]
            self.at += 1
            if word == "\n" and depth == 0:
                return
            if is_array and depth == 1 and fresh and word not in ("\n", "]"):
                self.lines.setdefault((*keys, index), line)
                fresh = False
            if word in ("[", "{"):
                depth += 1
                fresh = fresh or depth == 1
            elif word in ("]", "}"):
                depth -= 1
            elif word == "," and depth == 1:
                index, fresh = index + 1, True
