"""Keeps what live pages show: CI's builds as a pulse, the cluster as its newest status; it renders nothing.

Both go on when the other side is away: `problem` then says so in one sentence, and they come back by themselves.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import trio

from schema.builds_client import BuildsClient
from schema.errors import ProcuratorError, Unavailable, Unimplemented
from schema.interfaces import Master
from schema.status import ClusterStatus, Cursor, Event

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
LONGEST_PAUSE = 8.0
"""Seconds between two attempts to reach who is away: from RETRY_SECONDS, doubling."""
STATUS_SECONDS = 10.0
"""Deadline of one `getClusterStatus`."""
POLL_SECONDS = 5.0
"""The cluster is asked at least this often: uptimes and ages move without an event."""
CALM_SECONDS = 0.1
"""After an event, at least this long for those that come with it."""
EFFORT = 4.0
"""And this many times as long as the last answer took: a big cluster is not asked without end."""

Connect = Callable[[], AbstractAsyncContextManager[Master]]


@dataclass(slots=True)
class Pulse:
    """A count of changes that any number of tasks can wait for."""

    count: int = 0
    _next: trio.Event = field(default_factory=trio.Event)

    def beat(self) -> None:
        """Something changed."""
        self.count += 1
        self._next.set()
        self._next = trio.Event()

    async def after(self, count: int) -> None:
        """Return when there has been a change since the count was `count`."""
        while self.count == count:
            await self._next.wait()


@dataclass(slots=True)
class BuildsWatch:
    """Beats whenever a build changes."""

    client: BuildsClient
    pulse: Pulse

    async def run(self) -> None:
        """Follow CI's events until cancelled."""
        pause = RETRY_SECONDS
        while True:
            try:
                async with self.client.watching() as builds:
                    self.pulse.beat()
                    async for _ in builds:
                        pause = RETRY_SECONDS
                        self.pulse.beat()
            except* ProcuratorError as group:
                log.debug("CI's events: %s", _first(group))
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(slots=True)
class ClusterWatch:
    """The cluster as it was last seen; `problem` is empty while the control plane answers."""

    connect: Connect | None
    pulse: Pulse
    status: ClusterStatus | None = None
    problem: str = "the control plane has not answered yet"
    _changed: trio.Event = field(default_factory=trio.Event)

    async def run(self) -> None:
        """Follow the control plane until cancelled."""
        if self.connect is None:
            self._lost("no control plane is configured ([control_plane] socket or address)")
            return
        while True:
            try:
                async with self.connect() as master:
                    await self._follow(master)
            except* ProcuratorError as group:
                self._lost(f"the control plane is away: {_first(group)}")
            await trio.sleep(RETRY_SECONDS)

    async def event(self, event: Event, cursor: Cursor) -> None:
        """EventSink: something happened."""
        del event, cursor
        self._changed.set()

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        """EventSink: begin again from `snapshot`."""
        del cursor
        self._take(snapshot)

    async def _follow(self, master: Master) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, master)
            while True:
                self._changed = trio.Event()
                asked = trio.current_time()
                with trio.move_on_after(STATUS_SECONDS) as slow:
                    self._take(await master.get_cluster_status())
                if slow.cancelled_caught:
                    raise Unavailable(f"no status within {STATUS_SECONDS:g} s")
                calm = max(CALM_SECONDS, EFFORT * (trio.current_time() - asked))
                with trio.move_on_after(POLL_SECONDS):
                    await self._changed.wait()
                await trio.sleep(calm)

    async def _watch(self, master: Master) -> None:
        try:
            await master.watch(self, None)
        except Unimplemented:
            return  # an older control plane: it is polled
        raise Unavailable("its stream of events ended")

    def _take(self, status: ClusterStatus) -> None:
        self.status = status
        self.problem = ""
        self.pulse.beat()

    def _lost(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
            self.problem = problem
            self.pulse.beat()


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.message if isinstance(error, ProcuratorError) else str(error)
