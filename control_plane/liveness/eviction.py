"""What is taken from lost workers so that it can be placed elsewhere, and when one is taken back; it places nothing.

Ordinary instances go as soon as their worker is lost: one that only seems dead may run them for a while beside the new
ones. A fenced singleton goes when its worker's last lease and the margin are over, because by then its shim has ended
it. What keeps a volume stays where that is, unless an operator releases it.
"""

from collections.abc import Iterator

from control_plane.liveness.changes import LivenessEvent, WorkerGivenUp, WorkerTakenBack
from control_plane.liveness.leases import has_let_go, lease_change
from control_plane.liveness.losses import lost_workers, mass_loss
from control_plane.liveness.timing import Timing
from control_plane.observations import Observations
from control_plane.state import NOTHING, Placement, Snapshot
from schema.vmspec import VmSpec


def upkeep(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int, timing: Timing
) -> tuple[LivenessEvent, ...]:
    """What the workers' silences and reports change now. `wall_ms` is Unix milliseconds."""
    return (
        *lease_change(snapshot, observations, now_ms=now_ms, timing=timing),
        *_taken_back(snapshot, observations, now_ms=now_ms, timing=timing),
        *_given_up(snapshot, observations, now_ms=now_ms, wall_ms=wall_ms, timing=timing),
    )


def recheck_ms(snapshot: Snapshot, observations: Observations, *, now_ms: int, timing: Timing) -> int | None:
    """When the next silence may come of age, None where no worker is silent for long."""
    ages = (timing.lost_after_ms, timing.fenced_after_ms(snapshot))
    silences = (observations.silent_ms(worker_id, now_ms=now_ms) for worker_id in snapshot.workers)
    return min((age - silent + 1 for silent in silences for age in ages if silent <= age), default=None)


def _taken_back(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, timing: Timing
) -> Iterator[WorkerTakenBack]:
    for worker_id, eviction in sorted(snapshot.liveness.evictions.items()):
        observed = observations.workers.get(worker_id)
        is_heard = observations.silent_ms(worker_id, now_ms=now_ms) <= timing.lost_after_ms
        if observed and is_heard and has_let_go(snapshot, eviction, observed):
            yield WorkerTakenBack(worker_id)


def _given_up(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int, timing: Timing
) -> Iterator[WorkerGivenUp]:
    lost = lost_workers(snapshot, observations, now_ms=now_ms, lost_after_ms=timing.lost_after_ms)
    if not lost:
        return
    stopped = mass_loss(snapshot, observations, now_ms=now_ms, timing=timing)
    for worker_id, silent_ms in sorted(lost.items()):
        cordon = snapshot.liveness.cordons.get(worker_id)
        is_ordered = cordon is not None and cordon.draining
        if stopped and not is_ordered:
            continue
        is_over = silent_ms > timing.fenced_after_ms(snapshot)
        found = [
            placement
            for placement in snapshot.placed_on(worker_id)
            if _may_be_taken(snapshot, observations, placement, is_over=is_over, is_ordered=is_ordered)
        ]
        if found or worker_id not in snapshot.liveness.evictions:
            yield WorkerGivenUp(
                worker_id,
                tuple(sorted(placement.instance for placement in found)),
                fenced=any(_is_single(snapshot, placement) for placement in found),
                at_ms=wall_ms,
                reason=f"{worker_id} was not heard of for {silent_ms // 1000} s",
            )


def _may_be_taken(
    snapshot: Snapshot, observations: Observations, placement: Placement, *, is_over: bool, is_ordered: bool
) -> bool:
    """Whether a lost worker's instance may be elsewhere. `is_over`: no lease of it can be in force any more.

    `is_ordered`: an operator drains the lost worker, and thereby says that nothing runs on it.
    """
    if placement.generation == NOTHING:
        return True
    if is_bound(snapshot, placement):
        return False
    if not _is_single(snapshot, placement):
        return True
    return is_over and (is_ordered or _is_known_fenced(snapshot, observations, placement))


def is_bound(snapshot: Snapshot, placement: Placement) -> bool:
    """Whether it stays with its worker whatever becomes of that: a kept volume is there, and nobody released it."""
    if placement.instance not in snapshot.volume_bindings:
        return False
    specs = (snapshot.wanted_spec(placement.instance), snapshot.good_spec(placement.instance))
    return any(spec.value.keeps_volume for spec in specs if spec)


def _is_single(snapshot: Snapshot, placement: Placement) -> bool:
    """Whether what runs, or what shall, may run only once."""
    return any(spec.is_fenced for spec in _specs(snapshot, placement))


def _is_known_fenced(snapshot: Snapshot, observations: Observations, placement: Placement) -> bool:
    """Whether the worker's shim ends it for sure: it never was anything else, or the worker has taken up that it is.

    A VM that became a singleton after its worker was last heard of runs there without a fence.
    """
    if all(spec.is_fenced for spec in _specs(snapshot, placement)):
        return True
    observed = observations.workers.get(placement.worker_id)
    spec = snapshot.wanted_spec(placement.instance)
    return bool(spec and spec.value.is_fenced and observed and observed.obeys(snapshot, placement.revision))


def _specs(snapshot: Snapshot, placement: Placement) -> Iterator[VmSpec]:
    """All that may still run of an instance: what each kept generation has for it."""
    for generation in snapshot.generations.values():
        spec = generation.instances.get(placement.instance)
        if spec:
            yield spec.value
