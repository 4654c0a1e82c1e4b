"""The control plane's reconciler: from all that is known, the next changes of state; it carries none of them out.

`plan` returns one transaction's worth of events at most; the caller applies and stores them and asks again until
nothing is left. Each group is complete in itself, so a stop between any two of them loses nothing.
"""

from dataclasses import dataclass

from control_plane.events import (
    GenerationsForgotten,
    PlacementsChanged,
    PlacementsReleased,
    StateEvent,
)
from control_plane.index import index_of
from control_plane.liveness.eviction import recheck_ms as lost_in_ms
from control_plane.liveness.eviction import upkeep
from control_plane.liveness.orders import overdue
from control_plane.liveness.standing import standings
from control_plane.liveness.timing import Timing
from control_plane.observations import Observations
from control_plane.rollout.changes import RolloutMoved, RolloutPlaced
from control_plane.rollout.clocks import healthy_for_ms
from control_plane.rollout.look import Look, Step
from control_plane.rollout.steps import blocked_step, look_at, next_step, pinning_step
from control_plane.scheduler.fleet import Overcommit
from control_plane.settling import Conditions, settle
from control_plane.state import Snapshot
from schema.status import RolloutState, VmPhase


@dataclass(frozen=True, slots=True)
class Limits(Timing):
    """The settings that decisions depend on."""

    keep_generations: int = 5
    cpu_overcommit: float = 4.0
    memory_overcommit: float = 1.0
    most_moving: int = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """The next events, and when to look again although nothing changed (milliseconds; None: not needed)."""

    events: tuple[StateEvent, ...] = ()
    recheck_ms: int | None = None

    @property
    def workers(self) -> int:
        """How many workers will have to be told."""
        moved = (event.placements for event in self.events if isinstance(event, PlacementsChanged))
        return len({placement.worker_id for placements in moved for placement in placements})


def plan(snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int, limits: Limits) -> Plan:
    """The next changes. `now_ms` is the monotonic clock of the observations, `wall_ms` Unix milliseconds."""
    done = (
        upkeep(snapshot, observations, now_ms=now_ms, wall_ms=wall_ms, timing=limits)
        or _gone(snapshot, observations)
        or _overdue(snapshot, wall_ms=wall_ms)
        or _placed(snapshot, wall_ms=wall_ms)
    )
    if done:
        return Plan(done)
    conditions = _conditions(snapshot, observations, now_ms=now_ms, limits=limits)
    look = look_at(snapshot, observations, now_ms=now_ms, wall_ms=wall_ms, lost_after_ms=limits.lost_after_ms)
    if look is None:
        return Plan(settle(snapshot, under=conditions)[0])
    pins = pinning_step(look)
    if pins.targets:
        moved, _ = settle(snapshot, pins.targets, under=conditions)
        if moved:
            return Plan(moved)
    step = next_step(look)
    events, blocked = settle(snapshot, step.targets, under=conditions)
    if blocked and step.signal is None and not events and not step.progress:
        step = blocked_step(look, {one.instance: str(one.reason) for one in blocked})
    events = (*step.progress, *_signalled(look, step)) if step.signal else (*step.progress, *events)
    silent_ms = lost_in_ms(snapshot, observations, now_ms=now_ms, timing=limits)
    recheck_ms = min((one for one in (step.recheck_ms, pins.recheck_ms, silent_ms) if one is not None), default=None)
    return Plan(events or _forgotten(snapshot, keep=limits.keep_generations), recheck_ms)


def _signalled(look: Look, step: Step) -> tuple[StateEvent, ...]:
    if step.signal is None:
        return ()
    return (RolloutMoved(look.number, step.signal, step.reason, at_ms=look.wall_ms),)


def _overdue(snapshot: Snapshot, *, wall_ms: int) -> tuple[StateEvent, ...]:
    leaving = tuple(overdue(snapshot, wall_ms=wall_ms))
    return (PlacementsChanged(leaving),) if leaving else ()


def _gone(snapshot: Snapshot, observations: Observations) -> tuple[StateEvent, ...]:
    """The leaving instances whose worker knows that they shall leave and has them no more."""
    found = []
    for placement in index_of(snapshot).leaving.values():
        observed = observations.workers.get(placement.worker_id)
        if observed is None or not observed.obeys(snapshot, placement.revision):
            continue
        vm = observed.vms.get(placement.instance)
        if vm is None or vm.phase is VmPhase.GONE:
            found.append(placement.instance)
    return (PlacementsReleased(tuple(sorted(found))),) if found else ()


def _conditions(snapshot: Snapshot, observations: Observations, *, now_ms: int, limits: Limits) -> Conditions:
    return Conditions(
        workers=standings(snapshot, observations, now_ms=now_ms, timing=limits),
        overcommit=Overcommit(limits.cpu_overcommit, limits.memory_overcommit),
        most_moving=limits.most_moving,
        is_healthy=lambda placement: healthy_for_ms(observations.clocks, placement, now_ms=now_ms) is not None,
    )


def _placed(snapshot: Snapshot, *, wall_ms: int) -> tuple[StateEvent, ...]:
    rollout, generation = snapshot.rollout, snapshot.newest
    if not rollout or not generation or rollout.placed_ms or rollout.state is not RolloutState.RUNNING:
        return ()
    if any(wave.opened_ms is None for wave in rollout.waves):
        return ()
    first = [instance for instance in generation.instances if rollout.kinds[instance].at_once]
    for instance in first:
        if instance in rollout.failed:
            continue
        placement = snapshot.placements.get(instance)
        if placement is None or placement.generation != generation.number or not placement.is_assigned:
            return ()
    return (RolloutPlaced(generation.number, max(wall_ms - generation.published_at_ms, 1)),)


def _forgotten(snapshot: Snapshot, *, keep: int) -> tuple[StateEvent, ...]:
    newest = sorted(snapshot.generations, reverse=True)[:keep]
    old = set(snapshot.generations) - set(newest)
    if not old:
        return ()
    old -= {hold.generation for hold in snapshot.holds.values()} | set(snapshot.last_good.values())
    old -= set(index_of(snapshot).counts)
    return (GenerationsForgotten(tuple(sorted(old))),) if old else ()
