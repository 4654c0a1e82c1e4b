"""The files of a commit and their bytes, out of what `git ls-tree -r -z -l` prints; which of them count it is told.

The list may have millions of entries, so it is read a block at a time and never made into objects as a whole.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from autonix.contents import is_text

_BLOCK: Final = 64 * 1024
"""Bytes at a time: they stay in the processor's cache, and the same memory serves for all."""
_FIRST: Final = re.compile(rb"[0-7]+ [a-z]+ ([0-9a-f]+) ")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Files, links aside. An entry is `100644 blob <id> <bytes, seven wide or more>`, a tab, the path and NUL.

    The bytes are `BAD` where there is no such object: then it counts for none.
    """

    printed: bytes | mmap
    block: int = _BLOCK

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Path and bytes of each."""
        size_at = self._size_at
        for block in self._blocks():
            for entry in _texts(block):
                head, _, path = entry.partition("\t")
                if "100" < entry < "101" and head[-1] != "D":
                    yield path, int(head[size_at:])

    def by_name(self, is_aside: Callable[[str], bool]) -> dict[str, int]:
        """The bytes of all files of a name, as names come again and again, without those in directories set aside."""
        found: defaultdict[str, int] = defaultdict(int)
        aside: dict[str, bool] = {}
        size_at = self._size_at
        last, passed = "\0", False
        for block in self._blocks():
            for entry in _texts(block):
                head, _, path = entry.partition("\t")
                directory, _, name = path.rpartition("/")
                if directory != last:  # the files of a directory follow each other
                    last = directory
                    if directory not in aside:
                        aside[directory] = is_aside(directory)
                    passed = aside[directory]
                if not passed and "100" < entry < "101" and head[-1] != "D":
                    found[name] += int(head[size_at:])
        return found

    def named(self, name: str) -> list[str]:
        """Paths of what is called `name`."""
        wanted, found = name.encode() + b"\0", []
        for block in self._blocks():
            if wanted in block:  # seldom, and found much faster
                for entry in _texts(block):
                    path = entry.partition("\t")[2]
                    if "100" < entry < "101" and path.rpartition("/")[2] == name:
                        found.append(path)
        return found

    @property
    def _size_at(self) -> int:
        """Where the bytes begin in every entry, as all ids of a repository have one length."""
        first = _FIRST.match(self.printed)
        return len("100644 blob ") + (len(first[1]) if first else 0)

    def _blocks(self) -> Iterator[bytes]:
        at, end = 0, len(self.printed)
        while at < end:
            after = self.printed.find(b"\0", min(at + self.block, end - 1)) + 1 or end
            yield self.printed[at:after]
            at = after


def _texts(entries: bytes) -> list[str]:
    """Entries as text, without those whose path is no UTF-8."""
    try:
        return entries.decode().split("\0")
    except UnicodeDecodeError:
        return [each.decode() for each in entries.split(b"\0") if is_text(each)]
