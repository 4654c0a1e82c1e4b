"""go.mod and go.work as directives with lines (the grammar of Go's modules reference); it resolves nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r'"((?:\\.|[^"\\])*)"|`([^`]*)`|(\(|\)|[^\s()"`]+)')


@dataclass(frozen=True, slots=True)
class Directive:
    """`verb` and its words; those of a block each have their own. `comment` is what stands after `//`."""

    verb: str
    words: tuple[str, ...]
    line: int
    comment: str = ""


def parse_gomod(text: str) -> tuple[Directive, ...]:
    """Every directive in order; a line that makes no sense is passed over."""
    return tuple(_directives(text))


def _directives(text: str) -> Iterator[Directive]:
    block = ""
    for number, line in enumerate(text.split("\n"), 1):
        code, _, comment = line.partition("//") if not line.lstrip().startswith("//") else ("", "", "")
        words = [match[1] or match[2] or match[3] or "" for match in _WORD.finditer(code)]
        if not words:
            continue
        if words == [")"]:
            block = ""
        elif block:
            yield Directive(block, tuple(words), number, comment.strip())
        elif words[-1] == "(" and len(words) == 2:
            block = words[0]
        else:
            yield Directive(words[0], tuple(words[1:]), number, comment.strip())
