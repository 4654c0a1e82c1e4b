"""The control plane's reconciler: from all that is known, the next changes of state; it carries none of them out.

`plan` returns one transaction's worth of events at most; the caller applies and stores them and asks again until
nothing is left. Each group is complete in itself, so a stop between any two of them loses nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from control_plane.events import (
    GenerationsForgotten,
    PlacementsChanged,
    PlacementsReleased,
    StateEvent,
)
from control_plane.observations import Observations
from control_plane.rollout.changes import RolloutMoved, RolloutPlaced
from control_plane.rollout.look import Look, Step
from control_plane.rollout.steps import blocked_step, look_at, next_step, pinning_step
from control_plane.scheduler.capacity import Room, ledger
from control_plane.scheduler.place import place
from control_plane.scheduler.retarget import Blocked, retarget, withdraw
from control_plane.state import NOTHING, NOWHERE, Placement, Snapshot
from schema.status import RolloutState, VmPhase


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decisions depend on."""

    lost_after_ms: int = 40_000
    keep_generations: int = 5
    cpu_overcommit: float = 4.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The next events, and when to look again although nothing changed (milliseconds; None: not needed)."""

    events: tuple[StateEvent, ...] = ()
    recheck_ms: int | None = None


def plan(snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int, limits: Limits) -> Plan:
    """The next changes. `now_ms` is the monotonic clock of the observations, `wall_ms` Unix milliseconds."""
    done = _gone(snapshot, observations) or _placed(snapshot, wall_ms=wall_ms)
    if done:
        return Plan(done)
    usable = _usable(snapshot, observations, now_ms=now_ms, lost_after_ms=limits.lost_after_ms)
    look = look_at(snapshot, observations, now_ms=now_ms, wall_ms=wall_ms, lost_after_ms=limits.lost_after_ms)
    if look is None:
        return Plan(settle(snapshot, {}, usable=usable, limits=limits)[0])
    pins = pinning_step(look)
    if pins.targets:
        moved, _ = settle(snapshot, pins.targets, usable=usable, limits=limits)
        if moved:
            return Plan(moved)
    step = next_step(look)
    events, blocked = settle(snapshot, step.targets, usable=usable, limits=limits)
    if blocked and step.signal is None and not events and not step.progress:
        step = blocked_step(look, {one.instance: str(one.reason) for one in blocked})
    events = (*step.progress, *_signalled(look, step)) if step.signal else (*step.progress, *events)
    recheck_ms = min((wait for wait in (step.recheck_ms, pins.recheck_ms) if wait is not None), default=None)
    return Plan(events or _forgotten(snapshot, keep=limits.keep_generations), recheck_ms)


def _signalled(look: Look, step: Step) -> tuple[StateEvent, ...]:
    if step.signal is None:
        return ()
    return (RolloutMoved(look.number, step.signal, step.reason, at_ms=look.wall_ms),)


def settle(
    snapshot: Snapshot, targets: Mapping[str, int], *, usable: Collection[str], limits: Limits
) -> tuple[tuple[StateEvent, ...], tuple[Blocked, ...]]:
    """Set `targets`, and place them and all else that is not placed, as one change; and what could not be set."""
    rooms = ledger(snapshot, cpu_overcommit=limits.cpu_overcommit)
    changed: dict[str, Placement] = {}
    blocked: list[Blocked] = []
    for instance, number in targets.items():
        after = _retargeted(snapshot, instance, number, rooms=rooms, usable=usable)
        if isinstance(after, Blocked):
            blocked.append(after)
        else:
            changed[instance] = after
    dropped = tuple(one.instance for one in changed.values() if one.generation == NOTHING and one.worker_id == NOWHERE)
    waiting = [
        placement
        for placement in ({**snapshot.placements, **changed}).values()
        if placement.worker_id == NOWHERE and placement.generation != NOTHING
    ]
    for placement in place(snapshot, waiting, rooms=rooms, usable=usable):
        changed[placement.instance] = placement
    news = tuple(one for one in changed.values() if one != snapshot.placements.get(one.instance))
    events = (PlacementsChanged(news),) if news else ()
    return (*events, *((PlacementsReleased(dropped),) if dropped else ())), tuple(blocked)


def _retargeted(
    snapshot: Snapshot, instance: str, number: int, *, rooms: Mapping[str, Room], usable: Collection[str]
) -> Placement | Blocked:
    if number == NOTHING:
        return withdraw(snapshot.placements[instance])
    return retarget(snapshot, instance, number, rooms=rooms, usable=usable)


def _gone(snapshot: Snapshot, observations: Observations) -> tuple[StateEvent, ...]:
    """The leaving instances whose worker knows that they shall leave and has them no more."""
    found = []
    for placement in snapshot.placements.values():
        observed = observations.workers.get(placement.worker_id)
        if not placement.leaving or observed is None or not observed.obeys(snapshot, placement.revision):
            continue
        vm = observed.vms.get(placement.instance)
        if vm is None or vm.phase is VmPhase.GONE:
            found.append(placement.instance)
    return (PlacementsReleased(tuple(found)),) if found else ()


def _usable(snapshot: Snapshot, observations: Observations, *, now_ms: int, lost_after_ms: int) -> frozenset[str]:
    """Workers that may take new instances: heard of lately, or connected and not yet heard of."""
    return frozenset(
        worker_id
        for worker_id in snapshot.workers
        if (worker_id in observations.workers or worker_id in observations.connected)
        and observations.silent_ms(worker_id, now_ms=now_ms) <= lost_after_ms
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
    old -= {placement.generation for placement in snapshot.placements.values()}
    return (GenerationsForgotten(tuple(sorted(old))),) if old else ()
