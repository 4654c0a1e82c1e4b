"""A directory or a commit in, its analysis out: the shell that reads the tree and hands it to the pure rules.

With a cache, what was found before is taken from there as long as it rests on the same; the analysis is equal either
way. Nothing in the tree is run, and nothing of it is written.
"""

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

import trio

from autonix.cache import Cache, key_of
from autonix.collector import held_back
from autonix.commits import (
    FAR,
    NEAR,
    Commit,
    CommitTree,
    farther_trees,
    find_commit,
    tree_of,
)
from autonix.contents import Contents
from autonix.differences import Change, changes_between
from autonix.findings import Analysis, Skipped
from autonix.languages import attributes
from autonix.languages.shares import Tally, counted_as, settled
from autonix.memory import Known, known
from autonix.objects import Objects, conversation
from autonix.reader import Reader
from autonix.tree import Head, list_tree, read_files
from autonix.understand import further, sifted, understood, wanted
from autonix.weighing import attribute_texts, tally_of, tally_of_files
from schema.errors import NotFound, TooLarge

_KEPT_EVERY = 8
"""So many commits may follow a kept one before another is kept: a difference is found faster than a file is written."""
_DEEPEST = 4
"""How often a file that was read may lead to further ones (`include` of an `include`)."""

MAX_REPOSITORIES = 500
"""Of one directory."""

Read: TypeAlias = Callable[[Collection[str]], Awaitable[Contents]]
Understand: TypeAlias = Callable[[str, Reader, Sequence[Skipped]], Analysis]
"""From the root's name, what can be asked about the tree, and what was passed over."""


async def analyse(root: Path, *, cache: Cache | None = None, understand: Understand = understood) -> Analysis:
    """What is known of the files under `root`, a git repository or a plain directory.

    The same tree gives an equal analysis; `understand` makes it of what was read. Raises `NotFound` where `root` is not
    a directory.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise NotFound(f"{root} is not a directory")
    tracked: tuple[str, ...] = ()
    held: Known | None = None
    tally = Tally({})

    async def understand_tracked(paths: tuple[str, ...], head: Head) -> None:
        nonlocal tracked, held, tally
        if paths:
            with held_back():
                tracked, held = paths, await _known_of_tracked(root, paths, cache, understand)
        tally = await tally_of_files(root, paths, await head())

    paths = (await list_tree(root, meanwhile=understand_tracked)).paths
    if held is None or (paths is not tracked and not _holds_for_all(held, paths)):
        with held_back():
            held = await _known_of_files(root, paths, cache, understand)
    return replace(held.analysis, languages=settled(tally))


async def analyse_commit(repository: Path, revision: str, *, cache: Cache | None = None) -> Analysis:
    """What is known of a commit, also in a bare repository; equal to `analyse` of a checkout of it.

    With a cache, a commit whose difference to an ancestor touches nothing that was read costs that difference alone.
    Raises `NotFound` where there is no such commit, `InvalidInput` for what is no revision.
    """
    repository = Path(os.path.realpath(repository))
    if not repository.is_dir():
        raise NotFound(f"{repository} is not a directory")
    name = repository.parent.name if repository.name == ".git" else repository.name.removesuffix(".git")
    async with conversation(repository) as objects:
        commit = await find_commit(objects, revision)
        held = await _known_of(objects, commit, name, cache) if cache is not None else None
        if held is None:
            held = await _first_of(await tree_of(objects, commit), name)
            if cache is not None:
                await trio.to_thread.run_sync(cache.put, key_of("commit", name, commit.tree), held)
    return replace(held.analysis, languages=settled(held.tally or Tally({})))


def repositories_in(directory: Path) -> tuple[Path, ...]:
    """The directories in `directory` that are not hidden, by name; links are not followed.

    Raises `NotFound` where it is none, `TooLarge` where it holds too many.
    """
    if not directory.is_dir():
        raise NotFound(f"no directory {directory}")
    found = [each for each in directory.iterdir() if not each.name.startswith(".") and not each.is_symlink()]
    repositories = sorted(each for each in found if each.is_dir())
    if len(repositories) > MAX_REPOSITORIES:
        raise TooLarge(f"{directory} holds {len(repositories)} directories; {MAX_REPOSITORIES} are the most")
    return tuple(repositories)


@dataclass(frozen=True, slots=True)
class _Files:
    """Files that lie in a directory: those that count, and the texts of those whose names say that they are needed."""

    root: Path
    paths: tuple[str, ...]
    first: Contents
    cache: Cache | None
    understand: Understand

    @property
    def key(self) -> str:
        return key_of("files", self.root.name, self.first.digest)

    async def kept(self) -> Known | None:
        return None if self.cache is None else await trio.to_thread.run_sync(self.cache.get, self.key)

    async def fits(self, held: Known) -> bool:
        """Whether what is kept holds for these."""
        return held.holds_for(self.paths) and (await read_files(self.root, held.further)).digest == held.digest

    async def understood(self) -> Known:
        read = partial(read_files, self.root)
        held = await _understood(self.root.name, self.paths, self.first, read, self.understand)
        if self.cache is not None:
            await trio.to_thread.run_sync(self.cache.put, self.key, held)
        return held


async def _files(root: Path, paths: Sequence[str], cache: Cache | None, understand: Understand) -> _Files:
    counted, needed = sifted(paths)
    return _Files(root, counted, await read_files(root, needed), cache, understand)


async def _known_of_files(root: Path, paths: Sequence[str], cache: Cache | None, understand: Understand) -> Known:
    """The analysis of a directory's files."""
    files = await _files(root, paths, cache, understand)
    held = await files.kept()
    return held if held is not None and await files.fits(held) else await files.understood()


async def _known_of_tracked(
    root: Path, paths: Sequence[str], cache: Cache | None, understand: Understand
) -> Known | None:
    """The same where other files may be still to come; None where what is kept may be of all of them."""
    files = await _files(root, paths, cache, understand)
    if (held := await files.kept()) is None:
        return await files.understood()
    return held if await files.fits(held) else None


def _holds_for_all(held: Known, paths: Sequence[str]) -> bool:
    """Whether an analysis of some of `paths` is one of all: no other is to be read, and nobody asked for one."""
    counted, needed = sifted(paths)
    return held.read.issuperset(needed) and held.holds_for(counted)


async def _understood(
    name: str, paths: Sequence[str], first: Contents, read: Read, understand: Understand = understood
) -> Known:
    """The analysis, and what it rests on."""
    reader, skipped = Reader(tuple(paths), first.texts), first.skipped
    led_to: set[str] = set()
    for _ in range(_DEEPEST):
        passed = {each.file for each in skipped}
        if not (more := [path for path in further(reader) if path not in passed]):
            break
        contents = await read(more)
        led_to.update(more)
        reader, skipped = reader.with_texts(contents.texts), (*skipped, *contents.skipped)
    analysis = await trio.to_thread.run_sync(understand, name, reader, skipped)
    seen = {*reader.texts, *(each.file for each in skipped)}
    digest = (await read(sorted(led_to))).digest
    return known(analysis, reader, read=seen, further=led_to, digest=digest)


async def _first_of(tree: CommitTree, name: str) -> Known:
    """The analysis of a commit, found from nothing."""
    paths, needed = sifted(tuple(tree.files))
    first = await tree.read(needed)
    held = await _understood(name, paths, first, tree.read)
    texts = await attribute_texts(tree.sizes.named(attributes.NAME), tree.read)
    behind = await tree.behind(held.read)
    return replace(held, tally=tally_of(tree.sizes, texts), attributes=texts, read=held.read.union(behind))


async def _known_of(objects: Objects, commit: Commit, name: str, cache: Cache) -> Known | None:
    """The analysis of this tree, or that of an ancestor's where the difference changes nothing in it."""
    key = key_of("commit", name, commit.tree)
    if (held := await trio.to_thread.run_sync(cache.get, key)) is not None:
        return held
    steps, trees = NEAR, commit.earlier
    index, held = await trio.to_thread.run_sync(cache.first, [key_of("commit", name, tree) for tree in trees])
    if held is None and len(trees) == len(NEAR):
        steps, trees = FAR, await farther_trees(objects, commit)
        index, held = await trio.to_thread.run_sync(cache.first, [key_of("commit", name, tree) for tree in trees])
    if held is None or held.tally is None:
        return None
    changes = await changes_between(objects, trees[index], commit.tree)
    if changes is None or not _unmoved(held, changes):
        return None
    held = replace(held, tally=await _tally_after(objects, held, changes))
    if steps[index] >= _KEPT_EVERY:
        await trio.to_thread.run_sync(cache.put, key, held)
    return held


def _unmoved(held: Known, changes: Iterable[Change]) -> bool:
    """Whether the differences leave an analysis as it is."""
    changed = [change.path for change in changes]
    moved = [change.path for change in changes if change.old is None or change.new is None]
    plain = all(each is None or each.is_file for change in changes for each in (change.old, change.new))
    named = any(wanted(path) or path.rpartition("/")[2] == attributes.NAME for path in changed)
    return plain and not named and held.holds_without(changed, moved)


async def _tally_after(objects: Objects, held: Known, changes: Sequence[Change]) -> Tally:
    languages = dict(counted_as([change.path for change in changes], attributes.rules_of(held.attributes)))
    gone, new = (
        [
            (languages[change.path], blob.id)
            for change in changes
            if (blob := side(change)) is not None and blob.is_file and change.path in languages
        ]
        for side in (attrgetter("old"), attrgetter("new"))
    )
    ids = [each for _, each in (*gone, *new)]
    sizes = {id_: info.size for id_, info in zip(ids, await objects.infos(ids), strict=True) if info is not None}

    def weighed(files: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
        return [(language, sizes.get(each, 0)) for language, each in files]

    return (held.tally or Tally({})).changed(gone=weighed(gone), new=weighed(new))
