"""A build's log as a file: appended to by its run, read by offset; it interprets nothing.

Lines come from untrusted builders: escape sequences are taken out when they are written, and a log has a cap.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from schema.builds import LogPage
from schema.names import printable

MAX_LOG_BYTES = 16 << 20
PAGE_BYTES = 256 << 10
MAX_LINE = 4096

log = logging.getLogger(__name__)


def log_path(directory: Path, build_id: int) -> Path:
    """The file of one build's log."""
    return directory / f"{build_id}.log"


@dataclass(slots=True)
class BuildLog:
    """The log that a running build writes; `tail` keeps its last lines."""

    path: Path
    tail: list[str] = field(default_factory=list)
    _size: int = 0

    def __post_init__(self) -> None:
        with suppress(OSError):  # told with the first line
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._size = self.path.stat().st_size if self.path.exists() else 0

    def line(self, text: str) -> None:
        """Add a line (or several)."""
        for part in printable(text).splitlines() or [""]:
            kept = part[:MAX_LINE]
            self.tail.append(kept)
            self._append(kept)
        del self.tail[:-200]

    def heading(self, text: str) -> None:
        """Mark where a step begins; the tail starts anew with it."""
        self.line(f"== {text}")
        self.tail.clear()

    def _append(self, line: str) -> None:
        data = f"{line}\n".encode()
        if self._size > MAX_LOG_BYTES:
            return
        if self._size + len(data) > MAX_LOG_BYTES:
            data = b"(the log is cut here: it reached its limit)\n"
            self._size = MAX_LOG_BYTES
        try:
            with self.path.open("ab") as file:
                file.write(data)
        except OSError as error:  # a full disk: the build may well succeed, and its tail is kept in memory
            log.warning("%s cannot be written: %s", self.path.name, error.strerror)
            self._size = MAX_LOG_BYTES
        self._size += len(data)


def read_page(path: Path, *, offset: int, over: bool) -> LogPage:
    """At most 256 KiB from byte `offset`, ending at a whole line; `over` when the build writes no more."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(PAGE_BYTES)
            size = path.stat().st_size
    except FileNotFoundError:
        return LogPage(text="", next_offset=offset, complete=over)
    cut = data.rfind(b"\n") + 1
    data = data[:cut] if cut else data
    return LogPage(
        text=data.decode(errors="replace"),
        next_offset=offset + len(data),
        complete=over and offset + len(data) >= size,
    )
