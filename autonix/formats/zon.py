"""Zig's object notation (build.zig.zon) as values with lines; other Zig is not read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_TOKEN = re.compile(
    r"""//[^\n]*|\\\\(?P<line>[^\n]*)|"(?P<text>(?:\\.|[^"\\\n])*)"|\.@"(?P<quoted>(?:\\.|[^"\\\n])*)"|"""
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<open>\.\{)|(?P<sign>[=,}])|(?P<word>[-+]?[A-Za-z0-9_'.]+)|(?P<space>\s+)"""
)
_ESCAPE = re.compile(r"\\(n|r|t|\\|'|\"|x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f]{1,6}\})")
_DEEPEST, _LONGEST = 30, 1_000_000


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def parse_zon(path: str, text: str) -> Document:
    """Raises InvalidInput, with the reason, where it is no such file. An enum literal (`.name`) is its name."""
    if len(text) > _LONGEST:
        raise InvalidInput("a ZON file that is too long")
    parser = _Parser(list(_tokens(text)))
    value = parser.value((), 0)
    if parser.at != len(parser.tokens):
        raise InvalidInput("not ZON: something follows the value")
    return Document(path, value, parser.lines)


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidInput(f"not ZON: {text[at : at + 20]!r} in line {line}")
        kind = match.lastgroup
        if kind not in (None, "space"):
            yield _Token(str(kind), match[str(kind)], line)
        line += match[0].count("\n")
        at = match.end()


@dataclass(slots=True)
class _Parser:
    tokens: list[_Token]
    at: int = 0
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict)

    def take(self) -> _Token:
        if self.at >= len(self.tokens):
            raise InvalidInput("not ZON: it ends too soon")
        self.at += 1
        return self.tokens[self.at - 1]

    def value(self, path: tuple[Key, ...], depth: int) -> Any:
        token = self.take()
        if len(self.lines) < MAX_LINES:
            self.lines.setdefault(path, token.line)
        match token.kind:
            case "text":
                return _unescaped(token.text)
            case "line":
                return token.text
            case "name" | "quoted":
                return token.text
            case "open" if depth < _DEEPEST:
                return self.members(path, depth)
            case "word":
                return {"true": True, "false": False, "null": None}.get(token.text, token.text)
        raise InvalidInput(f"not ZON: {token.text!r} in line {token.line}")

    def members(self, path: tuple[Key, ...], depth: int) -> Any:
        """`.{ .a = 1 }` is a table, `.{ 1, 2 }` a list, `.{}` an empty table."""
        table: dict[str, Any] = {}
        array: list[Any] = []
        while True:
            token = self.take()
            if token.kind == "sign" and token.text == "}":
                return array or table
            named = token.kind in ("name", "quoted") and self.at < len(self.tokens)
            if named and self.tokens[self.at].text == "=" and self.tokens[self.at].kind == "sign":
                self.at += 1
                self.lines.setdefault((*path, token.text), token.line)
                table[token.text] = self.value((*path, token.text), depth + 1)
            else:
                self.at -= 1
                array.append(self.value((*path, len(array)), depth + 1))
            end = self.take()
            if end.kind == "sign" and end.text == "}":
                return array or table
            if end.text != ",":
                raise InvalidInput(f"not ZON: {end.text!r} in line {end.line}")


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        said = match[1]
        if said[0] in "xu" and len(said) > 1:
            code = int(said.strip("xu{}"), 16)
            return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"
        return {"n": "\n", "r": "\r", "t": "\t"}.get(said, said)

    return _ESCAPE.sub(character, text)
