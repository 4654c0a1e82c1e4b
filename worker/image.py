"""The read-only disk of a closure: an erofs image, made once for each; it pulls nothing and chooses none to delete."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import trio

from nix.result import PathInfo
from nix.run import run
from worker.records import write_durably

BUILD_SECONDS = 600.0
_SUFFIX = ".erofs"
_MADE_OF = ".json"
FIXED_UUID = "00000000-0000-0000-0000-000000000001"
"""With fixed times and owners it makes the image a function of the closure."""


def closure_hash(closure: Mapping[str, PathInfo]) -> str:
    """SHA-256 over every path with its content's hash, in the order of the paths (64 hexadecimal characters)."""
    lines = "".join(f"{path} {closure[path].nar_hash}\n" for path in sorted(closure))
    return hashlib.sha256(lines.encode()).hexdigest()


class Images:
    """Images in `directory`, named by closure hash; `physical` says where a store path is on this machine.

    `directory` is on the store's filesystem: the tree that the image is made of consists of hard links.
    """

    def __init__(self, directory: Path, *, physical: Callable[[str], Path]) -> None:
        self._directory = directory
        self._physical = physical
        self._turns: dict[str, trio.Lock] = {}

    async def image_of(self, closure: Mapping[str, PathInfo], *, of: Iterable[str]) -> Path:
        """The image whose top holds the store paths of `closure`; several callers at once cost one build.

        `of` are the paths that `closure` is the closure of: kept beside the image, they say what it is good for.
        """
        name = closure_hash(closure)
        image = self._directory / f"{name}{_SUFFIX}"
        async with self._turns.setdefault(name, trio.Lock()):
            if not image.exists():
                await self._build(image, [self._physical(path) for path in sorted(closure)], of=sorted(of))
        return image

    def made_of(self) -> dict[str, tuple[str, ...]]:
        """Every image's file name with the paths that it was asked for by; none where that is not known."""
        return {image.name: self._made_of(image) for image in sorted(self._directory.glob(f"[!.]*{_SUFFIX}"))}

    @staticmethod
    def _made_of(image: Path) -> tuple[str, ...]:
        try:
            known = json.loads(image.with_suffix(_MADE_OF).read_bytes())
        except (OSError, ValueError):
            return ()
        return tuple(map(str, known)) if isinstance(known, list) else ()

    def remove(self, name: str) -> int:
        """Delete an image that nothing uses; its size in bytes. A process that has it open keeps what it has."""
        image = self._directory / name
        try:
            size = image.stat().st_size
        except FileNotFoundError:
            return 0
        image.unlink()
        image.with_suffix(_MADE_OF).unlink(missing_ok=True)
        return size

    def clear_unfinished(self) -> None:
        """Remove what a build that was cut short left; to be called before any build."""
        if self._directory.is_dir():
            for remains in self._directory.glob(".*.building"):
                _remove(remains)

    async def _build(self, image: Path, paths: list[Path], *, of: list[str]) -> None:
        workshop = image.with_name(f".{image.name}.building")
        tree, unfinished = workshop / "tree", workshop / "image"
        await trio.to_thread.run_sync(_remove, workshop)
        tree.mkdir(mode=0o700, parents=True)
        try:
            # Links, not copies: the image is read from the store's own files.
            await run(("cp", "-al", "-t", str(tree), "--", *map(str, paths)), deadline=BUILD_SECONDS, env={})
            await run(mkfs_argv(unfinished, tree), deadline=BUILD_SECONDS, env={})
            await trio.to_thread.run_sync(_to_disk, unfinished)
            write_durably(image.with_suffix(_MADE_OF), json.dumps(of).encode())
            unfinished.replace(image)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove, workshop)


def _remove(tree: Path) -> None:
    """Remove a tree of links into a store, none is fine: only root empties directories that it may not write."""
    for directory, _, _ in os.walk(tree):
        Path(directory).chmod(0o700)  # they are ours: directories are not linked
    shutil.rmtree(tree, ignore_errors=not tree.exists())


def mkfs_argv(image: Path, tree: Path) -> tuple[str, ...]:
    """The command that makes `image` of `tree`: no times, owners or ids of this machine go into it."""
    return ("mkfs.erofs", "--quiet", "-T1", f"-U{FIXED_UUID}", "--all-root", "-x-1", "--", str(image), str(tree))


def _to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
