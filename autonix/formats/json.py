"""JSON, also with comments and trailing commas, with the line of each value; it keeps no comments."""

import json
import re

from autonix.formats.document import MAX_LINES, Document, Key
from schema.errors import InvalidInput

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|[\[\]{},:]|[^\s\[\]{},:"/]+', re.DOTALL)
_DEEPEST = 8
_LONGEST = 2 * 1024 * 1024
"""Characters up to which lines and comments are looked for; longer files are lock files, and one finding each."""


def parse_json(path: str, text: str) -> Document:
    """Raises InvalidInput, with the reason, where it is not JSON even without comments and trailing commas."""
    text = text.removeprefix("\ufeff")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = json.loads(_plain(text) if len(text) <= _LONGEST else text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"not JSON: {error}") from error
    return Document(path, value, _lines(text) if len(text) <= _LONGEST else {})


def _plain(text: str) -> str:
    """The text without comments and trailing commas."""
    kept: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word.startswith(("//", "/*")):
            continue
        if word in "]}" and kept and kept[-1] == ",":
            kept.pop()
        kept.append(word)
    return " ".join(kept)


def _lines(text: str) -> dict[tuple[Key, ...], int]:
    """Where each value of a text that is JSON begins (an object's member: its key), down to a bounded depth."""
    lines: dict[tuple[Key, ...], int] = {}
    stack: list[Key | None] = []  # of each open bracket: the current index, the current key, or None before a key
    line, last = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last, word = match.start(), match[0]
        if word.startswith(("//", "/*")):
            continue
        if word in "]}":
            stack = stack[:-1]
        elif word == ",":
            if stack:
                stack[-1] = stack[-1] + 1 if isinstance(stack[-1], int) else None
        elif word != ":":
            if stack and stack[-1] is None:
                stack[-1] = _key(word)
            path = tuple(key for key in stack if key is not None)
            if len(stack) <= _DEEPEST and len(lines) < MAX_LINES:
                lines.setdefault(path, line)
            if word in "[{":
                stack.append(0 if word == "[" else None)
    return lines


def _key(word: str) -> str:
    """A member's name out of its text."""
    if not word.startswith('"'):
        return word
    return str(json.loads(word, strict=False)) if "\\" in word else word[1:-1]
