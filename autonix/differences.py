"""How two trees of git differ, by reading only those of their directories that do; whole files are not looked at."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from autonix.commits import Blob
from autonix.objects import Objects

MAX_CHANGES: Final = 5_000
"""Changed files, or directories, between two trees beyond which the whole tree is read again."""
_DIRECTORY: Final = "40000"
_ENTRIES: Final = {
    length: re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{%d})" % (length // 2), re.DOTALL) for length in (40, 64)
}
"""A directory as git keeps it, by the digits of an object's id: mode, name, and the id's bytes."""
_Entry: TypeAlias = tuple[bytes, bytes, bytes]
_Pair: TypeAlias = tuple[str, str | None, str | None]
"""A directory with the slash behind it, and the ids of its two trees; None: there is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """A path whose file differs between two trees; None: there is none."""

    path: str
    old: Blob | None
    new: Blob | None


async def changes_between(objects: Objects, old: str, new: str) -> tuple[Change, ...] | None:
    """The files that differ between two trees, by path; None where there are too many, or a tree is not there."""
    found: list[Change] = []
    level: list[_Pair] = [("", old, new)]
    while level:
        if len(found) > MAX_CHANGES or len(level) > MAX_CHANGES:
            return None
        ids = [each for _, *both in level for each in both if each is not None]
        trees = dict(zip(ids, await objects.contents(ids), strict=True))
        if None in trees.values():
            return None
        below: list[_Pair] = []
        for directory, *pair in level:
            before, after = (_entries(trees[each] or b"", each) if each is not None else set() for each in pair)
            for each in _differing(directory, before, after):
                if isinstance(each, Change):
                    found.append(each)
                else:
                    below.append(each)
        level = below
    return tuple(sorted(found, key=lambda change: change.path))


def _entries(tree: bytes, identifier: str) -> set[_Entry]:
    """What is in a directory; git's modes, one digit less for directories."""
    return set(_ENTRIES[len(identifier)].findall(tree))


def _blobs(entries: Iterable[_Entry]) -> dict[str, Blob]:
    return {name.decode(errors="replace"): Blob(mode.decode(), id_.hex()) for mode, name, id_ in entries}


def _differing(directory: str, before: set[_Entry], after: set[_Entry]) -> Iterator[Change | _Pair]:
    gone, fresh = _blobs(before - after), _blobs(after - before)
    for name in dict.fromkeys((*gone, *fresh)):
        old, new = gone.get(name), fresh.get(name)
        path = f"{directory}{name}"
        trees = [each.id if each is not None and each.mode == _DIRECTORY else None for each in (old, new)]
        if any(trees):
            yield (f"{path}/", trees[0], trees[1])
        files = [each if each is not None and each.mode != _DIRECTORY else None for each in (old, new)]
        if any(files):
            yield Change(path, files[0], files[1])
