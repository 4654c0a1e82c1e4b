"""What files a tree has and the bytes of those that are asked for; the only I/O of autonix, and it understands nothing.

git says which files count (tracked, and untracked but not ignored); elsewhere all do. Nothing of the tree is run: the
two settings by which a repository could make `git ls-files` start a program are off.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from autonix.findings import Skipped
from nix.run import run
from schema.errors import CommandFailed, DeadlineExceeded, NotFound, TooLarge

GIT_DEADLINE = 30.0
MAX_LISTING = 256 * 1024 * 1024
"""Bytes of `git ls-files`, some three million paths."""
MAX_FILES = 2_000_000
MAX_DEPTH = 64
MAX_FILE = 8 * 1024 * 1024
MAX_TOTAL = 96 * 1024 * 1024
"""Bytes read of one file, and of all together."""

_UNSAFE = re.compile(r"/(?:\.\.?|\.git)?/")
_GIT_ENV = {
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")


@dataclass(frozen=True, slots=True)
class Listing:
    """Paths relative to `root` with `/`, sorted, UTF-8 only; nothing says that one still exists or is a file."""

    root: Path
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The texts of files by path, and what could not be read."""

    texts: dict[str, str]
    skipped: tuple[Skipped, ...]


async def list_tree(root: Path, *, git_deadline: float = GIT_DEADLINE) -> Listing:
    """The tree under `root`. Raises NotFound where it is no directory.

    A git that is not done within `git_deadline` seconds (a FIFO as .gitignore stops it for good) is not asked again:
    then every file counts.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise NotFound(f"{root} is not a directory")
    names = await _listed_by_git(root, git_deadline)
    if names is None:
        names = await trio.to_thread.run_sync(partial(_walked, root))
    return Listing(root, tuple(sorted({path for name in names if (path := _safe(name))})))


async def read_files(listing: Listing, paths: Collection[str]) -> Contents:
    """The texts of `paths`, shallow ones first where not all can be read."""
    return await trio.to_thread.run_sync(partial(_read_all, listing.root, paths))


async def _listed_by_git(root: Path, deadline: float) -> list[bytes] | None:
    argv = (*_GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        done = await run(argv, deadline=deadline, env=_GIT_ENV, cwd=root, max_output=MAX_LISTING)
    except (CommandFailed, DeadlineExceeded, NotFound, TooLarge):
        return None  # no repository, or one that git cannot read: then every file counts
    return done.stdout.split(b"\0")


def _walked(root: Path) -> list[bytes]:
    """Every file of a plain directory but `.git`; directories behind symlinks are not entered."""
    found: list[bytes] = []
    waiting = [(os.fsencode(root), b"", 0)]
    while waiting and len(found) < MAX_FILES:
        directory, prefix, depth = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != b".git" and depth < MAX_DEPTH:
                            waiting.append((entry.path, name + b"/", depth + 1))
                    else:
                        found.append(name)
        except OSError:  # gone, unreadable, or its path is longer than the system takes
            continue
    return found


def _safe(name: bytes) -> str | None:
    try:
        path = name.decode()
    except UnicodeDecodeError:
        return None
    if not path or not path.isprintable() or path.count("/") >= MAX_DEPTH:
        return None
    return None if _UNSAFE.search(f"/{path}/") else path


def _read_all(root: Path, paths: Iterable[str]) -> Contents:
    texts: dict[str, str] = {}
    skipped: list[Skipped] = []
    left = MAX_TOTAL
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        data = _read(root, path, min(left, MAX_FILE))
        if isinstance(data, str):
            skipped.append(Skipped(path, data))
            continue
        left -= len(data)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            skipped.append(Skipped(path, "not UTF-8 text"))
            continue
        if "\0" in text:
            skipped.append(Skipped(path, "not text: it holds a NUL"))
        else:
            texts[path] = text.replace("\r\n", "\n").replace("\r", "\n")
    return Contents(texts, tuple(skipped))


def _read(root: Path, path: str, limit: int) -> bytes | str:
    """The bytes, or why there are none."""
    real = os.path.realpath(root / path)
    inside = os.path.relpath(real, root)
    if inside.startswith("..") or ".git" in Path(inside).parts:
        return "a symlink that leaves the tree"
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size > limit:
            return f"{status.st_size} bytes are more than the {limit} that are read"
        return b"".join(_chunks(file.fileno(), limit))


def _chunks(descriptor: int, limit: int) -> Iterator[bytes]:
    """At most `limit` bytes, however the file grows meanwhile."""
    while limit > 0 and (chunk := os.read(descriptor, min(limit, 1 << 20))):
        limit -= len(chunk)
        yield chunk
