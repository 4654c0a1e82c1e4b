"""The worker's side of the control plane: log in, fetch assignments, push reports; again and again, for ever.

Whether the control plane is there or not, the VMs go on: this only tells the supervisor what is assigned.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import trio

from schema.assignment import Seen, SignedAssignment, open_assignment
from schema.errors import DeadlineExceeded, ProcuratorError, Unavailable
from schema.interfaces import LONG_POLL_SECONDS, WorkerSession
from schema.signing import PublicKey
from schema.status import Directive, LiveClosures, WorkerReport
from worker.backoff import jittered, pause_after
from worker.records import Records
from worker.supervise import Supervisor
from worker.vm_state import desired_of

LONGEST_PAUSE = 15.0
SHORTEST_PAUSE = 0.2
PUSH_SECONDS = 20.0
GATHER_SECONDS = 0.03
"""How long further changes are waited for before a report goes out: a start makes five of them in about that time, and
a report says all there is of every VM.
"""

Connect = Callable[[], AbstractAsyncContextManager[WorkerSession]]
"""Connects and logs in; raises ProcuratorError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pins:
    """Whose word is believed, from the configuration alone."""

    worker_id: str
    control_plane: tuple[PublicKey, ...]
    publishers: tuple[PublicKey, ...]


class Agent:
    """One worker's connection to its control plane. `draw` yields numbers in [0, 1) for jitter."""

    def __init__(
        self,
        *,
        pins: Pins,
        connect: Connect,
        supervisor: Supervisor,
        records: Records,
        report: Callable[[], WorkerReport],
        interval_ms: int,
        boottime_ns: Callable[[], int],
        draw: Callable[[], float],
        on_directives: Callable[[Sequence[Directive]], None] = lambda _directives: None,
    ) -> None:
        self._on_directives = on_directives
        self._session: WorkerSession | None = None
        self._pins = pins
        self._connect = connect
        self._supervisor = supervisor
        self._records = records
        self._report = report
        self.interval_ms = interval_ms
        self._boottime_ns = boottime_ns
        self._longest_pause = LONGEST_PAUSE
        self._draw = draw
        self.seen: Seen | None = None
        self.connected = False

    async def run(self) -> None:
        """Until cancelled: obey the assignment kept on disk, then stay connected as well as can be."""
        await self._obey_kept()
        failures = 0
        while True:
            lasted = trio.current_time()
            try:
                await self._stay_connected()
            except* (ProcuratorError, OSError) as group:
                log.info("no session: %s", _first(group))  # `identity.py` warns once of each reason
            self.connected, self._session = False, None
            failures = 0 if trio.current_time() - lasted > LONGEST_PAUSE else failures + 1
            pause = pause_after(max(failures - 1, 0), first=SHORTEST_PAUSE, longest=self._longest_pause)
            await trio.sleep(jittered(pause, draw=self._draw()))

    async def _stay_connected(self) -> None:
        async with self._connect() as session, trio.open_nursery() as nursery:
            self.connected, self._session = True, session
            log.info("logged in")
            nursery.start_soon(self._fetch, session)
            nursery.start_soon(self._push, session)

    async def live_closures(self) -> LiveClosures:
        """What must be kept, as the control plane says now. Raises Unavailable while there is no session."""
        if self._session is None:
            raise Unavailable("the control plane is away")
        with trio.move_on_after(PUSH_SECONDS):
            return await self._session.live_closures()
        raise DeadlineExceeded(f"no answer about what must be kept within {PUSH_SECONDS:g} s")

    async def _obey_kept(self) -> None:
        kept = self._records.kept_assignment()
        if kept is None:
            return
        try:
            await self._obey(kept, keep=False)
        except ProcuratorError as error:
            log.warning("the kept assignment is not obeyed: %s", error.message)

    async def _obey(self, signed: SignedAssignment, *, keep: bool) -> None:
        """Check, keep, then hand over. Raises BadSignature, InvalidInput or Stale, and then changes nothing."""
        assignment = open_assignment(
            signed,
            worker_id=self._pins.worker_id,
            last_seen=self.seen,
            control_plane_keys=self._pins.control_plane,
            publisher_keys=self._pins.publishers,
        )
        desired = desired_of(assignment)
        if keep:
            await trio.to_thread.run_sync(self._records.keep_assignment, signed)
        self.seen = Seen(assignment.epoch, assignment.revision)
        self._supervisor.assign(desired, assignment.peers)
        log.info("assignment %d: %d instances", assignment.revision, len(desired))

    async def _fetch(self, session: WorkerSession) -> None:
        refused = 0
        while True:
            signed = await _answered(session, self.seen)
            if signed is None:
                continue
            try:
                await self._obey(signed, keep=True)
                refused = 0
            except (ProcuratorError, OSError) as error:
                # It would be offered again at once: wait, and go on with what is obeyed already. One that cannot be
                # kept (the disk is full) is not obeyed; the session stays, without which nothing would be collected.
                told = error.message if isinstance(error, ProcuratorError) else str(error)
                log.warning("an assignment is refused: %s", told)
                await trio.sleep(pause_after(refused, longest=LONGEST_PAUSE))
                refused += 1

    async def _push(self, session: WorkerSession) -> None:
        """A report at once on any change, and else at the interval; each answer may renew the lease."""
        while True:
            news = self._supervisor.news()
            with trio.move_on_after(PUSH_SECONDS) as scope:
                sent_ns = self._boottime_ns()  # before the report is put together: what it says is true from here on
                reply = await session.push_data(self._report())
            if scope.cancelled_caught:
                raise DeadlineExceeded(f"no answer to a report within {PUSH_SECONDS:g} s")
            self._supervisor.renew(sent_ns=sent_ns, lease_ms=reply.lease_ms)
            # A control plane that comes back is patient for a few intervals: it has to hear of us in that time.
            self._longest_pause = min(LONGEST_PAUSE, max(reply.interval_ms / 1000, SHORTEST_PAUSE))
            self._on_directives(reply.directives)
            with trio.move_on_after(min(self.interval_ms, reply.interval_ms) / 1000):
                await news.wait()
            await trio.sleep(GATHER_SECONDS)


async def _answered(session: WorkerSession, seen: Seen | None) -> SignedAssignment | None:
    with trio.move_on_after(LONG_POLL_SECONDS + 10):
        return await session.get_assignment(seen)
    raise DeadlineExceeded("no answer to a long poll")


def _first(group: BaseExceptionGroup[Exception]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.message if isinstance(error, ProcuratorError) else str(error)
