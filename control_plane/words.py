"""The four words for people, each with an honest reason (DESIGN §6), from a snapshot and its VMs; no decisions."""

from collections.abc import Sequence

from control_plane.rollout.look import first_of
from control_plane.rollout.pins import pinned_goal
from control_plane.rollout.waves import holdup, unfinished
from control_plane.state import NOTHING, Rollout, Snapshot
from schema.status import Convergence, RolloutState, VmStatus

NAMED = 3
"""VMs that a reason names at most."""


def convergence(snapshot: Snapshot, vms: Sequence[VmStatus], *, wall_ms: int) -> tuple[Convergence, str]:
    """One of the four words with its reason. `vms` are the statuses of the snapshot's placements."""
    rollout = snapshot.rollout
    if rollout is None:
        return Convergence.CONVERGED, "nothing has been published yet"
    held = _held(snapshot)
    if rollout.state.is_outcome:
        return _of_ended(snapshot, rollout, vms, held=held)
    return Convergence.PROGRESSING, _also(_going_on(rollout, vms, wall_ms=wall_ms), held)


def _going_on(rollout: Rollout, vms: Sequence[VmStatus], *, wall_ms: int) -> str:
    name = f"generation {rollout.generation}"
    match rollout.state:
        case RolloutState.PAUSED:
            return f"the rollout of {name} is paused{_by(rollout)}"
        case RolloutState.ROLLING_BACK:
            return f"{name} is being rolled back: {rollout.reason}"
        case _:
            return _running(rollout, vms, wall_ms=wall_ms)


def _running(rollout: Rollout, vms: Sequence[VmStatus], *, wall_ms: int) -> str:
    index, of = unfinished(rollout), len(rollout.waves)
    text = f"generation {rollout.generation} is being rolled out"
    waiting = _waiting(vms)
    if index is not None and rollout.waves[index].opened_ms is None:
        held_up = holdup(rollout, index, wall_ms=wall_ms)
        waiting = held_up.reason if held_up else waiting
    elif index is not None and of > 1:
        text += f", wave {index + 1} of {of}"
    failed = f"failed within maxFailures: {first_of(rollout.failed)}" if rollout.failed else ""
    return _also(text + (f": {waiting}" if waiting else ""), failed)


def _of_ended(snapshot: Snapshot, rollout: Rollout, vms: Sequence[VmStatus], *, held: str) -> tuple[Convergence, str]:
    name = f"generation {rollout.generation}"
    match rollout.state:
        case RolloutState.SUCCEEDED if rollout.failed:
            return Convergence.FAILED, _also(rollout.reason, held)
        case RolloutState.ABORTED if held and not rollout.changes_anything:
            return _of_held(snapshot, vms, held=held)
        case RolloutState.SUCCEEDED if held:
            return _of_held(snapshot, vms, held=held)
        case RolloutState.SUCCEEDED:
            waiting = _waiting(vms)
            if waiting:
                return Convergence.PROGRESSING, f"{name} was rolled out, but {waiting}"
            return Convergence.CONVERGED, f"{len(vms)} of {len(vms)} VMs are healthy on {name}"
        case RolloutState.ROLLED_BACK:
            return Convergence.FAILED, _also(f"{name} was rolled back: {rollout.reason}", held)
        case RolloutState.ABORTED:
            return Convergence.FAILED, _also(f"{name} was aborted{_by(rollout)}", held)
        case outcome:
            return Convergence.FAILED, _also(f"{name} {outcome.value.replace('-', ' ')}: {rollout.reason}", held)


def _of_held(snapshot: Snapshot, vms: Sequence[VmStatus], *, held: str) -> tuple[Convergence, str]:
    """Held is where the VMs are; until they are there and well, it is on its way."""
    waiting = _behind(snapshot) or _waiting(vms)
    return (Convergence.PROGRESSING, _also(held, waiting)) if waiting else (Convergence.HELD, held)


def _held(snapshot: Snapshot) -> str:
    """Which VMs are held where, by whom and why."""
    found = []
    for hold in sorted(snapshot.holds.values(), key=lambda one: (one.created_at_ms, one.id)):
        why = f": {hold.reason}" if hold.reason else ""
        verb = "is" if len(hold.vms) == 1 else "are"
        found.append(f"{_some(hold.vms)} {verb} held at generation {hold.generation} by {hold.actor or 'someone'}{why}")
    return "; ".join(found)


def _behind(snapshot: Snapshot) -> str:
    """Held VMs that are not on their way to where they belong yet: they wait for others, or do not fit."""
    goal = pinned_goal(snapshot)
    behind = [name for name, number in goal.items() if snapshot.wanted(name) != number]
    if not behind:
        return ""
    stay = [name for name in behind if goal[name] == NOTHING]
    return f"{_some(behind)} not there yet" if not stay else f"{_some(behind)} not there yet or not gone yet"


def _waiting(vms: Sequence[VmStatus]) -> str:
    """Who is not healthy and why: the first three."""
    found = [f"{vm.instance}: {vm.reason}" for vm in vms if not vm.healthy]
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return "; ".join(found[:NAMED]) + more


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _by(rollout: Rollout) -> str:
    who = f" by {rollout.actor}" if rollout.actor else ""
    return who + (f": {rollout.reason}" if rollout.reason else "")


def _also(text: str, more: str) -> str:
    return f"{text}; {more}" if more else text
