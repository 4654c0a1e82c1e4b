"""Cells, tables and durations for a terminal, safe to show whatever was in them; it knows no cluster."""

import re
from collections.abc import Sequence

from schema.names import printable

_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
"""What changes the order of the characters around it, or ends a line unseen."""


def cell(text: str) -> str:
    """`text` on one line, without anything that a terminal would act on."""
    return " ".join(_DIRECTIONS.sub("", printable(text)).split())


def lines(text: str) -> str:
    """`text` with its newlines, without anything else that a terminal would act on."""
    return _DIRECTIONS.sub("", printable(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces between; no space at the end of a line."""
    safe = [[cell(text) for text in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in safe) for column in range(len(header))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in safe)


def duration(milliseconds: int) -> str:
    """`850 ms`, `12 s`, `3 min`, `5 h`, `9 d`: the largest unit that fits, rounded down."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds // 1000
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def short(digest: str) -> str:
    """The first characters of a commit or hash, enough to find it again."""
    return digest[:10]


def share(used: int, has: int, unit: str = "") -> str:
    """What is placed of what there is. More than that is meant so (`[scheduler] cpu_overcommit`), and is told."""
    return f"{used}/{has}{unit}" + (f" ({used / has:.1f}x, overcommitted)" if used > has > 0 else "")
