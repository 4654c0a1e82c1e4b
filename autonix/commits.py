"""A commit's tree in a repository, also a bare one: paths, sizes and texts from git's objects; nothing is checked out.

It understands nothing of them. How two trees differ is `differences.py`'s.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import Final

from autonix.contents import Contents, Undecodable, decoded, is_text
from autonix.findings import Skipped
from autonix.listings import listed
from autonix.objects import Objects
from autonix.paths import safe_ones
from autonix.sizes import Sizes
from autonix.tree import MAX_FILE, MAX_TOTAL
from schema.errors import InvalidInput, NotFound

NEAR: Final = range(1, 9)
FAR: Final = range(9, 65)
"""So many commits back a kept analysis is looked for: as a rule it is a near one."""
LINK, _FILES = "120000", ("100644", "100755", "100664")
_MOST_LINKS: Final = 8
_ABSENT: Final = "cannot be read: No such file or directory"
_ENTRY = re.compile(r"(\d+) \w+ ([0-9a-f]+) +(\S+)\t([^\0]+)\0")


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit: git's mode and the object's id."""

    mode: str
    id: str

    @property
    def is_file(self) -> bool:
        """Whether it is one, and no link or submodule."""
        return self.mode in _FILES


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's id, that of its tree, and those of its nearest ancestors' trees by first parents, nearest first."""

    id: str
    tree: str
    earlier: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommitTree:
    """All files of a tree by path, sorted, and the bytes of each object."""

    objects: Objects
    files: Mapping[str, tuple[str, str, str]]
    """By path: mode, id, and bytes as git prints them (no number where there is no such object)."""
    sizes: Sizes

    def blob(self, path: str) -> Blob | None:
        """The file at `path`."""
        found = self.files.get(path)
        return None if found is None else Blob(found[0], found[1])

    def size(self, path: str) -> int:
        """Bytes of the file at `path`, 0 where git does not know them."""
        size = self.files[path][2]
        return int(size) if size.isdigit() else 0

    async def read(self, paths: Collection[str]) -> Contents:
        """The texts of `paths`, shallow ones first where not all can be read, as `tree.read_files` reads them."""
        ordered = sorted(paths, key=lambda path: (path.count("/"), path))
        skipped: list[Skipped] = []
        texts: dict[str, str] = {}
        wanted: list[tuple[str, str]] = []
        left = MAX_TOTAL
        for path, blob, place in zip(ordered, *await self._followed(ordered), strict=True):
            size = self.size(place) if isinstance(blob, Blob) else 0
            if isinstance(blob, str):
                skipped.append(Skipped(path, blob))
            elif not blob.is_file:
                skipped.append(Skipped(path, "not a regular file"))
            elif size > (limit := min(left, MAX_FILE)):
                skipped.append(Skipped(path, f"{size} bytes are more than the {limit} that are read"))
            else:
                left -= size
                wanted.append((path, blob.id))
        contents = await self.objects.contents([each for _, each in wanted])
        for (path, _), data in zip(wanted, contents, strict=True):
            text = Undecodable("cannot be read: git has no such object") if data is None else decoded(data)
            if isinstance(text, Undecodable):
                skipped.append(Skipped(path, text.reason))
            else:
                texts[path] = text
        return Contents(texts, tuple(skipped))

    async def behind(self, paths: Collection[str]) -> tuple[str, ...]:
        """Where the files of `paths` lie that are links."""
        links = [path for path in paths if (blob := self.blob(path)) is not None and blob.mode == LINK]
        return tuple((await self._followed(links))[1])

    async def _followed(self, paths: Sequence[str]) -> tuple[list[Blob | str], list[str]]:
        """The file of each path behind links, or why there is none; and where it lies."""
        found: list[Blob | str] = [self.blob(path) or _ABSENT for path in paths]
        places = list(paths)
        for _ in range(_MOST_LINKS):
            links = [n for n, each in enumerate(found) if isinstance(each, Blob) and each.mode == LINK]
            if not links:
                return found, places
            targets = await self.objects.contents([each.id for n in links if isinstance(each := found[n], Blob)])
            for number, data in zip(links, targets, strict=True):
                target = (data or b"").decode(errors="replace")
                place = normpath(join(dirname(places[number]), target))
                if place.startswith(("..", "/")) or ".git" in place.split("/"):
                    found[number] = "a symlink that leaves the tree"
                else:
                    places[number] = place
                    found[number] = self.blob(place) or _ABSENT
        endless = "cannot be read: Too many levels of symbolic links"
        ended = [endless if isinstance(each, Blob) and each.mode == LINK else each for each in found]
        return ended, places


async def find_commit(objects: Objects, revision: str) -> Commit:
    """The commit that `revision` names. Raises `NotFound` and, for what looks like an option, `InvalidInput`."""
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InvalidInput(f"no revision: {revision!r}")
    near = [f"{revision}~{number}^{{tree}}" for number in NEAR]
    commit, tree, *earlier = await objects.infos([f"{revision}^{{commit}}", f"{revision}^{{tree}}", *near])
    if commit is None or tree is None:
        raise NotFound(f"{objects.repository} has no commit {revision!r}")
    return Commit(commit.id, tree.id, tuple(each.id for each in earlier if each is not None))


async def farther_trees(objects: Objects, commit: Commit) -> tuple[str, ...]:
    """The trees of the ancestors of `FAR`, nearest first."""
    found = await objects.infos([f"{commit.id}~{number}^{{tree}}" for number in FAR])
    return tuple(each.id for each in found if each is not None)


async def tree_of(objects: Objects, commit: Commit) -> CommitTree:
    """Everything in the commit's tree."""
    printed = await listed(objects.repository, ("ls-tree", "-r", "-z", "-l", "--full-tree", commit.tree))
    entries = {path: (mode, id_, size) for mode, id_, size, path in _ENTRY.findall(_text_of(printed))}
    paths = safe_ones("\0".join(entries).encode())
    return CommitTree(objects, {path: entries[path] for path in paths}, Sizes(printed))


def _text_of(printed: bytes) -> str:
    """As text, without the entries whose path is no UTF-8."""
    try:
        return printed.decode()
    except UnicodeDecodeError:
        kept = (each for each in printed.split(b"\0") if each and is_text(each))
        return "".join(f"{each.decode()}\0" for each in kept)
