"""The cache's directory: `<hash>.narinfo` and `nar/<file>`, each whole or absent; it judges no content."""

import errno
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ci_service.cache.narinfo import MAX_NARINFO_BYTES, STORE_DIR, NarFile
from schema.disk import sync_directory
from schema.errors import TooLarge

CACHE_INFO = f"StoreDir: {STORE_DIR}\nWantMassQuery: 1\nPriority: 30\n".encode()
"""Priority 30: asked before cache.nixos.org (40)."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(error: OSError, *, what: str) -> Exception:
    """TooLarge for a full disk (nix 2.8 and 2.26 hang when a PUT is answered by 5xx), else the error itself."""
    if error.errno in _FULL:
        return TooLarge(f"no room on the cache's disk for {what}: free some, then push again")
    return error


class IncomingFile:
    """A file while it is written: it has no name that anybody could ask for until `keep`.

    Its methods block on the disk. A full disk raises TooLarge.
    """

    def __init__(self, file: BinaryIO, path: Path, *, what: str) -> None:
        self._file = file
        self._path = path
        self._what = what
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        try:
            self._file.write(data)
        except OSError as error:
            raise disk_error(error, what=self._what) from error
        self._digest.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> bytes:
        """Of what was written so far."""
        return self._digest.digest()

    def keep(self, path: Path) -> None:
        """Make it durable and visible as `path`, replacing what was there."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.rename(path)
        except OSError as error:
            raise disk_error(error, what=self._what) from error
        sync_directory(path.parent)

    def drop(self) -> None:
        """Forget it, unless it was kept. What a full disk did not take is not wanted, and gives its room back."""
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


class CacheFiles:
    """The files below one directory. All methods block on the disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._root = str(directory)
        self._nars = directory / "nar"
        self._incoming = directory / "incoming"

    def prepare(self) -> None:
        """Make the directories and remove what an upload left when the process was killed. Raises OSError."""
        for directory in (self.directory, self._nars, self._incoming):
            directory.mkdir(parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():
            left_over.unlink()
        if not (self.directory / "nix-cache-info").exists():
            self._put(self.directory / "nix-cache-info", CACHE_INFO)

    def nar_path(self, nar: NarFile) -> Path:
        """Where a nar's file is, if it is."""
        return self._nars / nar.name

    def narinfo_path(self, hash_part: str) -> Path:
        """Where a narinfo is, if it is."""
        return self.directory / f"{hash_part}.narinfo"

    def has_narinfo(self, hash_part: str) -> bool:
        """Whether the path of this hash is visible."""
        return self.narinfo_path(hash_part).exists()

    def narinfo(self, hash_part: str) -> bytes | None:
        """The text of a narinfo."""
        return self.small_file(f"{hash_part}.narinfo", limit=MAX_NARINFO_BYTES)

    def small_file(self, name: str, *, limit: int) -> bytes | None:
        """The bytes of a file below the directory; None where there is none or it has more than `limit`.

        `name` is the caller's, checked: nothing of a request comes here as it is. Without pathlib and file objects,
        because this is most of what reading a narinfo costs.
        """
        try:
            descriptor = os.open(f"{self._root}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            return os.read(descriptor, size) if size <= limit else None
        finally:
            os.close(descriptor)

    def nar_size(self, nar: NarFile) -> int | None:
        """Bytes of a nar's file, or None where there is none."""
        try:
            return self.nar_path(nar).stat().st_size
        except FileNotFoundError:
            return None

    def incoming(self, what: str) -> IncomingFile:
        """A new file for `what`; the caller ends it by `keep` or `drop`."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
        except OSError as error:
            raise disk_error(error, what=what) from error
        os.fchmod(descriptor, 0o644)
        return IncomingFile(os.fdopen(descriptor, "wb"), Path(name), what=what)

    def put_narinfo(self, hash_part: str, data: bytes) -> None:
        """Make a narinfo durable and visible, replacing what was there."""
        self._put(self.narinfo_path(hash_part), data)

    def _put(self, path: Path, data: bytes) -> None:
        incoming = self.incoming(path.name)
        try:
            incoming.write(data)
            incoming.keep(path)
        finally:
            incoming.drop()
