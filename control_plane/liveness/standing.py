"""What each worker is to the scheduler and to people, and why, from what is kept and what was observed of it."""

from control_plane.liveness.losses import held_back_ms
from control_plane.liveness.timing import Timing
from control_plane.observations import Observations
from control_plane.scheduler.availability import READY, UNHEARD, Availabilities, Availability, Standing
from control_plane.state import Snapshot


def standings(snapshot: Snapshot, observations: Observations, *, now_ms: int, timing: Timing) -> Availabilities:
    """The standing of every worker."""
    return {
        worker_id: standing_of(snapshot, observations, worker_id, now_ms=now_ms, timing=timing)
        for worker_id in snapshot.workers
    }


def standing_of(
    snapshot: Snapshot, observations: Observations, worker_id: str, *, now_ms: int, timing: Timing
) -> Availability:
    """Whether a worker takes anything new, and why not.

    Lost goes before all else; then what an operator said; then what it still has to show.
    """
    silent_ms = observations.silent_ms(worker_id, now_ms=now_ms)
    if silent_ms > timing.lost_after_ms:
        return Availability(Standing.LOST, f"not heard of for {silent_ms // 1000} s")
    cordon = snapshot.liveness.cordons.get(worker_id)
    if cordon is not None:
        return Availability(Standing.DRAINING if cordon.draining else Standing.CORDONED, cordon.reason)
    if worker_id not in observations.workers and worker_id not in observations.connected:
        return UNHEARD
    eviction = snapshot.liveness.evictions.get(worker_id)
    if eviction is not None:
        return Availability(Standing.CORDONED, "back, and has not let go of what was placed elsewhere yet")
    known = observations.returns.get(worker_id)
    wait_ms = held_back_ms(known, now_ms=now_ms, timing=timing)
    if known is not None and wait_ms:
        seconds = -(-wait_ms // 1000)
        return Availability(Standing.CORDONED, f"came back {known.count} times lately: nothing new for {seconds} s")
    return READY
