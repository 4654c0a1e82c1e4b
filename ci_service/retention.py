"""Let go of what old runs keep: their commit's ref and the links that hold their results in the store.

It collects nothing itself: git and nix do, and what a worker or the cache needs is kept by them.
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import trio

from ci_service.git import GitFetcher
from ci_service.store import BuildStore
from schema.errors import NotFound, ProcuratorError

log = logging.getLogger(__name__)

KEEP_RUNS = 50
"""How many of the newest runs keep their commits and results, so that a repeated build is a cheap one."""
SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Looks at `roots`, one directory a run, each time anew: a sweep that was cut short is finished by the next."""

    store: BuildStore
    fetcher: GitFetcher
    roots: Path

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except ProcuratorError as error:
                log.warning("old runs are kept for now: %s", error.message)
            await trio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> tuple[int, ...]:
        """Let go of every run but the newest KEEP_RUNS; the runs that were let go of."""
        newest = await self.store.page(repository=None, commit=None, before=None, limit=1)
        last = newest.builds[0].id - KEEP_RUNS if newest.builds else 0
        runs = sorted(int(entry.name) for entry in self.roots.glob("[0-9]*")) if self.roots.is_dir() else []
        old = tuple(run_id for run_id in runs if run_id <= last)
        for run_id in old:
            await self._let_go(run_id)
        return old

    async def _let_go(self, run_id: int) -> None:
        try:
            build = await self.store.build(run_id)
        except NotFound:
            pass  # of a database that was made anew
        else:
            await self.fetcher.forget(repository=build.repository, run_id=run_id)
        shutil.rmtree(self.roots / str(run_id))
