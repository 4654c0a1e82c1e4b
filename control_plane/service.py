"""The control plane at work: the core, the store, the observations and the connections as one; it knows no sessions.

It wires and waits; what shall happen is decided in `plan.py`, `publish.py` and below. `backend.py` hands it to callers.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import trio

from control_plane.assignment_text import assignment_text
from control_plane.authority import Authority, Bell
from control_plane.behind import caught_up, knows_more
from control_plane.closures import live_closures
from control_plane.connections import Connections, ForwardedVm, ForwardedWorker
from control_plane.convergence import Moment, cluster_status
from control_plane.deltas import difference
from control_plane.events import StateEvent
from control_plane.explaining import explanation
from control_plane.identity.gate import Gate, GateRules
from control_plane.joining import log_in
from control_plane.liveness.beats import next_beat_ms
from control_plane.liveness.leases import lease_change
from control_plane.liveness.watch import LivenessWatch
from control_plane.naming import unknown_instance, unknown_worker
from control_plane.narrate import connection_event, report_events, state_events
from control_plane.observations import Observations
from control_plane.operations import Operations
from control_plane.plan import Limits, Plan, plan
from control_plane.polls import Polls, Wake
from control_plane.publish import accept, check_publish, publish_audit, receipt
from control_plane.rollout.clocks import take_report, tick
from control_plane.state import Snapshot
from control_plane.steering import Steering
from control_plane.store.database import Database
from control_plane.telling import Telling
from control_plane.watch import EventStream
from schema.assignment import Seen, SignedAssignment, sign_assignment
from schema.errors import NotFound, ProcuratorError, Unavailable
from schema.generation import Publish, PublishReceipt
from schema.interfaces import LONG_POLL_SECONDS, Identity, Vm, Worker, WorkerHello
from schema.operations import Explanation
from schema.rpc.transport.loop import AnswersFirst
from schema.signing import PublicKey, SecretKey
from schema.status import ClusterStatus, Event, LiveClosures, PushReply, WorkerReport

log = logging.getLogger(__name__)

LONGEST_PAUSE_MS = 5_000
"""How long the reconciler sleeps at most when nothing wakes it."""
MOST_LOGGED = 50
"""Lines that one change writes to the log at most; watchers get all."""
REST_FACTOR = 3
"""How much longer than a look at everything the reconciler then rests."""
POLLS_SECONDS = 0.25
"""How late a poll ends at most."""
POLLS_LATER_SECONDS = 5.0
"""How long a poll is held beyond its time, at most, while a whole fleet is about to be told; workers wait for ten."""
RETRY_SECONDS = 1.0
"""How long it waits when the database could not be written."""


class Clock(Protocol):
    """The two clocks of `app.py`."""

    def wall_ms(self) -> int:
        """Unix milliseconds."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never jump and count suspended time too (CLOCK_BOOTTIME)."""


class ControlPlane:
    """One realm's control plane. `run` must be running for anything but reading to work."""

    def __init__(
        self,
        database: Database,
        *,
        realm: str,
        key: SecretKey,
        publishers: Sequence[PublicKey],
        clock: Clock,
        limits: Limits,
        network: str,
        gate: GateRules,
    ) -> None:
        self._realm = realm
        self._key = key
        self._publishers = tuple(publishers)
        self._clock = clock
        self._limits = limits
        self._network = network
        self._bell = Bell()
        self._connections = Connections()
        self._observations = Observations(started_ms=clock.monotonic_ms())
        self._liveness = LivenessWatch(timing=limits, now_ms=clock.monotonic_ms())
        self._polls = Polls()
        self._telling = Telling(AnswersFirst)
        self.authority = Authority(database, realm=realm, on_change=self._changed, wall_ms=clock.wall_ms)
        self.gate = Gate(
            self.authority, realm=realm, rules=gate, clock=clock, starts=database.starts, forget=self._forget
        )
        steering = Steering(self.authority, seen=lambda: (self._observations, self._moment()))
        self.operations = Operations(
            self.authority, gate=self.gate, steering=steering, explain=self._explain, wall_ms=clock.wall_ms
        )
        self.events = EventStream(epoch=database.epoch, starts=database.starts, status=self.status)

    @property
    def snapshot(self) -> Snapshot:
        """The durable state, as it is on disk."""
        return self.authority.snapshot

    def status(self) -> ClusterStatus:
        """The whole cluster now."""
        return cluster_status(self.snapshot, self._observations, self._moment())

    def _explain(self, instance: str) -> Explanation:
        now_ms = self._clock.monotonic_ms()
        return explanation(self.snapshot, self._observations, instance, now_ms=now_ms, limits=self._limits)

    def _moment(self) -> Moment:
        return Moment(
            now_ms=self._clock.monotonic_ms(),
            wall_ms=self._clock.wall_ms(),
            timing=self._limits,
        )

    def _changed(self, before: Snapshot, after: Snapshot) -> None:
        self._tell(state_events(before, after, wall_ms=self._clock.wall_ms()))
        self._liveness.forgotten(before, after)
        self._telling.tell(self._polls.take(difference(before.workers, after.workers)))
        if after.is_other_fleet_than(before):
            self._bell.ring()

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events[:MOST_LOGGED]:
            log.info("%s %s: %s", event.kind.value, event.subject, event.message)
        if len(events) > MOST_LOGGED:
            log.info("and %d more of the same change", len(events) - MOST_LOGGED)
        if events:
            self.events.append(events)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write and reconcile until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.authority.run)
            nursery.start_soon(self.gate.run)
            nursery.start_soon(self._telling.run)
            nursery.start_soon(self._end_polls)
            # The length of leases is on disk before the first is given, so before anyone can report.
            await self.authority.change(self._lease_change)
            task_status.started()
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Level-triggered: whatever woke it, everything is looked at again."""
        while True:
            news, began = self._bell.next, trio.current_time()
            self._tick()
            found = self._plan(self.snapshot)
            looked_s = trio.current_time() - began
            if found.events:
                with self._telling.expected(found.workers):
                    await self._carry_out(found)
                await self._telling.calm()
                continue
            # In a large fleet a look takes its time: those who report or wait for an assignment have most of it.
            rested_s = trio.current_time() + looked_s * REST_FACTOR
            pauses_ms = [LONGEST_PAUSE_MS, self._limits.longest_pause_ms, found.recheck_ms or LONGEST_PAUSE_MS]
            with trio.move_on_after(min(pauses_ms) / 1000):
                await news.wait()
            await trio.sleep_until(rested_s)

    def _tick(self) -> None:
        moment = self._moment()
        self._observations = self._liveness.after_pause(self._observations, now_ms=moment.now_ms)
        self._observations = tick(
            self.snapshot, self._observations, now_ms=moment.now_ms, lost_after_ms=moment.lost_after_ms
        )
        news = self._liveness.news(self.snapshot, self._observations, now_ms=moment.now_ms, wall_ms=moment.wall_ms)
        self._tell(news)

    def _lease_change(self, snapshot: Snapshot) -> tuple[StateEvent, ...]:
        now_ms = self._clock.monotonic_ms()
        return lease_change(snapshot, self._observations, now_ms=now_ms, timing=self._limits)

    def _plan(self, snapshot: Snapshot) -> Plan:
        moment = self._moment()
        return plan(snapshot, self._observations, now_ms=moment.now_ms, wall_ms=moment.wall_ms, limits=self._limits)

    async def _carry_out(self, found: Plan) -> None:
        planned = self.snapshot

        def decide(snapshot: Snapshot) -> tuple[StateEvent, ...]:
            if snapshot is planned and not self._liveness.gives_up(found.events):
                return found.events
            # A report that came since the plan was made is heard, and one that comes from here on gets no lease.
            return self._liveness.giving_up(self._plan(snapshot).events)

        try:
            await self.authority.change(decide)
        except Unavailable as error:
            log.warning("a change waits: %s", error.message)
            await trio.sleep(RETRY_SECONDS)
        finally:
            self._liveness.gave_up()

    # What sessions call.

    async def publish(self, publish: Publish, *, by: Identity) -> PublishReceipt:
        """As Master.publish_state, on behalf of `by`."""
        check = partial(
            check_publish,
            publish,
            realm=self._realm,
            publishers=self._publishers,
            published_at_ms=self._clock.wall_ms(),
        )
        draft = partial(publish_audit, header=publish.header, identity=by)
        try:
            generation = await trio.to_thread.run_sync(check)
        except ProcuratorError as error:
            await self.authority.record(draft(self.snapshot, self.snapshot), refusal=error)
            raise
        created: list[StateEvent] = []

        def decide(snapshot: Snapshot) -> Sequence[StateEvent]:
            created.extend(accept(snapshot, generation))
            return created

        await self.authority.change(decide, audit=draft)
        return receipt(generation, created=bool(created))

    async def assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """As Master.get_assignment."""
        while last_seen and knows_more(self.snapshot, worker_id, last_seen):
            await self.authority.change(partial(caught_up, worker_id=worker_id, seen=last_seen))
            log.warning("%s has obeyed %s: the database is an older copy", worker_id, last_seen)
        woken = trio.Event()
        forget = self.wait_for_assignment(worker_id, last_seen, woken.set)
        if forget is not None:
            try:
                await woken.wait()
            finally:
                forget()
        return self.assignment_now(worker_id, last_seen)

    def wait_for_assignment(self, worker_id: str, last_seen: Seen | None, wake: Wake) -> Callable[[], None] | None:
        """Have `wake` called once there is an answer for a worker; returns what forgets it, None where there is one."""
        if self._has_news(worker_id, last_seen):
            return None
        # All polls begin together where a generation was told to all: they do not all end together.
        longest_ms = round(LONG_POLL_SECONDS * 1000)
        held_ms = next_beat_ms(worker_id, now_ms=self._clock.monotonic_ms(), interval_ms=longest_ms)
        return self._polls.wait(worker_id, wake, until_s=trio.current_time() + held_ms / 1000)

    def assignment_now(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """The worker's assignment if it is another than `last_seen`. Raises NotFound."""
        # Nothing is kept: the same is made and signed again sooner than thousands of them are worth their memory.
        if not self._has_news(worker_id, last_seen):
            return None
        return sign_assignment(*assignment_text(self.snapshot, worker_id), self._key)

    def _has_news(self, worker_id: str, last_seen: Seen | None) -> bool:
        worker = self.snapshot.workers.get(worker_id)
        if worker is None:
            raise NotFound(f"there is no worker {worker_id!r}")
        return last_seen != Seen(self.snapshot.epoch, worker.revision)

    async def _end_polls(self) -> None:
        """End those whose time is over; a little later while a fleet is about to be told.

        Whoever asked again then would be heard behind what everybody else says of the news.
        """
        while True:
            late_s = POLLS_LATER_SECONDS if self._telling.is_near else 0.0
            for wake in self._polls.take_overdue(trio.current_time() - late_s):
                wake()
            next_s = self._polls.next_end_s() + late_s - trio.current_time()
            await trio.sleep(min(max(next_s, 0.0), POLLS_SECONDS))

    def report(self, report: WorkerReport) -> PushReply:
        """As Master.push_data. A report that tells anything new wakes the reconciler at once."""
        if report.worker_id not in self.snapshot.workers:
            raise NotFound(f"there is no worker {report.worker_id!r}")
        moment = self._moment()
        before = self._observations.workers.get(report.worker_id)
        self._observations = self._liveness.after_pause(self._observations, now_ms=moment.now_ms)
        was_lost = self._observations.silent_ms(report.worker_id, now_ms=moment.now_ms) > moment.lost_after_ms
        if was_lost:
            self._observations = self._liveness.back(self._observations, report.worker_id, now_ms=moment.now_ms)
        self._observations = take_report(
            self.snapshot, self._observations, report, now_ms=moment.now_ms, lost_after_ms=moment.lost_after_ms
        )
        after = self._observations.workers[report.worker_id]
        self._tell(report_events(before, after, wall_ms=moment.wall_ms))
        if was_lost or after.tells_news(before):
            self._bell.ring()
        return self._liveness.answer(self.snapshot, report, wall_ms=moment.wall_ms)

    def closures(self) -> LiveClosures:
        """As Master.live_closures."""
        return live_closures(self.snapshot, self._observations)

    def worker(self, worker_id: str) -> Worker:
        """As Master.get_worker."""
        if worker_id not in self.snapshot.workers:
            raise unknown_worker(self.snapshot, worker_id)
        self._connections.current(worker_id)
        return ForwardedWorker(partial(self._connections.current, worker_id))

    def vm(self, vm_id: str) -> Vm:
        """As Master.get_vm."""
        self._worker_of(vm_id)
        return ForwardedVm(lambda: self._connections.current(self._worker_of(vm_id)), vm_id)

    def _worker_of(self, vm_id: str) -> str:
        placement = self.snapshot.placements.get(vm_id)
        if placement is None:
            raise unknown_instance(self.snapshot, vm_id)
        if not placement.worker_id:
            raise Unavailable(f"{vm_id} is not placed: {placement.reason}")
        return placement.worker_id

    # Connections of workers.

    async def attach(self, hello: WorkerHello, worker: Worker) -> None:
        """A worker has logged in. Raises InvalidInput (no DNS label) and Unauthenticated (not admitted any more)."""
        await self.authority.change(partial(log_in, hello=hello, network=self._network))
        self._connections.attach(hello.worker_id, worker)
        self._observations = self._observations.with_connection(hello.worker_id, connected=True)
        self._tell((connection_event(hello.worker_id, "connected", wall_ms=self._clock.wall_ms()),))
        self._bell.ring()

    def detach(self, worker_id: str, worker: Worker) -> None:
        """That connection has ended; its VMs stay where they are."""
        if self._connections.detach(worker_id, worker):
            self._observations = self._observations.with_connection(worker_id, connected=False)
            self._tell((connection_event(worker_id, "disconnected", wall_ms=self._clock.wall_ms()),))
            self._bell.ring()

    def _forget(self, worker_id: str) -> None:
        """A worker was retired: whatever connection it has is worth nothing, also if the id comes back."""
        with contextlib.suppress(Unavailable):
            self.detach(worker_id, self._connections.current(worker_id))

    def check_session(self, worker_id: str, worker: Worker) -> None:
        """Raises Unavailable for a session whose worker has connected anew."""
        if not self._connections.is_current(worker_id, worker):
            raise Unavailable(f"another session of worker {worker_id!r} has taken the place of this one")

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._clock.wall_ms()
