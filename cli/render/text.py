"""Cells, tables and durations for a terminal, safe to show whatever was in them; it knows no cluster."""

from collections.abc import Sequence

from schema.log import escape_controls
from schema.names import printable


def cell(text: str) -> str:
    """`text` on one line, without anything that a terminal would act on."""
    return escape_controls(" ".join(printable(text).split()))


def lines(text: str) -> str:
    """`text` with its newlines, without anything else that a terminal would act on."""
    return escape_controls(printable(text), keep_newlines=True)


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
