"""The calls of a meson.build with their literal arguments and lines; nothing is evaluated."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"#[^\n]*|'''(?P<long>.*?)'''|'(?P<text>(?:\\.|[^'\\\n])*)'|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|(?P<sign>[()\[\]{},:])|[^\s]",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class MesonCall:
    """A call, its positional string literals, and its keyword arguments that are one string literal."""

    name: str
    words: tuple[str, ...]
    line: int
    keywords: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    name: str
    line: int
    words: list[str] = field(default_factory=list)
    keywords: dict[str, str] = field(default_factory=dict)
    keyword: str = ""
    before: str = ""
    brackets: int = 0


def parse_meson(text: str) -> tuple[MesonCall, ...]:
    """Every call in the order in which they end; text that is none is passed over."""
    return tuple(_calls(text))


def _calls(text: str) -> Iterator[MesonCall]:
    stack: list[_Open] = []
    line, last, name = 1, 0, ""
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        said = match["long"] if match["long"] is not None else match["text"]
        top = stack[-1] if stack else None
        match match["sign"]:
            case "(":
                stack.append(_Open(name, line))
            case ")" if top is not None:
                stack.pop()
                if top.name:
                    yield MesonCall(top.name, tuple(top.words), top.line, top.keywords)
            case ":" if top is not None:
                top.keyword = top.before
            case "," if top is not None and not top.brackets:
                top.keyword = ""
            case "[" | "{" if top is not None:
                top.brackets += 1
            case "]" | "}" if top is not None:
                top.brackets -= 1
            case None if said is not None and top is not None and not top.brackets:
                if top.keyword:
                    top.keywords.setdefault(top.keyword, said)
                else:
                    top.words.append(said)
        name = match["name"] or ""
        if top is not None and match["name"]:
            top.before = match["name"]
