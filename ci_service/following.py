"""Follow the rollouts of published builds until each has an outcome; it starts and changes no rollout."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import trio

from ci_service import pipeline
from ci_service.publishing import OpenMaster
from ci_service.store import BuildStore
from ci_service.updates import Updates
from schema.builds import Build, BuildState
from schema.errors import ProcuratorError
from schema.status import ClusterStatus, GenerationStatus, RolloutState

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
AWAY_SECONDS = 2.0


def generation_of(build: Build, status: ClusterStatus) -> GenerationStatus | None:
    """What the control plane says of a build's generation; one too old to be listed has been superseded."""
    for generation in status.generations:
        if generation.number == build.generation:
            return generation
    newest = status.newest
    if newest is None or build.generation is None or newest.number < build.generation:
        return None
    return newest.model_copy(
        update={"state": RolloutState.SUPERSEDED, "reason": f"generation {newest.number} took its place"}
    )


@dataclass(slots=True)
class Follower:
    """Looks at the cluster while there is a build whose rollout is not over; `wake` it when one was published."""

    store: BuildStore
    updates: Updates
    open_master: OpenMaster
    now_ms: Callable[[], int]
    wake: trio.Event

    def nudge(self) -> None:
        """There may be something new to look at."""
        self.wake.set()

    async def run(self) -> None:
        """Follow for ever; a control plane that is away is waited for."""
        while True:
            self.wake = trio.Event()
            if not await self.store.in_state(BuildState.PUBLISHED):
                await self.wake.wait()
                continue
            try:
                await self._follow_all()
            except ProcuratorError as error:
                log.info("cannot follow rollouts now: %s", error.message)
                await trio.sleep(AWAY_SECONDS)

    async def _follow_all(self) -> None:
        async with self.open_master() as master:
            while builds := await self.store.in_state(BuildState.PUBLISHED):
                status = await master.get_cluster_status()
                for build in builds:
                    await self._look(build, status)
                await trio.sleep(LOOK_SECONDS)

    async def _look(self, build: Build, status: ClusterStatus) -> None:
        generation = generation_of(build, status)
        if generation is None:
            return
        after = pipeline.followed(build, generation, now_ms=self.now_ms())
        if after != build:
            await self.store.save(after)
            self.updates.publish(after)
