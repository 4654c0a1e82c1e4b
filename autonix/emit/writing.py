"""Reads and writes the generated files in a directory: both or none; whether they may be written is `changes.py`'s.

Both texts are on disk under other names before the first takes its place; if the second cannot, the first goes back.
A crash between the two renames leaves two files of autonix' own, which the next run writes again.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from autonix.emit.changes import Change
from autonix.emit.files import CLUSTER, FLAKE
from schema.disk import sync_directory
from schema.errors import InvalidInput, PermissionDenied

MAX_BYTES = 16 * 1024 * 1024
"""Of a file that is there already; a larger one is nobody's flake."""


def existing(directory: Path) -> Mapping[str, str | None]:
    """The texts that are there; a link counts as a text of its own, and never as ours.

    Raises `InvalidInput` for what is no file, no text or too large.
    """
    return {name: _text(directory / name) for name in (FLAKE, CLUSTER)}


def write_both(directory: Path, wanted: Sequence[Change]) -> None:
    """Put every change in its place, or none. Raises `PermissionDenied` or `InvalidInput` where that cannot be."""
    fresh = [(directory / f".{change.name}.{os.getpid()}.new", directory / change.name) for change in wanted]
    kept: list[tuple[Path, Path, Path | None]] = []
    try:
        for (temporary, _), change in zip(fresh, wanted, strict=True):
            _write(temporary, change.text)
        for temporary, place in fresh:
            backup = _backup(place)
            kept.append((temporary, place, backup))
            temporary.replace(place)
    except OSError as error:
        for _, place, backup in reversed(kept):
            if backup is not None:
                backup.replace(place)
            elif not place.is_dir():
                place.unlink(missing_ok=True)
        refused = PermissionDenied if isinstance(error, PermissionError) else InvalidInput
        raise refused(f"{directory}: nothing was written: {error.strerror}: {error.filename}") from error
    finally:
        for temporary, _ in fresh:
            temporary.unlink(missing_ok=True)
    for _, _, backup in kept:
        if backup is not None:
            backup.unlink(missing_ok=True)
    sync_directory(directory)


def _text(path: Path) -> str | None:
    if path.is_symlink():
        return f"a link to {path.readlink()}\n"
    if not path.exists():
        return None
    if not path.is_file():
        raise InvalidInput(f"{path} is no file")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: move it away to go on") from error


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with path.open("x", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _backup(place: Path) -> Path | None:
    if not (place.exists() or place.is_symlink()):
        return None
    if place.is_dir() and not place.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    backup = place.with_name(f".{place.name}.{os.getpid()}.old")
    backup.unlink(missing_ok=True)
    os.link(place, backup, follow_symlinks=False)
    return backup
