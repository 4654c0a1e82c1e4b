"""Volumes: raw sparse files, formatted once when they are made, and grown; only `delete` deletes, for a person.

A file system that a guest has written to is never opened on the host: a grown disk is the guest's to make use of
(`resize2fs`, or NixOS' `autoResize`).
"""

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import trio

from nix.run import run
from schema.blueprint import Volume
from schema.errors import InvalidInput, NotFound

FORMAT_SECONDS = 120.0
MOST_NAME = 100
_SUFFIX = ".raw"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_MIB = 1024 * 1024


def volume_serial(name: str) -> str:
    """By which the guest finds the disk (`/sys/block/vd*/serial`): 20 bytes, all that virtio has room for."""
    return f"vol-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def is_label(text: str) -> bool:
    """Whether it can be an instance's or a volume's name, and so that of a file."""
    return len(text) < MOST_NAME and _LABEL.fullmatch(text) is not None


class Volumes:
    """Volumes under `directory`: `<instance>/<name>.raw`. Both names are DNS labels."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def ensure(self, instance: str, volumes: Mapping[str, Volume]) -> dict[str, Path]:
        """The file of each volume, made and formatted where it is not there yet.

        The content of one that is there is never touched, whatever its size: data outlives the wish for another.
        """
        files = {name: self._directory / instance / f"{name}{_SUFFIX}" for name in volumes}
        for name, file in files.items():
            if not file.exists():
                await self._make(file, size=volumes[name].size_mb * _MIB)
        return files

    def grow(self, instance: str, volumes: Mapping[str, Volume]) -> dict[str, int]:
        """Make each volume's disk as large as is wanted; the new sizes in MiB of those that were smaller.

        Only while no process has it. It is never made smaller: what would be cut off may be in use.
        """
        grown: dict[str, int] = {}
        for name, volume in volumes.items():
            file, size = self._directory / instance / f"{name}{_SUFFIX}", volume.size_mb * _MIB
            if file.stat().st_size < size:
                descriptor = os.open(file, os.O_RDWR)
                try:
                    os.truncate(descriptor, size)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                grown[name] = volume.size_mb
        return grown

    async def _make(self, file: Path, *, size: int) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.truncate(descriptor, size)
            await run(mkfs_argv(unfinished), deadline=FORMAT_SECONDS, env={})
            await trio.to_thread.run_sync(os.fsync, descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(file)

    def delete(self, instance: str, name: str) -> None:
        """Delete a volume for good, as somebody asked for by name. Raises NotFound, InvalidInput (no names)."""
        for label in (instance, name):
            if not is_label(label):
                raise InvalidInput(f"{label[:100]!r} is no name of an instance or a volume")
        home = self._directory / instance
        try:
            (home / f"{name}{_SUFFIX}").unlink()
        except FileNotFoundError:
            raise NotFound(f"there is no volume {instance}/{name} on this worker") from None
        with suppress(OSError):  # there are others
            home.rmdir()

    def on_disk(self) -> dict[str, tuple[str, ...]]:
        """The names of all volumes there are, by instance."""
        if not self._directory.is_dir():
            return {}
        found = {
            home.name: tuple(sorted(file.stem for file in home.glob(f"[!.]*{_SUFFIX}")))
            for home in sorted(self._directory.iterdir())
        }
        return {instance: names for instance, names in found.items() if names}


def mkfs_argv(file: Path) -> tuple[str, ...]:
    """The command that formats a new volume; reserved blocks would be lost to the guest's services."""
    return ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", "--", str(file))
