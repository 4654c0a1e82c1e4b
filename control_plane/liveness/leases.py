"""What a report is answered with: for how long the worker may run its fenced singletons, if at all; it keeps no time.

The worker counts from when it sent the report, which is never after we received it: what we hold against it (the
silence since then, plus a margin) is always longer than what it has.
"""

from control_plane.liveness.changes import LeaseChanged
from control_plane.liveness.records import Eviction
from control_plane.liveness.timing import Timing
from control_plane.observations import Observations, Observed
from control_plane.state import Snapshot
from schema.status import VmPhase, WorkerReport


def lease_for(snapshot: Snapshot, report: WorkerReport, *, timing: Timing) -> int:
    """The lease in the answer to `report`, in milliseconds; 0: none, and what the worker has ends.

    Never longer than what is on disk: whoever starts after us must know for how long to be patient.
    """
    eviction = snapshot.liveness.evictions.get(report.worker_id)
    if eviction and eviction.fenced and not has_let_go(snapshot, eviction, Observed.of(report, received_ms=0)):
        return 0
    return min(timing.lease_ms, snapshot.liveness.lease_ms)


def has_let_go(snapshot: Snapshot, eviction: Eviction, observed: Observed) -> bool:
    """Whether a worker that was given up shows that it knows what it lost, and runs none of it.

    An assignment of that revision names none of them, and the worker obeys no older one afterwards: what a report says
    of them stays true.
    """
    if not observed.obeys(snapshot, eviction.revision):
        return False
    still = (observed.vms.get(instance) for instance in eviction.instances)
    return all(vm is None or vm.phase is VmPhase.GONE for vm in still)


def lease_change(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, timing: Timing
) -> tuple[LeaseChanged, ...]:
    """A longer lease is on disk before it is given; a shorter one only when no earlier one can still be in force."""
    kept = snapshot.liveness.lease_ms
    is_over = now_ms - observations.started_ms > kept + timing.margin_ms
    if timing.lease_ms > kept or (timing.lease_ms < kept and is_over):
        return (LeaseChanged(timing.lease_ms),)
    return ()
