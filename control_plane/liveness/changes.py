"""Changes of what is kept of workers' lives as values, and what each makes of a snapshot; it decides none of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from control_plane.deltas import derive
from control_plane.liveness.records import Cordon, Eviction, LivenessState
from control_plane.state import NOTHING, Placement, PlacementReason, ReasonCode, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerCordoned:
    """An operator wants nothing new on a worker, or nothing at all."""

    cordon: Cordon


@dataclass(frozen=True, slots=True)
class WorkerUncordoned:
    """A worker takes VMs again."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class WorkerGivenUp:
    """A lost worker's `instances` are free to be placed elsewhere. `fenced`: singletons are among them.

    `at_ms` is Unix milliseconds.
    """

    worker_id: str
    instances: tuple[str, ...]
    fenced: bool
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerTakenBack:
    """A worker that had been given up is back and has let go of all that was taken from it."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class VolumeReleased:
    """An operator gave up what an instance keeps on its worker: it leaves there, and its volumes are made anew."""

    instance: str


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """Leases of another length are given from now on, or none of the earlier, longer ones can still be in force."""

    lease_ms: int


LivenessEvent = WorkerCordoned | WorkerUncordoned | WorkerGivenUp | WorkerTakenBack | VolumeReleased | LeaseChanged


def changed(snapshot: Snapshot, event: LivenessEvent) -> Snapshot:
    """The snapshot after `event`; revisions are raised by the caller."""
    state = snapshot.liveness
    match event:
        case WorkerCordoned(cordon=cordon):
            kept = replace(state, cordons={**state.cordons, cordon.worker_id: cordon})
            return replace(snapshot, liveness=kept)
        case WorkerUncordoned(worker_id=worker_id):
            return replace(snapshot, liveness=replace(state, cordons=_without(state.cordons, worker_id)))
        case WorkerGivenUp():
            return _given_up(snapshot, event)
        case WorkerTakenBack(worker_id=worker_id):
            return replace(snapshot, liveness=replace(state, evictions=_without(state.evictions, worker_id)))
        case VolumeReleased(instance=instance):
            return _released(snapshot, instance)
        case LeaseChanged(lease_ms=lease_ms):
            return replace(snapshot, liveness=replace(state, lease_ms=lease_ms))
        case _:
            assert_never(event)


def forgotten(state: LivenessState, worker_id: str) -> LivenessState:
    """The state without anything of a worker that is gone for good."""
    if worker_id not in state.cordons and worker_id not in state.evictions:
        return state
    cordons, evictions = _without(state.cordons, worker_id), _without(state.evictions, worker_id)
    return replace(state, cordons=cordons, evictions=evictions)


def _without(kept: Mapping[str, T], worker_id: str) -> dict[str, T]:
    return {name: value for name, value in kept.items() if name != worker_id}


def _given_up(snapshot: Snapshot, event: WorkerGivenUp) -> Snapshot:
    """The revision is raised here too: an entry that had left already alters no assignment."""
    worker = snapshot.workers[event.worker_id]
    worker = replace(worker, revision=worker.revision + 1)
    before = snapshot.liveness.evictions.get(event.worker_id, Eviction(event.worker_id, 0))
    eviction = Eviction(
        worker_id=event.worker_id,
        revision=worker.revision,
        instances=tuple(sorted({*before.instances, *event.instances})),
        fenced=before.fenced or event.fenced,
        at_ms=event.at_ms,
    )
    evictions = {**snapshot.liveness.evictions, event.worker_id: eviction}
    return replace(
        snapshot,
        workers=derive(snapshot.workers, put={event.worker_id: worker}),
        placements=_unplaced(snapshot, event.instances, reason=event.reason),
        volume_bindings=_unbound(snapshot, event.instances),
        liveness=replace(snapshot.liveness, evictions=evictions),
    )


def _unplaced(snapshot: Snapshot, instances: Collection[str], *, reason: str) -> Mapping[str, Placement]:
    waiting = {}
    for instance in instances:
        placement = snapshot.placements[instance]
        if placement.generation != NOTHING:
            why = PlacementReason(ReasonCode.EVICTED, reason)
            waiting[instance] = Placement(instance, placement.generation, reason=why)
    return derive(snapshot.placements, drop=instances, put=waiting)


def _unbound(snapshot: Snapshot, instances: Collection[str]) -> dict[str, str]:
    """What was to go away for good leaves its volumes where they are, and comes back to them if it ever does."""
    gone = {name for name in instances if snapshot.wanted(name) != NOTHING}
    return {name: worker_id for name, worker_id in snapshot.volume_bindings.items() if name not in gone}


def _released(snapshot: Snapshot, instance: str) -> Snapshot:
    placements, placement = snapshot.placements, snapshot.placements.get(instance)
    worker_id = snapshot.volume_bindings[instance]
    why = PlacementReason(ReasonCode.RELEASED, f"its volume on {worker_id} was given up")
    if placement and placement.worker_id:
        placements = {**placements, instance: replace(placement, leaving=True, reason=why)}
    bindings = {name: held for name, held in snapshot.volume_bindings.items() if name != instance}
    return replace(snapshot, placements=placements, volume_bindings=bindings)
