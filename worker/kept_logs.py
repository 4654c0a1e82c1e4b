"""The logs of VMs that have left: taken from their runtime directories, and kept for a bounded number and time."""

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from worker.vmm.runtime_dir import RuntimeDir

MOST_KEPT = 100
KEPT_SECONDS = 7 * 24 * 3600.0
_PARTS = ("serial.log", "serial.log.1", "hypervisor.log", "hypervisor.log.1")


class KeptLogs:
    """`<directory>/<instance>/`, one set an instance: the newest. `now` reads seconds since 1970, as files do."""

    def __init__(self, directory: Path, *, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now

    def of(self, instance: str) -> RuntimeDir | None:
        """Where the logs of an instance that left lie, by the names that they have in a runtime directory."""
        kept = self._directory / instance
        return RuntimeDir(kept) if kept.is_dir() else None

    def take(self, instance: str, directory: RuntimeDir) -> None:
        """Take the logs out of a runtime directory that nothing runs in, and remove that. Raises OSError."""
        kept = self._directory / instance
        if any((directory.path / part).exists() for part in _PARTS):
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(mode=0o700, parents=True)
            for part in _PARTS:
                if (directory.path / part).is_file():
                    (directory.path / part).replace(kept / part)
        shutil.rmtree(directory.path, ignore_errors=True)
        self.prune()

    def prune(self) -> None:
        """Remove what is too old or too much."""
        if not self._directory.is_dir():
            return
        newest = sorted(self._directory.iterdir(), key=lambda kept: kept.stat().st_mtime, reverse=True)
        for at, kept in enumerate(newest):
            if at >= MOST_KEPT or self._now() - kept.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(kept, ignore_errors=True)


def stray_directories(below: Path, known: Collection[str]) -> tuple[str, ...]:
    """The names below the runtime directories that belong to none of `known`, which are names of directories."""
    if not below.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in below.iterdir() if entry.is_dir() and entry.name not in known))
