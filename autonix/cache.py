"""Analyses that are kept between runs, a file each, in the user's cache directory; what they mean is `memory.py`'s.

A file that is damaged, half-written or of another autonix counts as absent, and one that cannot be written is not:
the cache never makes an analysis wrong or fail. Files are written whole under another name and renamed, so that any
number of processes may share the directory; the oldest go when there are too many.
"""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from autonix.memory import Known, packed, unpacked

MAX_FILES: Final = 500
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_FILE: Final = 64 * 1024 * 1024
"""What is kept at most: files, bytes of all and of one."""
_MAGIC: Final = b"autonix 1\n"
_DIGEST: Final = 32
_NUMBER = count()


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory that is made on first use, for this user alone."""

    directory: Path

    def get(self, key: str) -> Known | None:
        """What was put under `key`, None where there is none that is whole."""
        path = self.directory / key
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None  # another user's: it may say anything
                data = file.read(MAX_FILE + 1)
            os.utime(path)
        except OSError:
            return None
        head = len(_MAGIC) + _DIGEST
        if data[: len(_MAGIC)] != _MAGIC or _digest(data[head:]) != data[len(_MAGIC) : head]:
            return None
        return unpacked(data[head:])

    def first(self, keys: Sequence[str]) -> tuple[int, Known | None]:
        """The first of `keys` that is there, and what was put under it; None where none is."""
        for index, key in enumerate(keys):
            if (found := self.get(key)) is not None:
                return index, found
        return len(keys), None

    def put(self, key: str, value: Known) -> None:
        """Keep `value`; where that cannot be, nothing is kept."""
        body = packed(value)
        if len(body) > MAX_FILE // 2:
            return
        fresh = self.directory / f".{key}.{os.getpid()}.{next(_NUMBER)}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(fresh, "xb", opener=_private) as file:
                file.write(_MAGIC + _digest(body) + body)
            fresh.replace(self.directory / key)
            self._shrink()
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _shrink(self) -> None:
        """The oldest go first; what another process took away meanwhile is gone as well."""
        with os.scandir(self.directory) as entries:
            files = [(status.st_mtime_ns, status.st_size, entry.path) for entry in entries if (status := entry.stat())]
        left, size = len(files), sum(each[1] for each in files)
        for _, bytes_, path in sorted(files):
            if left <= MAX_FILES and size <= MAX_BYTES:
                return
            Path(path).unlink(missing_ok=True)
            left, size = left - 1, size - bytes_


def user_cache(environ: Mapping[str, str]) -> Cache | None:
    """The cache of whoever runs this: below `XDG_CACHE_HOME`, else `~/.cache`.

    None where there is no home directory that is this user's own: none is made, and nothing is put into another's.
    """
    named = environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):
        return Cache(Path(named) / "procurator" / "autonix")
    home = Path(environ.get("HOME", ""))
    try:
        status = home.stat()
    except OSError:
        return None
    ours = home.is_absolute() and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return Cache(home / ".cache" / "procurator" / "autonix") if ours else None


def key_of(*parts: str) -> str:
    """The name of what depends on `parts` and on autonix itself."""
    text = "".join(f"{len(part)} {part}\n" for part in (version(), *parts))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@cache
def version() -> str:
    """Changes whenever a file of autonix does, and with where autonix lies: it says the files' sizes and times."""
    root = Path(__file__).parent
    found = [str(root)]
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir() and entry.name not in ("tests", "__pycache__"):
                    waiting.append(entry.path)
                elif entry.name.endswith(".py"):
                    status = entry.stat()
                    found.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
    return hashlib.blake2b("\n".join(sorted(found)).encode(), digest_size=16).hexdigest()


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
