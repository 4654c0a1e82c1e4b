"""What one run of the control plane remembers of workers' lives from look to look, and answers to their reports.

It holds no state that a restart would miss: what must outlive us is in the snapshot, and after a start, or a time in
which we were suspended ourselves, every worker is heard out first.
"""

from collections.abc import Sequence

from control_plane.events import StateEvent
from control_plane.liveness.beats import next_beat_ms
from control_plane.liveness.changes import WorkerGivenUp
from control_plane.liveness.leases import lease_for
from control_plane.liveness.losses import MassLoss, lost_workers, mass_loss, returned
from control_plane.liveness.timing import Timing
from control_plane.narrate import liveness_events, mass_events
from control_plane.observations import Observations
from control_plane.state import Snapshot
from schema.status import Directive, Event, PushReply, WorkerReport


class LivenessWatch:
    """`now_ms` is when it begins, on the clock of the observations."""

    def __init__(self, *, timing: Timing, now_ms: int) -> None:
        self._timing = timing
        self._looked_ms = now_ms
        self._lost: frozenset[str] = frozenset()
        self._mass: MassLoss | None = None
        self._giving_up: frozenset[str] = frozenset()
        self._to_collect: set[str] = set()

    def after_pause(self, observations: Observations, *, now_ms: int) -> Observations:
        """`observations`, with patience for everyone where we could not listen ourselves for long."""
        paused_ms, self._looked_ms = now_ms - self._looked_ms, now_ms
        if paused_ms <= self._timing.suspended_after_ms:
            return observations
        return observations.after_suspension(now_ms=now_ms)

    def back(self, observations: Observations, worker_id: str, *, now_ms: int) -> Observations:
        """`observations` with a lost worker that is heard of again."""
        known = observations.returns.get(worker_id)
        return observations.with_return(worker_id, returned(known, now_ms=now_ms, timing=self._timing))

    def news(self, snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int) -> tuple[Event, ...]:
        """Who was lost or came back since the last time, and whether that stops eviction."""
        lost = lost_workers(snapshot, observations, now_ms=now_ms, lost_after_ms=self._timing.lost_after_ms)
        mass = mass_loss(snapshot, observations, now_ms=now_ms, timing=self._timing)
        told = (
            *liveness_events(self._lost, frozenset(lost), wall_ms=wall_ms),
            *mass_events(self._mass, mass, wall_ms=wall_ms),
        )
        self._lost, self._mass = frozenset(lost), mass
        return told

    def gives_up(self, events: Sequence[StateEvent]) -> bool:
        """Whether `events` take something from a worker without its word."""
        return any(isinstance(event, WorkerGivenUp) for event in events)

    def giving_up(self, events: Sequence[StateEvent]) -> tuple[StateEvent, ...]:
        """`events`, which are written from now on: who loses a fenced singleton by them gets no lease meanwhile."""
        self._giving_up = frozenset(
            event.worker_id for event in events if isinstance(event, WorkerGivenUp) and event.fenced
        )
        return tuple(events)

    def gave_up(self) -> None:
        """They are in the snapshot now, or nothing came of them."""
        self._giving_up = frozenset()

    def forgotten(self, before: Snapshot, after: Snapshot) -> None:
        """Where generations went, workers have something to collect."""
        if before.generations is not after.generations and set(before.generations) - set(after.generations):
            self._to_collect |= set(after.workers)

    def answer(self, snapshot: Snapshot, report: WorkerReport, *, wall_ms: int) -> PushReply:
        """What a report is answered with."""
        worker_id = report.worker_id
        cordon = snapshot.liveness.cordons.get(worker_id)
        directives = [Directive.DRAIN] if cordon and cordon.draining else []
        if worker_id in self._to_collect:
            self._to_collect.discard(worker_id)
            directives.append(Directive.COLLECT)
        refused = worker_id in self._giving_up
        return PushReply(
            server_time_ms=wall_ms,
            interval_ms=next_beat_ms(worker_id, now_ms=wall_ms, interval_ms=self._timing.interval_ms),
            directives=tuple(directives),
            lease_ms=0 if refused else lease_for(snapshot, report, timing=self._timing),
        )
