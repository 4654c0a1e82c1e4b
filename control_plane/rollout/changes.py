"""What can happen to rollouts and holds, as values, and what each makes of a snapshot; it decides none of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control_plane.deltas import derive
from control_plane.rollout.kinds import kinds_of
from control_plane.rollout.pins import hold_placed, joined, lifted, proven
from control_plane.rollout.table import FIRST, Signal, after
from control_plane.rollout.waves import waves_of
from control_plane.state import (
    ChangeKind,
    Generation,
    HoldRecord,
    Placement,
    Resources,
    Rollout,
    Snapshot,
    WaveProgress,
)
from schema.status import RolloutState


@dataclass(frozen=True, slots=True)
class RolloutPlaced:
    """All that the generation brings has a worker. `placed_ms`: milliseconds since it was published."""

    generation: int
    placed_ms: int


@dataclass(frozen=True, slots=True)
class RolloutMoved:
    """A rollout took a signal. `actor` is who sent it, empty for the control plane; `at_ms` is Unix milliseconds."""

    generation: int
    signal: Signal
    reason: str = ""
    actor: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class WavePromoted:
    """An operator approved a wave, by its index."""

    generation: int
    wave: int
    actor: str


@dataclass(frozen=True, slots=True)
class WaveOpened:
    """The instances of a wave may change from now on. `at_ms` is Unix milliseconds."""

    generation: int
    wave: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class WaveFinished:
    """All of a wave is healthy, or failed within the budget. `at_ms` is Unix milliseconds."""

    generation: int
    wave: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class InstancesFailed:
    """These instances did not get healthy, each with the reason."""

    generation: int
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HoldPlaced:
    """An operator pins VMs; holds that had some of them before lose those."""

    hold: HoldRecord


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """An operator ends a hold. `at_ms` is Unix milliseconds."""

    id: str
    at_ms: int


Progress = WavePromoted | WaveOpened | WaveFinished | InstancesFailed
RolloutEvent = RolloutPlaced | RolloutMoved | Progress | HoldPlaced | HoldLifted


def changed(snapshot: Snapshot, event: RolloutEvent) -> Snapshot:
    """The snapshot after `event`; revisions of workers are the caller's."""
    match event:
        case RolloutPlaced(generation=number, placed_ms=placed_ms):
            return _with_rollout(snapshot, replace(snapshot.rollouts[number], placed_ms=placed_ms))
        case RolloutMoved():
            return _moved(snapshot, event)
        case HoldPlaced(hold=hold):
            return _settled(hold_placed(snapshot, hold))
        case HoldLifted():
            return _lifted(snapshot, event)
        case _:
            return _with_rollout(snapshot, progressed(snapshot.rollouts[event.generation], event))


def progressed(rollout: Rollout, event: Progress) -> Rollout:
    """The rollout after a step of its own."""
    match event:
        case WavePromoted(wave=index, actor=actor):
            return _with_wave(rollout, index, replace(rollout.waves[index], promoted_by=actor))
        case WaveOpened(wave=index, at_ms=at_ms):
            return _with_wave(rollout, index, replace(rollout.waves[index], opened_ms=at_ms))
        case WaveFinished(wave=index, at_ms=at_ms):
            return _with_wave(rollout, index, replace(rollout.waves[index], finished_ms=at_ms))
        case InstancesFailed(reasons=reasons):
            return replace(rollout, failed={**rollout.failed, **reasons})


def begun(snapshot: Snapshot, generation: Generation, *, started_ms: int) -> Snapshot:
    """The snapshot with a rollout of `generation` that has just begun; `generation` is in it."""
    kinds = kinds_of(snapshot, generation)
    waves = waves_of(generation, kinds)
    return _with_rollout(snapshot, Rollout(generation.number, FIRST, kinds=kinds, waves=waves, started_ms=started_ms))


def superseded(snapshot: Snapshot, by: Generation) -> Snapshot:
    """The snapshot with the present rollout ended by a newer generation, if it still goes on."""
    current = snapshot.rollout
    if current is None or current.state.is_outcome:
        return snapshot
    ended = replace(
        current,
        state=after(current.state, Signal.SUPERSEDED),
        reason=f"superseded by generation {by.number}",
        ended_ms=by.published_at_ms,
    )
    return _with_rollout(snapshot, ended)


def _with_rollout(snapshot: Snapshot, rollout: Rollout) -> Snapshot:
    return replace(snapshot, rollouts={**snapshot.rollouts, rollout.generation: rollout})


def _with_wave(rollout: Rollout, index: int, wave: WaveProgress) -> Rollout:
    return replace(rollout, waves=(*rollout.waves[:index], wave, *rollout.waves[index + 1 :]))


def _moved(snapshot: Snapshot, event: RolloutMoved) -> Snapshot:
    rollout = snapshot.rollouts[event.generation]
    moved = replace(
        rollout,
        state=after(rollout.state, event.signal),
        reason=event.reason or ("" if event.signal is Signal.RESUMED else rollout.reason),
        actor=event.actor,
    )
    if moved.state.is_outcome:
        moved = replace(moved, ended_ms=event.at_ms)
    if event.signal is Signal.RESUMED:
        return _resumed(snapshot, moved)
    snapshot = _with_rollout(snapshot, moved)
    if moved.state is RolloutState.SUCCEEDED:
        snapshot = proven(snapshot, moved)
    return _settled(snapshot)


def _resumed(snapshot: Snapshot, rollout: Rollout) -> Snapshot:
    """What had failed is tried again: its worker sees another revision, its wave is unfinished again."""
    again = {
        instance: replace(placement, attempt=placement.attempt + 1)
        for instance in rollout.failed
        if (placement := snapshot.placements.get(instance)) and placement.generation == rollout.generation
    }
    waves = tuple(
        wave if rollout.failed.keys().isdisjoint(wave.instances) else replace(wave, finished_ms=None)
        for wave in rollout.waves
    )
    if again:
        snapshot = replace(snapshot, placements=derive(snapshot.placements, put=again))
    return _with_rollout(snapshot, replace(rollout, failed={}, waves=waves))


def _lifted(snapshot: Snapshot, event: HoldLifted) -> Snapshot:
    """Its VMs follow the newest generation again, in the way that its rollout has come to (decision 0053)."""
    hold = snapshot.holds[event.id]
    snapshot = lifted(snapshot, hold)
    rollout, generation = snapshot.rollout, snapshot.newest
    if rollout is None or generation is None:
        return snapshot
    match rollout.state:
        case RolloutState.RUNNING | RolloutState.PAUSED:
            return _with_rollout(snapshot, joined(snapshot, generation, rollout, hold))
        case RolloutState.SUCCEEDED:
            return begun(snapshot, generation, started_ms=event.at_ms)
        case RolloutState.ABORTED if not rollout.changes_anything:
            return begun(snapshot, generation, started_ms=event.at_ms)
        case RolloutState.ROLLED_BACK | RolloutState.FAILED:
            mine = [name for name, placement in snapshot.placements.items() if placement.vm in hold.against]
            kinds = {**rollout.kinds, **dict.fromkeys(mine, ChangeKind.CHANGED)}
            back = replace(rollout, state=RolloutState.ROLLING_BACK, kinds=kinds, ended_ms=0)
            return _with_rollout(snapshot, back)
        case _:
            return snapshot


def _settled(snapshot: Snapshot) -> Snapshot:
    """Room that was kept for going back is free once the newest rollout is over."""
    rollout = snapshot.rollout
    if rollout is None or not rollout.state.is_outcome:
        return snapshot
    spare: dict[str, Placement] = {}
    for instance, placement in snapshot.placements.items():
        spec = snapshot.wanted_spec(instance)
        if spec and placement.is_assigned:
            needed = Resources.of(spec.value)
            if needed != placement.reserved:
                spare[instance] = replace(placement, reserved=needed)
    return replace(snapshot, placements=derive(snapshot.placements, put=spare)) if spare else snapshot
