"""Watch one pushed commit until its VMs are healthy or will not be, saying each step as it ends; it decides nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from cli.demo.progress import Done, Failure, Step, done_steps, failure, is_converged
from schema.builds import Build
from schema.builds_client import BuildsClient
from schema.errors import DeadlineExceeded, ProcuratorError
from schema.status import ClusterStatus

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 900.0

ReadStatus = Callable[[], Awaitable[ClusterStatus]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: with the last status, and the failure if there is one."""

    status: ClusterStatus | None
    failed: Failure | None = None


@dataclass(slots=True)
class Watch:
    """Asks CI for the commit's build, and the control plane once there is a generation."""

    builds: BuildsClient
    read_status: ReadStatus
    commit: str
    on_done: Callable[[Done], None]
    _build: Build | None = None
    _status: ClusterStatus | None = None

    async def until_over(self) -> Outcome:
        """Wait until the commit runs healthily or has failed. Raises DeadlineExceeded after a quarter of an hour."""
        told = 0
        with trio.move_on_after(_PATIENCE_SECONDS):
            while True:
                await self._look()
                done = done_steps(self._build, self._status)
                for step in done[told:]:
                    self.on_done(step)
                told = len(done)
                failed = failure(self._build, self._status)
                if failed is not None or is_converged(self._build, self._status):
                    return Outcome(self._status, failed)
                await trio.sleep(_POLL_SECONDS)
        waiting = list(Step)[told : told + 1]
        raise DeadlineExceeded(f"still waiting for {waiting or 'the rollout'} after {_PATIENCE_SECONDS:.0f} s")

    async def _look(self) -> None:
        try:
            if self._build is None or not self._build.state.is_over:
                page = await self.builds.recent(commit=self.commit, limit=1)
                self._build = page.builds[0] if page.builds else None
            if self._build is not None and self._build.generation is not None:
                self._status = await self.read_status()
        except ProcuratorError as error:
            if not error.transient:
                raise  # a service that is being started again answers in a moment
