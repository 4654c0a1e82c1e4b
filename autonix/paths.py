"""Paths that can be shown and lie within a tree, out of a list of names that may say anything; it reads nothing."""

import re
from collections.abc import Sequence
from itertools import islice
from operator import lt
from typing import Final

from autonix.contents import is_text

MAX_DEPTH: Final = 64

_NO_NAMES: Final = frozenset(("", ".", "..", ".git"))
_UNSAFE: Final = re.compile(r"/(?:\.\.?|\.git)?/")
_ODD: Final = tuple(f"/{name}/".encode() for name in sorted(_NO_NAMES))
_ODD_FIRST: Final = tuple(odd[1:] for odd in _ODD)
_PLAIN: Final = bytes((0, *range(0x20, 0x7F)))


def safe_ones(names: bytes) -> tuple[str, ...]:
    """Those of many names, with NUL behind or between them, that can be shown and lie within the tree.

    Each once, sorted.
    """
    if not names.endswith(b"\0"):
        names += b"\0"
    try:
        text = names.decode()
    except UnicodeDecodeError:
        text = "".join(f"{name.decode()}\0" for name in names.split(b"\0") if is_text(name))
        names = text.encode()
    paths = text.split("\0")
    del paths[-1]
    if not _all_safe(names, text, longest=max(map(len, paths), default=0)):
        paths = _each_safe(paths)
    in_order = all(map(lt, paths, islice(paths, 1, None)))  # as git lists them, but for what is not merged
    return tuple(paths) if in_order else tuple(sorted(set(paths)))


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
    parts = names.replace(b"\0", b"/")
    if parts.startswith(_ODD_FIRST) or any(odd in parts for odd in _ODD) or longest >= 2 * MAX_DEPTH:
        return False
    return not names.translate(None, _PLAIN) or text.replace("\0", "").isprintable()
