"""What holds mean for a snapshot: where held instances belong, and what placing, lifting and outgrowing one changes.

A held VM belongs to its hold's generation as a whole: the instances that it has there, and no others. While the newest
generation brings another content for it than it was held against, that content is tried instead; a hold ends for the
VMs whose new content gets healthy in a rollout that succeeds, and draws the others back (decision 0053).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from control_plane.index import index_of
from control_plane.rollout.kinds import kinds_of, replaces
from control_plane.rollout.order import dependency_order
from control_plane.rollout.table import Signal, after
from control_plane.rollout.waves import joining_wave
from control_plane.state import (
    NOTHING,
    ChangeKind,
    Generation,
    HoldRecord,
    Rollout,
    Snapshot,
    WaveProgress,
    natural,
)
from schema.status import RolloutState


def pinned(snapshot: Snapshot) -> Mapping[str, HoldRecord]:
    """The VMs that are drawn to their hold's generation now: all held ones but those whose new content is tried."""
    newest, rollout = snapshot.newest, snapshot.rollout
    trying = rollout is not None and not rollout.state.is_outcome
    return {
        vm: hold
        for hold in snapshot.holds.values()
        for vm in hold.against
        if not (trying and newest and replaces(newest, vm, hold))
    }


def pinned_goal(snapshot: Snapshot) -> Mapping[str, int]:
    """Where each instance of the pinned VMs belongs; NOTHING where the hold's generation has no such instance."""
    if not snapshot.holds:
        return {}
    return _goal(snapshot, pinned(snapshot))


def homes(snapshot: Snapshot) -> Mapping[str, int]:
    """Where every instance goes back to: the generation it is held at, else its last good one. Without NOTHING."""
    held = {vm: hold for hold in snapshot.holds.values() for vm in hold.against}
    goal = {name: number for name, number in snapshot.last_good.items() if not held or _vm(name) not in held}
    goal |= _goal(snapshot, held)
    return {instance: number for instance, number in goal.items() if number != NOTHING}


def _goal(snapshot: Snapshot, held: Mapping[str, HoldRecord]) -> dict[str, int]:
    goal = {
        instance: hold.generation
        for vm, hold in held.items()
        for instance in snapshot.generations[hold.generation].vms[vm].value.instances
    }
    there = index_of(snapshot).of_vm
    for vm in held:
        for instance, placement in there.get(vm, {}).items():
            if placement.generation != NOTHING:
                goal.setdefault(instance, NOTHING)
    return goal


def _vm(instance: str) -> str:
    return instance.rpartition("-")[0]


def hold_placed(snapshot: Snapshot, hold: HoldRecord) -> Snapshot:
    """The snapshot with `hold` in force. A rollout goes on without its VMs; with nothing left to do it is aborted."""
    others = (_without(other, set(hold.against)) for other in snapshot.holds.values())
    snapshot = replace(snapshot, holds={**{other.id: other for other in others if other.against}, hold.id: hold})
    rollout = snapshot.rollout
    if rollout is None or rollout.state.is_outcome:
        return snapshot
    kinds = {
        instance: ChangeKind.HELD if _vm(instance) in hold.against else kind for instance, kind in rollout.kinds.items()
    }
    left = replace(
        rollout,
        kinds=kinds,
        waves=_waves_without(rollout, kinds),
        failed={instance: why for instance, why in rollout.failed.items() if _vm(instance) not in hold.against},
    )
    if rollout.state is not RolloutState.ROLLING_BACK and rollout.changes_anything and not left.changes_anything:
        why = f"all that it changes is held at generation {hold.generation}" + (
            f": {hold.reason}" if hold.reason else ""
        )
        left = replace(
            left,
            state=after(left.state, Signal.ABORTED),
            reason=why,
            actor=hold.actor,
            ended_ms=hold.created_at_ms,
        )
    return replace(snapshot, rollouts={**snapshot.rollouts, left.generation: left})


def _waves_without(rollout: Rollout, kinds: Mapping[str, ChangeKind]) -> tuple[WaveProgress, ...]:
    """The waves without what is held now; one that never opened and has nothing left is left out."""
    waves = (
        replace(wave, instances=tuple(name for name in wave.instances if kinds[name] is not ChangeKind.HELD))
        for wave in rollout.waves
    )
    return tuple(wave for wave in waves if wave.instances or wave.opened_ms is not None)


def lifted(snapshot: Snapshot, hold: HoldRecord) -> Snapshot:
    """The snapshot without `hold`."""
    return replace(snapshot, holds={name: kept for name, kept in snapshot.holds.items() if name != hold.id})


def joined(snapshot: Snapshot, generation: Generation, rollout: Rollout, hold: HoldRecord) -> Rollout:
    """A rollout on its way, with the VMs of a lifted `hold` as its last wave."""
    fresh = kinds_of(snapshot, generation)
    mine = {instance: kind for instance, kind in fresh.items() if _vm(instance) in hold.against}
    in_waves = {instance for wave in rollout.waves for instance in wave.instances}
    new = tuple(
        instance
        for instance in dependency_order(generation)
        if instance in mine and mine[instance].is_gated and instance not in in_waves
    )
    waves = (*rollout.waves, joining_wave(generation, new)) if new else rollout.waves
    return replace(rollout, kinds={**rollout.kinds, **mine}, waves=waves)


def proven(snapshot: Snapshot, rollout: Rollout) -> Snapshot:
    """The snapshot after `rollout` succeeded: what is last good now, and the holds that it made needless.

    What failed within the budget, and what is held, keeps what was its last good generation before.
    """
    number, kinds, failed = rollout.generation, rollout.kinds, rollout.failed
    instances = snapshot.generations[number].instances
    apart = {*failed, *(name for name, kind in kinds.items() if kind is ChangeKind.HELD)}
    good = {name: number for name in instances if name not in apart}
    good |= {name: snapshot.last_good[name] for name in sorted(apart, key=natural) if name in snapshot.last_good}
    outgrown = set(_tried(snapshot, rollout)) - {_vm(name) for name in apart}
    holds = (_without(hold, outgrown) for hold in snapshot.holds.values())
    return replace(snapshot, last_good=good, holds={hold.id: hold for hold in holds if hold.against})


def _tried(snapshot: Snapshot, rollout: Rollout) -> Iterator[str]:
    generation = snapshot.generations[rollout.generation]
    for hold in snapshot.holds.values():
        yield from (vm for vm in hold.against if replaces(generation, vm, hold))


def _without(hold: HoldRecord, vms: set[str]) -> HoldRecord:
    if vms.isdisjoint(hold.against):
        return hold
    return replace(hold, against={vm: content for vm, content in hold.against.items() if vm not in vms})
