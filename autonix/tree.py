"""What files a directory has and the texts of those that are asked for; it understands nothing of them.

git says which files count (tracked, and untracked but not ignored); elsewhere all do. Nothing of the tree is run: the
two settings by which a repository could make `git ls-files` start a program are off.
"""

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from autonix.contents import Contents, Undecodable, decoded
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

_NO_NAMES = frozenset(("", ".", "..", ".git"))
_UNSAFE = re.compile(r"/(?:\.\.?|\.git)?/")
GIT_ENV = {
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")


@dataclass(frozen=True, slots=True)
class Listing:
    """Paths relative to `root` with `/`, sorted, UTF-8 only; nothing says that one still exists or is a file."""

    root: Path
    paths: tuple[str, ...]


async def list_tree(root: Path, *, git_deadline: float = GIT_DEADLINE) -> Listing:
    """The tree under `root`. Raises NotFound where it is no directory.

    A git that is not done within `git_deadline` seconds (a FIFO as .gitignore stops it for good) is not asked again:
    then every file counts.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise NotFound(f"{root} is not a directory")
    names = await _listed_by_git(root, ("--cached", "--others", "--exclude-standard"), git_deadline)
    if names is None:
        names = b"\0".join(await trio.to_thread.run_sync(partial(_walked, root)))
    return Listing(root, safe_ones(names))


async def list_tracked(root: Path) -> tuple[str, ...]:
    """What git tracks under `root`; nothing in a plain directory."""
    return safe_ones(await _listed_by_git(root, ("--cached",), GIT_DEADLINE) or b"")


async def read_files(listing: Listing, paths: Collection[str]) -> Contents:
    """The texts of `paths`, shallow ones first where not all can be read."""
    return await trio.to_thread.run_sync(partial(_read_all, listing.root, paths))


async def file_sizes(listing: Listing, paths: Iterable[str]) -> dict[str, int]:
    """Bytes of those of `paths` that are files, no links."""
    return await trio.to_thread.run_sync(partial(_sizes, listing.root, paths))


async def _listed_by_git(root: Path, which: Sequence[str], deadline: float) -> bytes | None:
    argv = (*GIT, "ls-files", "-z", *which)
    try:
        return (await run(argv, deadline=deadline, env=GIT_ENV, cwd=root, max_output=MAX_LISTING)).stdout
    except (CommandFailed, DeadlineExceeded, NotFound, TooLarge):
        return None  # no repository, or one that git cannot read: then every file counts


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


def safe_ones(names: bytes) -> tuple[str, ...]:
    """Those of many names, with NUL between them, that can be shown and lie within the tree; each once, sorted."""
    try:
        paths = names.decode().split("\0")
    except UnicodeDecodeError:
        decoded_ones = (name.decode(errors="surrogateescape") for name in names.split(b"\0"))
        paths = [path for path in decoded_ones if not any("\ud800" <= each <= "\udfff" for each in path)]
    if _all_safe(paths):
        return tuple(sorted(dict.fromkeys(filter(None, paths))))  # git's own order is nearly this one already
    directories: dict[str, bool] = {}
    found: dict[str, None] = {}
    for path in paths:
        directory, _, name = path.rpartition("/")
        if (safe := directories.get(directory)) is None:
            inside = not directory or (_UNSAFE.search(f"/{directory}/") is None and directory.isprintable())
            safe = directories[directory] = inside and path.count("/") < MAX_DEPTH
        if safe and name.isprintable() and name not in _NO_NAMES and not path.startswith("/"):
            found[path] = None
    return tuple(sorted(found))


def _all_safe(paths: Sequence[str]) -> bool:
    """Whether nothing in a list gives cause to look at each path: as good as always, and found much faster."""
    whole = f"\0{chr(0).join(paths)}\0"
    ends = ("/", "\0")
    odd = any(f"{first}{name}{last}" in whole for name in _NO_NAMES if name for first in ends for last in ends)
    if odd or "//" in whole or "\0/" in whole or max(map(len, paths)) >= 2 * MAX_DEPTH:
        return False
    return whole.replace("\0", "").isprintable()


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
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        data = _read(root, path, min(left, MAX_FILE))
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
