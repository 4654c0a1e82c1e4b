"""A directory or a commit in, its analysis out: the shell that reads the tree and hands it to the pure rules.

With a cache, what was found before is taken from there as long as it rests on the same; the analysis is equal either
way. Nothing in the tree is run, and nothing of it is written.
"""

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

import trio

from autonix.cache import Cache, key_of
from autonix.commits import (
    FAR,
    LINK,
    NEAR,
    Commit,
    CommitTree,
    HeadSizes,
    farther_trees,
    find_commit,
    head_sizes,
    tree_of,
)
from autonix.contents import Contents
from autonix.differences import Change, changes_between
from autonix.findings import Analysis
from autonix.languages import attributes
from autonix.languages.shares import Tally, counted_as, settled, tallied
from autonix.memory import Known, known
from autonix.objects import Objects, conversation
from autonix.reader import Reader
from autonix.tree import file_sizes, list_tracked, list_tree, read_files, safe_ones
from autonix.understand import further, sifted, understood, wanted
from schema.errors import NotFound, TooLarge

_KEPT_EVERY = 8
"""So many commits may follow a kept one before another is kept: a difference is found faster than a file is written."""
_DEEPEST = 4
"""How often a file that was read may lead to further ones (`include` of an `include`)."""

MAX_REPOSITORIES = 500
"""Of one directory."""

Read: TypeAlias = Callable[[Collection[str]], Awaitable[Contents]]


async def analyse(root: Path, *, cache: Cache | None = None) -> Analysis:
    """What is known of the files under `root`, a git repository or a plain directory.

    The same tree gives an equal analysis. Raises `NotFound` where `root` is not a directory.
    """
    tally: Tally | None = None

    async def weigh() -> None:
        nonlocal tally
        tally = await _tally_of_files(listing_root)

    listing_root = Path(os.path.realpath(root))
    if not listing_root.is_dir():
        raise NotFound(f"{root} is not a directory")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(weigh)
        listing = await list_tree(listing_root)
    paths, needed = sifted(listing.paths)

    async def read(asked: Collection[str]) -> Contents:
        return await read_files(listing.root, asked)

    first = await read(needed)
    key = key_of("files", listing.root.name, first.digest)
    held = await trio.to_thread.run_sync(cache.get, key) if cache is not None else None
    if held is None or not held.holds_for(paths) or (await read(held.further)).digest != held.digest:
        held = await _understood(listing.root.name, paths, first, read)
        if cache is not None:
            await trio.to_thread.run_sync(cache.put, key, held)
    return replace(held.analysis, languages=settled(tally or Tally({})))


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


async def _understood(name: str, paths: Sequence[str], first: Contents, read: Read) -> Known:
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
    analysis = await trio.to_thread.run_sync(understood, name, reader, skipped)
    seen = {*reader.texts, *(each.file for each in skipped)}
    digest = (await read(sorted(led_to))).digest
    return known(analysis, reader, read=seen, further=led_to, digest=digest)


async def _first_of(tree: CommitTree, name: str) -> Known:
    """The analysis of a commit, found from nothing."""
    paths, needed = sifted(tuple(tree.files))
    first = await tree.read(needed)
    held = await _understood(name, paths, first, tree.read)
    named = [path for path in tree.files if path.rpartition("/")[2] == attributes.NAME]
    texts = await _attributes(named, tree.read)
    behind = await tree.behind(held.read)
    return replace(held, tally=_tally_of(tree, texts), attributes=texts, read=held.read.union(behind))


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


async def _tally_of_files(root: Path) -> Tally:
    """As the last commit has it, or, before the first, as the files that are to be in it are."""
    files: Iterable[tuple[str, str]] | None = await head_sizes(root)
    if isinstance(files, HeadSizes):
        named = files.named(attributes.NAME)
    else:
        sizes = await file_sizes(root, await list_tracked(root))
        files = [(str(size), path) for path, size in sizes.items()]
        named = [path for path in sizes if path.rpartition("/")[2] == attributes.NAME]
    texts = await _attributes(named, lambda paths: read_files(root, paths))
    return await trio.to_thread.run_sync(tallied, files, attributes.rules_of(texts))


def _tally_of(tree: CommitTree, texts: Mapping[str, str]) -> Tally:
    files = ((size, path) for path, (mode, _, size) in tree.files.items() if size.isdigit() and mode != LINK)
    return tallied(files, attributes.rules_of(texts))


async def _attributes(named: Sequence[str], read: Read) -> dict[str, str]:
    """The texts of `.gitattributes` that speak of languages."""
    texts = (await read(safe_ones("\0".join(named).encode()))).texts if named else {}
    return {path: text for path, text in texts.items() if "linguist-" in text}
