"""A directory or a commit in, its analysis out: the shell that reads the tree and hands it to the pure rules.

With a cache, what was found before is taken from there as long as it rests on the same; the analysis is equal either
way. Nothing in the tree is run, and nothing of it is written.
"""

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import trio

from autonix.cache import Cache, key_of
from autonix.commits import (
    LINK,
    Change,
    Commit,
    CommitTree,
    changes_between,
    find_commit,
    head_sizes,
    sizes_of,
    tree_of,
)
from autonix.contents import Contents
from autonix.findings import Analysis
from autonix.languages import attributes
from autonix.languages.shares import Tally, counted_as, settled, tallied
from autonix.memory import Known, known
from autonix.reader import Reader
from autonix.tree import Listing, file_sizes, list_tracked, list_tree, read_files, safe_ones
from autonix.understand import all_wanted, counted, further, understood, wanted
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
    committed: list[tuple[str, str]] | None = None

    async def weigh() -> None:
        nonlocal committed
        committed = await head_sizes(listing_root)

    listing_root = Path(os.path.realpath(root))
    if not listing_root.is_dir():
        raise NotFound(f"{root} is not a directory")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(weigh)
        listing = await list_tree(listing_root)
    paths = counted(listing.paths)

    async def read(asked: Collection[str]) -> Contents:
        return await read_files(listing, asked)

    first = await read(all_wanted(paths))
    key = key_of("files", listing.root.name, first.digest)
    held = await trio.to_thread.run_sync(cache.get, key) if cache is not None else None
    if held is None or not held.holds_for(paths) or (await read(held.further)).digest != held.digest:
        held = await _understood(listing.root.name, paths, first, read)
        if cache is not None:
            await trio.to_thread.run_sync(cache.put, key, held)
    return replace(held.analysis, languages=settled(await _tally_of_files(listing, committed)))


async def analyse_commit(repository: Path, revision: str, *, cache: Cache | None = None) -> Analysis:
    """What is known of a commit, also in a bare repository; equal to `analyse` of a checkout of it.

    With a cache, a commit whose difference to an ancestor touches nothing that was read costs that difference alone.
    Raises `NotFound` where there is no such commit, `InvalidInput` for what is no revision.
    """
    repository = Path(os.path.realpath(repository))
    if not repository.is_dir():
        raise NotFound(f"{repository} is not a directory")
    commit = await find_commit(repository, revision)
    name = repository.parent.name if repository.name == ".git" else repository.name.removesuffix(".git")
    held = await _known_of(commit, name, cache) if cache is not None else None
    if held is None:
        tree = await tree_of(commit)
        paths = counted(tuple(tree.files))
        first = await tree.read(all_wanted(paths))
        held = await _understood(name, paths, first, tree.read)
        texts = await _attributes(tree.files, tree.read)
        behind = await tree.behind(held.read)
        held = replace(held, tally=_tally_of(tree, texts), attributes=texts, read=held.read.union(behind))
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


async def _known_of(commit: Commit, name: str, cache: Cache) -> Known | None:
    """The analysis of this tree, or that of an ancestor's where the difference changes nothing in it."""
    keys = [key_of("commit", name, tree) for tree in commit.earlier]
    index, held = await trio.to_thread.run_sync(cache.first, keys)
    if held is None or index == 0:
        return held
    changes = await changes_between(commit.repository, commit.earlier[index], commit.tree)
    if changes is None or held.tally is None or not _unmoved(held, changes):
        return None
    held = replace(held, tally=await _tally_after(held, changes, commit.repository))
    if index >= _KEPT_EVERY:
        await trio.to_thread.run_sync(cache.put, keys[0], held)
    return held


def _unmoved(held: Known, changes: Iterable[Change]) -> bool:
    """Whether the differences leave an analysis as it is."""
    changed = [change.path for change in changes]
    moved = [change.path for change in changes if change.old is None or change.new is None]
    plain = all(each is None or each.is_file for change in changes for each in (change.old, change.new))
    named = any(wanted(path) or path.rpartition("/")[2] == attributes.NAME for path in changed)
    return plain and not named and held.holds_without(changed, moved)


async def _tally_after(held: Known, changes: Sequence[Change], repository: Path) -> Tally:
    rules = attributes.rules_of(held.attributes)
    languages = dict(counted_as([change.path for change in changes], rules))
    touched = [change for change in changes if change.path in languages]
    ids = {each.id for change in touched for each in (change.old, change.new) if each is not None}
    sizes = await sizes_of(repository, ids)

    def of(side: Callable[[Change], object]) -> list[tuple[str, int]]:
        return [(languages[change.path], sizes.get(getattr(side(change), "id", ""), 0)) for change in touched]

    return (held.tally or Tally({})).changed(gone=of(lambda change: change.old), new=of(lambda change: change.new))


async def _tally_of_files(listing: Listing, committed: Sequence[tuple[str, str]] | None) -> Tally:
    """As the last commit has it, or, before the first, as the files that are to be in it are."""
    files = committed
    if files is None:
        sizes = await file_sizes(listing, await list_tracked(listing.root))
        files = [(str(size), path) for path, size in sizes.items()]
    texts = await _attributes([path for _, path in files], lambda paths: read_files(listing, paths))
    return tallied(files, attributes.rules_of(texts))


def _tally_of(tree: CommitTree, texts: Mapping[str, str]) -> Tally:
    files = ((size, path) for path, (mode, _, size) in tree.files.items() if size.isdigit() and mode != LINK)
    return tallied(files, attributes.rules_of(texts))


async def _attributes(paths: Iterable[str], read: Read) -> dict[str, str]:
    """The texts of `.gitattributes` that speak of languages."""
    named = [path for path in paths if path.endswith(attributes.NAME) and path.rpartition("/")[2] == attributes.NAME]
    texts = (await read(safe_ones("\0".join(named).encode()))).texts if named else {}
    return {path: text for path, text in texts.items() if "linguist-" in text}
