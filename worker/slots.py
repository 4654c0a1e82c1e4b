"""A file that is replaced often and must be on disk each time: two files, overwritten in turn where they lie.

A file that is made anew takes two syncs of the filesystem's journal, for which whoever else makes or renames files
waits, too; bytes that are written over others take one of the bytes alone (on a plain disk 2 ms instead of 8, and 4
instead of 50 now and then). Whatever a power cut leaves half written is seen by its hash, and the other file holds what
was written before. It knows no content.
"""

import hashlib
import os
import struct
import threading
from pathlib import Path

from schema.disk import sync_directory

_HEAD = struct.Struct(">4sQQ32s")
"""Mark, number of the writing, length of the data, SHA-256 of all that and of the data."""
_MARK = b"PSL1"
_LEAST_ROOM = 65_536
"""Bytes that a file is made with; one that becomes too small is made twice as large, and that costs the journal."""


class Slots:
    """The newest data of the two files `<path>.0` and `<path>.1`. May be used by several threads."""

    def __init__(self, path: Path) -> None:
        self._files = (path.with_name(f"{path.name}.0"), path.with_name(f"{path.name}.1"))
        self._turn = threading.Lock()
        self._number: int | None = None

    def read(self) -> bytes | None:
        """What was written last; None where nothing was, or nothing whole is left."""
        found = max((_read(file) for file in self._files), key=lambda one: one[0])
        return found[1] if found[0] else None

    def write(self, data: bytes, *, synced: bool = True) -> None:
        """Replace what was written last; it is on disk when this returns, unless it need not be (`synced`).

        Raises OSError, and then what was written last is still there.
        """
        with self._turn:
            if self._number is None:
                self._number = max(_read(file)[0] for file in self._files)
            number = self._number + 1
            _write(self._files[number % 2], number, data, synced=synced)
            self._number = number


def _hashed(number: int, data: bytes) -> bytes:
    return hashlib.sha256(struct.pack(">QQ", number, len(data)) + data).digest()


def _read(file: Path) -> tuple[int, bytes]:
    """Number and data; 0 where there is nothing that was written whole."""
    try:
        content = file.read_bytes()
        mark, number, length, digest = _HEAD.unpack_from(content)
    except (OSError, struct.error):
        return 0, b""
    data = content[_HEAD.size : _HEAD.size + length]
    return (number, data) if mark == _MARK and digest == _hashed(number, data) else (0, b"")


def _write(file: Path, number: int, data: bytes, *, synced: bool) -> None:
    whole = _HEAD.pack(_MARK, number, len(data), _hashed(number, data)) + data
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        room = os.fstat(descriptor).st_size
        is_new = room == 0
        if len(whole) > room:
            whole = whole.ljust(max(_LEAST_ROOM, 1 << (len(whole) - 1).bit_length()), b"\0")
        at = 0
        while at < len(whole):
            at += os.pwrite(descriptor, memoryview(whole)[at:], at)
        if synced:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if is_new and synced:
        sync_directory(file.parent)
