"""Changes of the durable state as values, and `apply`, which is the only way a snapshot changes; it stores nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control_plane.identity.changes import IdentityEvent, changed
from control_plane.revisions import revise
from control_plane.rollout.kinds import kinds_of
from control_plane.rollout.table import FIRST, Signal, after
from control_plane.state import (
    NOTHING,
    NOWHERE,
    Generation,
    Placement,
    PlacementReason,
    ReasonCode,
    Resources,
    Rollout,
    Snapshot,
    WorkerRecord,
)
from schema.origin import Origin
from schema.status import RolloutState, WorkerFacts


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
class RolloutPlaced:
    """All that the generation brings has a worker. `placed_ms`: milliseconds since it was published."""

    generation: int
    placed_ms: int


@dataclass(frozen=True, slots=True)
class RolloutMoved:
    """A rollout took a signal."""

    generation: int
    signal: Signal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GenerationsForgotten:
    """Old generations that nothing refers to any more."""

    numbers: tuple[int, ...]


StateEvent = (
    OriginPinned
    | GenerationPublished
    | WorkerJoined
    | WorkerChanged
    | WorkerForgotten
    | PlacementsChanged
    | PlacementsReleased
    | RolloutPlaced
    | RolloutMoved
    | GenerationsForgotten
    | IdentityEvent
)


def apply(snapshot: Snapshot, event: StateEvent) -> Snapshot:
    """The snapshot after `event`, with the revision of each worker whose assignment it changes one higher."""
    return revise(snapshot, _apply(snapshot, event))


def _apply(snapshot: Snapshot, event: StateEvent) -> Snapshot:
    match event:
        case OriginPinned(origin=origin):
            return replace(snapshot, origin=origin)
        case GenerationPublished(generation=generation):
            return _published(snapshot, generation)
        case WorkerJoined(worker_id=worker_id, facts=facts, subnet=subnet, revision=revision):
            return _with_worker(snapshot, WorkerRecord(worker_id, facts, subnet, revision))
        case WorkerChanged(worker_id=worker_id, facts=facts):
            return _with_worker(snapshot, replace(snapshot.workers[worker_id], facts=facts))
        case WorkerForgotten(worker_id=worker_id):
            return _without_worker(snapshot, worker_id)
        case PlacementsChanged(placements=placements):
            return _placed(snapshot, placements)
        case PlacementsReleased(instances=instances):
            return _released(snapshot, instances)
        case RolloutPlaced(generation=number, placed_ms=placed_ms):
            return _with_rollout(snapshot, replace(snapshot.rollouts[number], placed_ms=placed_ms))
        case RolloutMoved():
            return _moved(snapshot, event)
        case GenerationsForgotten(numbers=numbers):
            return _forgotten(snapshot, frozenset(numbers))
        case _:  # who may come in: `changed` knows them all
            return replace(snapshot, identity=changed(snapshot.identity, event))


def _published(snapshot: Snapshot, generation: Generation) -> Snapshot:
    rollouts = dict(snapshot.rollouts)
    current = snapshot.rollout
    if current and not current.state.is_outcome:
        ended = after(current.state, Signal.SUPERSEDED)
        why = f"superseded by generation {generation.number}"
        rollouts[current.generation] = replace(current, state=ended, reason=why)
    rollouts[generation.number] = Rollout(generation.number, FIRST, kinds=kinds_of(snapshot, generation))
    return replace(
        snapshot,
        origin=snapshot.origin or generation.header.origin,
        generations={**snapshot.generations, generation.number: generation},
        rollouts=rollouts,
    )


def _with_worker(snapshot: Snapshot, worker: WorkerRecord) -> Snapshot:
    return replace(snapshot, workers={**snapshot.workers, worker.worker_id: worker})


def _without_worker(snapshot: Snapshot, worker_id: str) -> Snapshot:
    return replace(snapshot, workers={name: kept for name, kept in snapshot.workers.items() if name != worker_id})


def _with_rollout(snapshot: Snapshot, rollout: Rollout) -> Snapshot:
    return replace(snapshot, rollouts={**snapshot.rollouts, rollout.generation: rollout})


def _placed(snapshot: Snapshot, changed: tuple[Placement, ...]) -> Snapshot:
    placements, bindings = dict(snapshot.placements), dict(snapshot.volume_bindings)
    for placement in changed:
        placements[placement.instance] = placement
        spec = snapshot.spec(placement.instance, placement.generation)
        if spec and spec.value.volumes and placement.is_assigned:
            bindings.setdefault(placement.instance, placement.worker_id)
    return replace(snapshot, placements=placements, volume_bindings=bindings)


def _released(snapshot: Snapshot, instances: tuple[str, ...]) -> Snapshot:
    placements = dict(snapshot.placements)
    for instance in instances:
        placement = placements.pop(instance)
        if placement.generation != NOTHING:
            why = PlacementReason(ReasonCode.MOVING, f"has left {placement.worker_id}")
            placements[instance] = Placement(instance, placement.generation, NOWHERE, reason=why)
    return replace(snapshot, placements=placements)


def _moved(snapshot: Snapshot, event: RolloutMoved) -> Snapshot:
    rollout = snapshot.rollouts[event.generation]
    moved = replace(rollout, state=after(rollout.state, event.signal), reason=event.reason or rollout.reason)
    snapshot = _with_rollout(snapshot, moved)
    if moved.state is RolloutState.SUCCEEDED:
        number = event.generation
        snapshot = replace(snapshot, last_good=dict.fromkeys(snapshot.generations[number].instances, number))
    if moved.state.is_outcome:
        snapshot = replace(snapshot, placements=_without_spare(snapshot))
    return snapshot


def _without_spare(snapshot: Snapshot) -> Mapping[str, Placement]:
    """Room that was kept for going back is free once the rollout is over."""
    placements = dict(snapshot.placements)
    for instance, placement in snapshot.placements.items():
        spec = snapshot.wanted_spec(instance)
        if spec and placement.is_assigned:
            placements[instance] = replace(placement, reserved=Resources.of(spec.value))
    return placements


def _forgotten(snapshot: Snapshot, numbers: frozenset[int]) -> Snapshot:
    return replace(
        snapshot,
        generations={number: kept for number, kept in snapshot.generations.items() if number not in numbers},
        rollouts={number: kept for number, kept in snapshot.rollouts.items() if number not in numbers},
    )
