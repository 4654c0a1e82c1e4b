"""A commit's tree in a repository, also a bare one: paths, sizes and texts from git's objects; nothing is checked out.

It understands nothing of them. Nothing is fetched: transports are off, so that an object which a partial clone lacks
counts as one that cannot be read.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Final

from autonix.contents import Contents, Undecodable, decoded
from autonix.findings import Skipped
from autonix.tree import GIT, GIT_DEADLINE, GIT_ENV, MAX_FILE, MAX_LISTING, MAX_TOTAL, safe_ones
from nix.run import run
from schema.errors import CommandFailed, DeadlineExceeded, InvalidInput, NotFound, TooLarge

ANCESTORS: Final = 64
"""So many commits back a kept analysis is looked for."""
MAX_CHANGES: Final = 5_000
"""Changed files between two commits beyond which the whole tree is read again."""
LINK, _FILES = "120000", ("100644", "100755", "100664")
_MOST_LINKS: Final = 8
_ABSENT: Final = "cannot be read: No such file or directory"
_FILE = re.compile(r"100\d{3} (\d+) ([^\0]+)\0")
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
    """The tree of a commit, and those of its ancestors, nearest first."""

    repository: Path
    tree: str
    earlier: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommitTree:
    """All files of a tree by path, sorted, and the bytes of each object."""

    repository: Path
    files: Mapping[str, tuple[str, str, str]]
    """By path: mode, id, and bytes as git prints them (no number where there is no such object)."""

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
        contents = await blobs(self.repository, [each for _, each in wanted])
        for path, identifier in wanted:
            data = contents.get(identifier)
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
            targets = await blobs(self.repository, [each.id for n in links if isinstance(each := found[n], Blob)])
            for number in links:
                link = found[number]
                assert isinstance(link, Blob)  # noqa: S101 - `links` says so
                target = targets.get(link.id, b"").decode(errors="replace")
                place = normpath(join(dirname(places[number]), target))
                if place.startswith(("..", "/")) or ".git" in place.split("/"):
                    found[number] = "a symlink that leaves the tree"
                else:
                    places[number] = place
                    found[number] = self.blob(place) or _ABSENT
        endless = "cannot be read: Too many levels of symbolic links"
        ended = [endless if isinstance(each, Blob) and each.mode == LINK else each for each in found]
        return ended, places


@dataclass(frozen=True, slots=True)
class Change:
    """A path whose file differs between two trees; None: there is none."""

    path: str
    old: Blob | None
    new: Blob | None


async def find_commit(repository: Path, revision: str) -> Commit:
    """The commit that `revision` names. Raises `NotFound` and, for what looks like an option, `InvalidInput`."""
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InvalidInput(f"no revision: {revision!r}")
    words = ("log", f"--max-count={ANCESTORS}", "--format=%T", "--end-of-options", revision, "--")
    try:
        trees = (await _git(repository, words)).decode().split()
    except CommandFailed as error:
        raise NotFound(f"{repository} has no commit {revision!r}") from error
    if not trees:
        raise NotFound(f"{repository} has no commit {revision!r}")
    return Commit(repository, trees[0], tuple(dict.fromkeys(trees)))


async def tree_of(commit: Commit) -> CommitTree:
    """Everything in the commit's tree."""
    printed = await _git(commit.repository, ("ls-tree", "-r", "-z", "-l", "--full-tree", commit.tree))
    entries = {path: (mode, id_, size) for mode, id_, size, path in _ENTRY.findall(_text_of(printed))}
    paths = safe_ones("\0".join(entries).encode())
    return CommitTree(commit.repository, {path: entries[path] for path in paths})


async def head_sizes(directory: Path) -> list[tuple[str, str]] | None:
    """Bytes (in digits) and path of each file below `directory` in the commit that is checked out, links aside.

    None where there is no commit, or where git is older than 2.36.
    """
    try:
        printed = await _git(directory, ("ls-tree", "-r", "-z", "--format=%(objectmode) %(objectsize) %(path)", "HEAD"))
    except (CommandFailed, DeadlineExceeded, NotFound, TooLarge):
        return None
    found: list[tuple[str, str]] = _FILE.findall(_text_of(printed))
    return found


def _text_of(printed: bytes) -> str:
    """As text, without the entries whose path is no UTF-8."""
    try:
        return printed.decode()
    except UnicodeDecodeError:
        kept = (each for each in printed.split(b"\0") if each and _is_text(each))
        return "".join(f"{each.decode()}\0" for each in kept)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


async def changes_between(repository: Path, old: str, new: str) -> tuple[Change, ...] | None:
    """The files that differ between two trees; None where there are too many."""
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", old, new)
    fields = (await _git(repository, words)).split(b"\0")[:-1]
    if len(fields) > 2 * MAX_CHANGES:
        return None
    found = []
    for head, name in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, _ = head.decode().lstrip(":").split()
        before = None if set(old_mode) == {"0"} else Blob(old_mode, old_id)
        after = None if set(new_mode) == {"0"} else Blob(new_mode, new_id)
        found.append(Change(name.decode(errors="replace"), before, after))
    return tuple(found)


async def sizes_of(repository: Path, identifiers: Collection[str]) -> dict[str, int]:
    """The bytes of objects, without those that git does not have."""
    if not identifiers:
        return {}
    asked = "".join(f"{each}\n" for each in sorted(set(identifiers))).encode()
    printed = await _git(repository, ("cat-file", "--batch-check=%(objectname) %(objectsize)"), stdin=asked)
    rows = (line.split() for line in printed.decode().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


async def blobs(repository: Path, identifiers: Collection[str]) -> dict[str, bytes]:
    """The contents of objects, without those that git does not have. Their sizes are the caller's to bound."""
    if not identifiers:
        return {}
    asked = "".join(f"{each}\n" for each in sorted(set(identifiers))).encode()
    return dict(_parted(await _git(repository, ("cat-file", "--batch"), stdin=asked)))


def _parted(printed: bytes) -> Iterator[tuple[str, bytes]]:
    r"""`<id> <type> <size>\n<contents>\n` each, or `<id> missing\n`."""
    at = 0
    while at < len(printed):
        end = printed.index(b"\n", at)
        head = printed[at:end].decode().split()
        at = end + 1
        if len(head) == 3 and head[2].isdigit():
            size = int(head[2])
            yield head[0], printed[at : at + size]
            at += size + 1


async def _git(repository: Path, words: Sequence[str], *, stdin: bytes | None = None) -> bytes:
    argv = (*GIT, "-c", "protocol.allow=never", *words)
    limit = max(MAX_LISTING, 2 * MAX_TOTAL)
    done = await run(argv, deadline=GIT_DEADLINE, env=GIT_ENV, cwd=repository, stdin=stdin, max_output=limit)
    return done.stdout
