"""Read a VM's capped console log, its end or as it grows; it interprets none of what a guest wrote."""

import os
from pathlib import Path

PIECE_BYTES = 64 * 1024
POLL_SECONDS = 0.1
"""How often a log that is followed is looked at."""


def last_lines(data: bytes, count: int) -> bytes:
    """The last `count` lines of `data`, all of it for 0; what follows the last newline counts as a line."""
    if count <= 0:
        return data
    at = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(count):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return data
    return data[at + 1 :]


class LogReader:
    """Reads `log` and, before it, `log.1`, to which it is turned over when it is full."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._inode = 0
        self._at = 0

    def follow_to(self, log: Path) -> None:
        """It has been moved."""
        self._log = log

    def kept(self) -> bytes:
        """All that is kept now; `more` goes on from there."""
        before = _read(self._log.with_name(f"{self._log.name}.1"), 0)[0]
        data, self._inode = _read(self._log, 0)
        self._at = len(data)
        return before + data

    def more(self) -> bytes:
        """What came since the last call; what was overwritten meanwhile is lost."""
        data, inode = _read(self._log, self._at)
        if inode == self._inode and (data or _size(self._log) >= self._at):  # a freed inode number is given out again
            self._at += len(data)
            return data
        rest, turned = _read(self._log.with_name(f"{self._log.name}.1"), self._at)
        lost = turned != self._inode
        data, self._inode = _read(self._log, 0)
        self._at = len(data)
        return data if lost else rest + data


def _read(file: Path, start: int) -> tuple[bytes, int]:
    """The file from `start` on, and its inode; nothing and 0 where there is none."""
    try:
        with file.open("rb") as opened:
            inode = os.fstat(opened.fileno()).st_ino
            opened.seek(start)
            return opened.read(), inode
    except FileNotFoundError:
        return b"", 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
