"""The one place where the snapshot changes: a single writer task that stores each change before it counts.

It decides nothing: `change` takes a function from the current snapshot to events. The snapshot that others see is only
replaced after the commit has returned, so nobody acts on what a crash could take back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from control_plane.events import StateEvent, apply
from control_plane.state import Snapshot
from control_plane.store.database import Database
from schema.errors import ProcuratorError

Decide = Callable[[Snapshot], Sequence[StateEvent]]
OnChange = Callable[[Snapshot, Snapshot], None]


class Bell:
    """Wakes everyone who waits. Take `next` before looking at the state, then wait on it: no change is missed."""

    def __init__(self) -> None:
        self.next = trio.Event()

    def ring(self) -> None:
        """Something has changed."""
        rung, self.next = self.next, trio.Event()
        rung.set()


@dataclass(slots=True)
class _Request:
    decide: Decide
    done: trio.Event = field(default_factory=trio.Event)
    error: ProcuratorError | None = None


class Authority:
    """Holds the snapshot and writes its changes, one after the other."""

    def __init__(self, database: Database, *, realm: str, on_change: OnChange) -> None:
        self._database = database
        self._on_change = on_change
        self._limiter = trio.CapacityLimiter(1)
        self._send, self._receive = trio.open_memory_channel[_Request](64)
        self.snapshot = database.load(realm)

    async def change(self, decide: Decide) -> Snapshot:
        """Apply and store what `decide` says of the then current snapshot; returns when it is on disk.

        No events: nothing is written. Raises what `decide` raises, and Unavailable when nothing could be written. A
        caller that is cancelled may find its change made.
        """
        request = _Request(decide)
        await self._send.send(request)
        await request.done.wait()
        if request.error is not None:
            raise request.error
        return self.snapshot

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The writer task. An error of the disk other than being full ends it, and with it the process."""
        task_status.started()
        async for request in self._receive:
            try:
                await self._carry_out(request.decide)
            except ProcuratorError as error:
                request.error = error
            request.done.set()

    async def _carry_out(self, decide: Decide) -> None:
        before = after = self.snapshot
        for event in decide(before):
            after = apply(after, event)
        if after is before:
            return
        # Shielded: between the commit and the new snapshot there is no point at which a cancellation could enter.
        with trio.CancelScope(shield=True):
            write = partial(self._database.write, before, after)
            await trio.to_thread.run_sync(write, limiter=self._limiter, abandon_on_cancel=False)
            self.snapshot = after
        self._on_change(before, after)
