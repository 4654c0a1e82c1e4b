"""What files a directory has and the texts of those that are asked for; it understands nothing of them.

git says which files count (tracked, and untracked but not ignored); elsewhere all do. Nothing of the tree is run: the
two settings by which a repository could make `git ls-files` start a program are off.
"""

import errno
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
from autonix.listings import GIT_DEADLINE, listed
from schema.errors import CommandFailed, DeadlineExceeded, NotFound, TooLarge

MAX_FILES = 2_000_000
MAX_DEPTH = 64
MAX_FILE = 8 * 1024 * 1024
MAX_TOTAL = 96 * 1024 * 1024
"""Bytes read of one file, and of all together."""

_NO_NAMES = frozenset(("", ".", "..", ".git"))
_UNSAFE = re.compile(r"/(?:\.\.?|\.git)?/")
_ODD = tuple(f"/{name}/".encode() for name in sorted(_NO_NAMES))
_PLAIN = bytes((0, *range(0x20, 0x7F)))


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


async def read_files(root: Path, paths: Collection[str]) -> Contents:
    """The texts of `paths` below `root` (a real path), shallow ones first where not all can be read."""
    return await trio.to_thread.run_sync(partial(_read_all, root, paths))


async def file_sizes(root: Path, paths: Iterable[str]) -> dict[str, int]:
    """Bytes of those of `paths` below `root` that are files, no links."""
    return await trio.to_thread.run_sync(partial(_sizes, root, paths))


async def _listed_by_git(root: Path, which: Sequence[str], deadline: float) -> bytes | None:
    try:
        return await listed(root, ("ls-files", "-z", *which), deadline=deadline)
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
        text = names.decode()
    except UnicodeDecodeError:
        decoded_ones = (name.decode(errors="surrogateescape") for name in names.split(b"\0"))
        text = "\0".join(path for path in decoded_ones if not any("\ud800" <= each <= "\udfff" for each in path))
        names = text.encode()
    paths = text.removesuffix("\0").split("\0")
    if not _all_safe(names, text, longest=max(map(len, paths))):
        paths = _each_safe(paths)
    paths.sort()  # git's own order is nearly this one already
    return tuple(paths) if len(set(paths)) == len(paths) else tuple(dict.fromkeys(paths))


def _each_safe(paths: Sequence[str]) -> list[str]:
    directories: dict[str, bool] = {}
    found: list[str] = []
    for path in paths:
        directory, _, name = path.rpartition("/")
        if (safe := directories.get(directory)) is None:
            inside = not directory or (_UNSAFE.search(f"/{directory}/") is None and directory.isprintable())
            safe = directories[directory] = inside and path.count("/") < MAX_DEPTH
        if safe and name.isprintable() and name not in _NO_NAMES and not path.startswith("/"):
            found.append(path)
    return found


def _all_safe(names: bytes, text: str, *, longest: int) -> bool:
    """Whether nothing in a list gives cause to look at each path: as good as always, and found much faster."""
    whole = b"/%b/" % names.removesuffix(b"\0").replace(b"\0", b"/")
    if any(odd in whole for odd in _ODD) or longest >= 2 * MAX_DEPTH:
        return False
    return not names.translate(None, _PLAIN) or text.replace("\0", "").isprintable()


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
    with os.fdopen(opened, "rb", buffering=0) as file:
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
