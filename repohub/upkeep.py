"""Packs repositories that were pushed to, one at a time and not at once; it decides nothing that git does not."""

import logging
from dataclasses import dataclass, field

import trio

from repohub.store import RepositoryStore
from schema.errors import ProcuratorError

log = logging.getLogger(__name__)

QUIET_SECONDS = 10.0
"""After a push, the pipeline goes first."""


@dataclass(slots=True)
class Upkeep:
    """The task; `wake` names a repository that has been pushed to."""

    store: RepositoryStore
    _due: set[str] = field(default_factory=set)
    _woken: trio.Event = field(default_factory=trio.Event)

    def wake(self, repository: str) -> None:
        """A push to it is over."""
        self._due.add(repository)
        self._woken.set()

    async def run(self) -> None:
        """Pack until cancelled."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            await trio.sleep(QUIET_SECONDS)
            while self._due:
                name = self._due.pop()
                try:
                    await self.store.collect(name)
                except ProcuratorError as error:
                    log.warning("packing %s: %s", name, error.message)
