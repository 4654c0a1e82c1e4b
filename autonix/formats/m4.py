"""The macro calls of a configure.ac with their arguments and lines; quotes are taken off, nothing is expanded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_CALL = re.compile(r"(?<![A-Za-z0-9_$])([A-Z][A-Z0-9]*_[A-Z0-9_]+|m4_[a-z_]+)\(")
_COMMENT = re.compile(r"(?<![A-Za-z0-9_])dnl\b[^\n]*|(?:^|(?<=\s))#[^\n]*", re.MULTILINE)
_LONGEST, _MOST, _LONGEST_CALL = 400_000, 2_000, 4_000


@dataclass(frozen=True, slots=True)
class MacroCall:
    """A call, its arguments without the quotes around them, and its line."""

    name: str
    arguments: tuple[str, ...]
    line: int


def parse_m4(text: str) -> tuple[MacroCall, ...]:
    """Every call that stands at the margin of any depth, in order; one that never ends is passed over."""
    plain = _COMMENT.sub(lambda match: " " * len(match[0]), text[:_LONGEST])
    return tuple(_calls(plain))


def _calls(text: str) -> Iterator[MacroCall]:
    for match in islice(_CALL.finditer(text), _MOST):
        arguments = _arguments(text, match.end())
        if arguments is not None:
            yield MacroCall(match[1], arguments, text.count("\n", 0, match.start()) + 1)


def _arguments(text: str, start: int) -> tuple[str, ...] | None:
    """Up to the closing parenthesis; `[` and `]` quote, and nest."""
    found: list[str] = []
    depth, quotes, begin = 0, 0, start
    for index in range(start, min(len(text), start + _LONGEST_CALL)):
        character = text[index]
        if character == "[":
            quotes += 1
        elif character == "]":
            quotes -= 1
        elif quotes <= 0:
            if character == "(":
                depth += 1
            elif character in ",)" and depth == 0:
                found.append(_unquoted(text[begin:index]))
                begin = index + 1
                if character == ")":
                    return tuple(found)
            elif character == ")":
                depth -= 1
    return None


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if text.startswith("[") and text.endswith("]") else text
