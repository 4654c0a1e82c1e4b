"""How times, amounts and foreign text are written for people; every page uses it and it knows no page."""

import re
from datetime import UTC, datetime

from schema.names import printable

_YEAR_9999 = 253_402_300_799_000
_BIDI = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]")


def plain(text: str) -> str:
    """Text of unknown origin without escape sequences, control characters, and marks that reorder what is read."""
    return _BIDI.sub("", printable(text.replace("\r\n", "\n")))


def one_line(text: str, *, limit: int = 120) -> str:
    """The same on one line of at most `limit` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def duration(ms: int) -> str:
    """Milliseconds as `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min` or `3 d 4 h`."""
    if ms < 0:
        return "0 ms"
    if ms < 1000:
        return f"{ms} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    index = next(index for index, (size, _) in enumerate(units) if seconds >= size)
    (big, big_name), (small, small_name) = units[index], units[index + 1]
    rest = seconds % big // small
    return f"{seconds // big} {big_name}" + (f" {rest} {small_name}" if rest else "")


def ago(ms: int) -> str:
    """How long ago something was, in its biggest unit: `just now`, `12 s ago`, `3 min ago`, `2 d ago`."""
    seconds = ms // 1000
    if seconds < 2:
        return "just now"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return f"{seconds} s ago"


def moment(unix_ms: int) -> str:
    """A point in time as `2026-11-21 12:00:03 UTC`."""
    seconds = min(max(unix_ms, 0), _YEAR_9999) / 1000
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def mebibytes(amount: int) -> str:
    """MiB as `512 MiB` or `3.9 GiB`."""
    return f"{amount} MiB" if amount < 1024 else f"{amount / 1024:.1f} GiB"


def short_ref(ref: str) -> str:
    """`main` of `refs/heads/main`, `tag v1` of `refs/tags/v1`."""
    if ref.startswith("refs/tags/"):
        return f"tag {one_line(ref.removeprefix('refs/tags/'))}"
    return one_line(ref.removeprefix("refs/heads/"))


def plural(count: int, noun: str) -> str:
    """`1 VM`, `3 VMs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
