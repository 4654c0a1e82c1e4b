"""CMakeLists.txt as a list of commands with their words and lines; variables stay as they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"#\[(=*)\[.*?\]\1\]|#[^\n]*|\[(=*)\[(?P<bracket>.*?)\]\2\]|\"(?P<quoted>(?:\\.|[^\"\\])*)\"|(?P<paren>[()])|(?P<word>(?:\\.|[^\s()#\"\\])+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class CmakeCommand:
    """A command in small letters, its words, and its line."""

    name: str
    words: tuple[str, ...]
    line: int


def parse_cmake(text: str) -> tuple[CmakeCommand, ...]:
    """Every command in order; text that is none is passed over."""
    return tuple(_commands(text))


def _commands(text: str) -> Iterator[CmakeCommand]:
    name, begun, line, last, depth = "", 0, 1, 0, 0
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        paren = match["paren"]
        if paren == "(":
            depth += 1
        elif paren == ")":
            depth = max(depth - 1, 0)
            if depth == 0 and name:
                yield CmakeCommand(name.lower(), tuple(words), begun)
                name, words = "", []
        elif (
            said := next((match[key] for key in ("bracket", "quoted", "word") if match[key] is not None), None)
        ) is not None:
            if depth:
                words.append(said)
            else:
                name, begun = said, line
