"""Changes of the durable state as values, and `apply`, which is the only way a snapshot changes; it stores nothing."""

from dataclasses import dataclass, replace

from control_plane.deltas import derive
from control_plane.identity.changes import IdentityEvent, changed
from control_plane.liveness.changes import LivenessEvent, forgotten
from control_plane.liveness.changes import changed as liveness_changed
from control_plane.revisions import revise
from control_plane.rollout.changes import RolloutEvent, begun, superseded
from control_plane.rollout.changes import changed as rollout_changed
from control_plane.state import (
    NOTHING,
    NOWHERE,
    Generation,
    Placement,
    PlacementReason,
    ReasonCode,
    Snapshot,
    WorkerRecord,
)
from schema.origin import Origin
from schema.status import WorkerFacts


@dataclass(frozen=True, slots=True)
class OriginPinned:
    """The realm tracks `origin` from now on."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class GenerationPublished:
    """A generation was accepted; its rollout begins and the one before it is superseded if it still goes on."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker logged in for the first time."""

    worker_id: str
    facts: WorkerFacts
    subnet: str
    revision: int = 0
    """Where its revisions begin: behind those of an earlier machine of that name."""


@dataclass(frozen=True, slots=True)
class WorkerChanged:
    """A known worker has other facts than before."""

    worker_id: str
    facts: WorkerFacts


@dataclass(frozen=True, slots=True)
class RevisionRaised:
    """A worker had obeyed a higher revision than the database has; what it shall run is told under this one."""

    worker_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class WorkerForgotten:
    """A worker that has nothing any more is gone; its subnet is free."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class PlacementsChanged:
    """Instances have a new target, worker or reason."""

    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class PlacementsReleased:
    """Their workers reported these instances gone: what they reserved is free."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenerationsForgotten:
    """Old generations that nothing refers to any more."""

    numbers: tuple[int, ...]


StateEvent = (
    OriginPinned
    | GenerationPublished
    | WorkerJoined
    | WorkerChanged
    | RevisionRaised
    | WorkerForgotten
    | PlacementsChanged
    | PlacementsReleased
    | GenerationsForgotten
    | RolloutEvent
    | LivenessEvent
    | IdentityEvent
)


def apply(snapshot: Snapshot, event: StateEvent) -> Snapshot:
    """The snapshot after `event`, with the revision of each worker whose assignment it changes one higher."""
    return revise(snapshot, _apply(snapshot, event))


def _apply(snapshot: Snapshot, event: StateEvent) -> Snapshot:
    if isinstance(event, RolloutEvent):
        return rollout_changed(snapshot, event)
    if isinstance(event, LivenessEvent):
        return liveness_changed(snapshot, event)
    match event:
        case OriginPinned(origin=origin):
            return replace(snapshot, origin=origin)
        case GenerationPublished(generation=generation):
            return _published(snapshot, generation)
        case WorkerJoined(worker_id=worker_id, facts=facts, subnet=subnet, revision=revision):
            return _with_worker(snapshot, WorkerRecord(worker_id, facts, subnet, revision))
        case WorkerChanged(worker_id=worker_id, facts=facts):
            return _with_worker(snapshot, replace(snapshot.workers[worker_id], facts=facts))
        case RevisionRaised(worker_id=worker_id, revision=revision):
            return _raised(snapshot, worker_id, revision)
        case WorkerForgotten(worker_id=worker_id):
            return _without_worker(snapshot, worker_id)
        case PlacementsChanged(placements=placements):
            return _placed(snapshot, placements)
        case PlacementsReleased(instances=instances):
            return _released(snapshot, instances)
        case GenerationsForgotten(numbers=numbers):
            return _forgotten(snapshot, frozenset(numbers))
        case _:  # who may come in: `changed` knows them all
            return replace(snapshot, identity=changed(snapshot.identity, event))


def _published(snapshot: Snapshot, generation: Generation) -> Snapshot:
    snapshot = superseded(snapshot, generation)
    snapshot = replace(
        snapshot,
        origin=snapshot.origin or generation.header.origin,
        generations={**snapshot.generations, generation.number: generation},
    )
    return begun(snapshot, generation, started_ms=generation.published_at_ms)


def _with_worker(snapshot: Snapshot, worker: WorkerRecord) -> Snapshot:
    return replace(snapshot, workers=derive(snapshot.workers, put={worker.worker_id: worker}))


def _raised(snapshot: Snapshot, worker_id: str, revision: int) -> Snapshot:
    """What the worker says under a lower revision is no word about these targets."""
    told = {one.instance: replace(one, revision=revision) for one in snapshot.placed_on(worker_id)}
    snapshot = _with_worker(snapshot, replace(snapshot.workers[worker_id], revision=revision))
    return replace(snapshot, placements=derive(snapshot.placements, put=told))


def _without_worker(snapshot: Snapshot, worker_id: str) -> Snapshot:
    workers = {name: kept for name, kept in snapshot.workers.items() if name != worker_id}
    return replace(snapshot, workers=workers, liveness=forgotten(snapshot.liveness, worker_id))


def _placed(snapshot: Snapshot, changed: tuple[Placement, ...]) -> Snapshot:
    bindings: dict[str, str] = {}
    for placement in changed:
        spec = snapshot.spec(placement.instance, placement.generation)
        if spec and spec.value.volumes and placement.is_assigned:
            bindings[placement.instance] = placement.worker_id
    placements = derive(snapshot.placements, put={placement.instance: placement for placement in changed})
    bound = derive(snapshot.volume_bindings, put=bindings) if bindings else snapshot.volume_bindings
    return replace(snapshot, placements=placements, volume_bindings=bound)


def _released(snapshot: Snapshot, instances: tuple[str, ...]) -> Snapshot:
    waiting = {}
    for instance in instances:
        placement = snapshot.placements[instance]
        if placement.generation != NOTHING:
            left = PlacementReason(ReasonCode.MOVING, f"has left {placement.worker_id}")
            why = placement.reason if placement.reason.code.clears_worker else left
            waiting[instance] = Placement(instance, placement.generation, NOWHERE, reason=why)
    return replace(snapshot, placements=derive(snapshot.placements, drop=instances, put=waiting))


def _forgotten(snapshot: Snapshot, numbers: frozenset[int]) -> Snapshot:
    return replace(
        snapshot,
        generations={number: kept for number, kept in snapshot.generations.items() if number not in numbers},
        rollouts={number: kept for number, kept in snapshot.rollouts.items() if number not in numbers},
    )
