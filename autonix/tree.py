"""What files a directory has and the texts of those that are asked for; it understands nothing of them.

git says which files count (tracked, and untracked but not ignored); elsewhere all do. Nothing of the tree is run: the
two settings by which a repository could make `git ls-files` start a program are off.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import TypeAlias

import trio

from autonix.contents import Contents, Undecodable, decoded
from autonix.findings import Skipped
from autonix.listings import GIT_DEADLINE, listed, mapped
from autonix.paths import MAX_DEPTH, safe_ones
from schema.errors import CommandFailed, DeadlineExceeded, NotFound, TooLarge

_NO_LIST = (CommandFailed, DeadlineExceeded, NotFound, TooLarge)
"""What git says where there is no repository, or one that it cannot read."""
MAX_FILES = 2_000_000
MAX_FILE = 8 * 1024 * 1024
MAX_TOTAL = 96 * 1024 * 1024
"""Bytes read of one file, and of all together."""


Head: TypeAlias = Callable[[], Awaitable[bytes | mmap | None]]
"""Waits for what `git ls-tree -r -z -l` prints of the commit that is checked out, None where there is none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Paths relative to `root` with `/`, sorted, UTF-8 only; nothing says that one still exists or is a file."""

    root: Path
    paths: tuple[str, ...]


async def list_tree(
    root: Path,
    *,
    meanwhile: Callable[[tuple[str, ...], Head], Awaitable[None]] | None = None,
    git_deadline: float = GIT_DEADLINE,
) -> Listing:
    """The tree under `root`. Raises NotFound where it is no directory.

    `meanwhile` gets the tracked paths while git lists the last commit and walks the directory for files that are not
    tracked; where there are none, as a rule, the listing has the same tuple. A git that is not done within
    `git_deadline` seconds (a FIFO as .gitignore stops it for good) is not asked again: then every file counts.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise NotFound(f"{root} is not a directory")
    committed: bytes | mmap | None = None
    others: bytes | None = None
    head_is_listed = trio.Event()

    async def look() -> None:
        nonlocal committed, others
        with suppress(*_NO_LIST):
            committed = await mapped(root, ("ls-tree", "-r", "-z", "-l", "HEAD"))
        head_is_listed.set()
        others = await _ls_files(root, ("--others", "--exclude-standard"), git_deadline)

    async def head() -> bytes | mmap | None:
        await head_is_listed.wait()
        return committed

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)  # one list after the other: `meanwhile` has use for a processor of its own
        cached = await _ls_files(root, ("--cached",), git_deadline)
        tracked = safe_ones(cached or b"")
        if meanwhile is not None:
            await meanwhile(tracked, head)
    if cached is None or others is None:
        return Listing(root, safe_ones(b"\0".join(await trio.to_thread.run_sync(partial(_walked, root)))))
    return Listing(root, safe_ones(cached + others) if others else tracked)


async def read_files(root: Path, paths: Collection[str]) -> Contents:
    """The texts of `paths` below `root` (a real path), shallow ones first where not all can be read."""
    return await trio.to_thread.run_sync(partial(_read_all, root, paths))


async def file_sizes(root: Path, paths: Iterable[str]) -> dict[str, int]:
    """Bytes of those of `paths` below `root` that are files, no links."""
    return await trio.to_thread.run_sync(partial(_sizes, root, paths))


async def _ls_files(root: Path, which: Sequence[str], deadline: float) -> bytes | None:
    try:
        return await listed(root, ("ls-files", "-z", *which), deadline=deadline)
    except _NO_LIST:
        return None


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


def _sizes(root: Path, paths: Iterable[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    start = f"{root}/"
    for path in paths:
        try:
            status = os.lstat(start + path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[path] = status.st_size
    return sizes


def _read_all(root: Path, paths: Iterable[str]) -> Contents:
    texts: dict[str, str] = {}
    skipped: list[Skipped] = []
    seen = hashlib.blake2b(digest_size=32)
    left = MAX_TOTAL
    plain: dict[str, bool] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        directory = path.rpartition("/")[0]
        if (is_plain := plain.get(directory)) is None:
            place = f"{root}/{directory}" if directory else str(root)
            is_plain = ".git" not in directory.split("/") and os.path.realpath(place) == place
            plain[directory] = is_plain
        data = _read(root, path, min(left, MAX_FILE), is_plain=is_plain)
        if isinstance(data, str):
            skipped.append(Skipped(path, data))
            continue
        left -= len(data)
        seen.update(f"{len(path.encode())} {path} {len(data)}\0".encode())
        seen.update(data)
        text = decoded(data)
        if isinstance(text, Undecodable):
            skipped.append(Skipped(path, text.reason))
        else:
            texts[path] = text
    for each in skipped:
        seen.update(f"skipped {each}\0".encode())
    return Contents(texts, tuple(skipped), seen.hexdigest())


def _opened(path: str) -> int | OSError:
    """A descriptor of the file at `path`, which is no link."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return error


def _inside(root: Path, path: str) -> str | None:
    """Where the file lies behind links; None where that is outside the tree."""
    real = os.path.realpath(root / path)
    inside = os.path.relpath(real, root)
    return None if inside.startswith("..") or ".git" in Path(inside).parts else real


def _read(root: Path, path: str, limit: int, *, is_plain: bool) -> bytes | str:
    """The bytes, or why there are none. `is_plain`: no directory that leads to it is a link."""
    opened = _opened(f"{root}/{path}") if is_plain else None
    if opened is None or (isinstance(opened, OSError) and opened.errno == errno.ELOOP):
        if (real := _inside(root, path)) is None:
            return "a symlink that leaves the tree"
        opened = _opened(real)
    if isinstance(opened, OSError):
        return f"cannot be read: {opened.strerror}"
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size > limit:
            return f"{status.st_size} bytes are more than the {limit} that are read"
        return _bytes(opened, status.st_size, limit)
    finally:
        os.close(opened)


def _bytes(descriptor: int, size: int, limit: int) -> bytes:
    """All bytes of a file that says it has `size`; at most `limit`, however it grows meanwhile."""
    found = os.read(descriptor, min(size + 1, limit))
    if len(found) != size:
        while len(found) < limit and (chunk := os.read(descriptor, min(limit - len(found), 1 << 20))):
            found += chunk
    return found
