"""What operators ask of a rollout, decided on a snapshot: pause, resume, promote, abort; it stores nothing."""

from control_plane.audit import AuditDraft
from control_plane.rollout.changes import RolloutEvent, RolloutMoved, WavePromoted
from control_plane.rollout.table import Signal
from control_plane.rollout.waves import unfinished, waits_for_approval
from control_plane.state import Rollout, Snapshot
from schema.blueprint import Gate
from schema.errors import Conflict, InvalidInput, NotFound
from schema.interfaces import Identity
from schema.names import printable
from schema.status import RolloutState

MAX_REASON = 500
"""Characters of a reason."""


def decide_pause(
    snapshot: Snapshot, generation: int, *, actor: str, reason: str, wall_ms: int
) -> tuple[RolloutEvent, ...]:
    """Begin nothing more of it; nothing when it is paused already.

    Raises NotFound, InvalidInput, and Conflict when it has ended or goes back.
    """
    rollout = going_on(snapshot, generation)
    why = in_words(reason)
    if rollout.state is RolloutState.PAUSED:
        return ()
    if rollout.state is RolloutState.ROLLING_BACK:
        raise Conflict(
            f"generation {generation} is being rolled back, which cannot be paused; abort ends it where it is"
        )
    return (RolloutMoved(generation, Signal.PAUSED, why, actor=actor, at_ms=wall_ms),)


def decide_resume(snapshot: Snapshot, generation: int, *, wall_ms: int) -> tuple[RolloutEvent, ...]:
    """Go on, and give what had failed another try. Raises NotFound, and Conflict when it is not paused."""
    rollout = going_on(snapshot, generation)
    if rollout.state is not RolloutState.PAUSED:
        raise Conflict(f"the rollout of generation {generation} is {rollout.state}, not paused")
    return (RolloutMoved(generation, Signal.RESUMED, at_ms=wall_ms),)


def decide_promote(snapshot: Snapshot, generation: int, *, actor: str) -> tuple[RolloutEvent, ...]:
    """Open the wave that waits for approval, whatever is left of its delay. Raises NotFound, Conflict."""
    rollout = going_on(snapshot, generation)
    if rollout.state is not RolloutState.RUNNING:
        raise Conflict(f"the rollout of generation {generation} is {rollout.state}: no wave opens")
    index = waits_for_approval(rollout)
    if index is None:
        raise Conflict(f"no wave of generation {generation} waits for approval: {_whats_up(rollout)}")
    return (WavePromoted(generation, index, actor),)


def decide_abort(
    snapshot: Snapshot, generation: int, *, actor: str, reason: str, wall_ms: int
) -> tuple[RolloutEvent, ...]:
    """End it where it is. Raises NotFound, InvalidInput, and Conflict when it has ended."""
    going_on(snapshot, generation)
    why = in_words(reason) or "without a reason given"
    return (RolloutMoved(generation, Signal.ABORTED, why, actor=actor, at_ms=wall_ms),)


def going_on(snapshot: Snapshot, generation: int) -> Rollout:
    """The rollout of `generation`. Raises NotFound, and Conflict when it has ended."""
    rollout = snapshot.rollouts.get(generation)
    if rollout is None:
        newest = snapshot.newest
        there = f"the newest is {newest.number}" if newest else "nothing has been published yet"
        raise NotFound(f"there is no rollout of generation {generation}; {there}")
    if rollout.state.is_outcome:
        why = f": {rollout.reason}" if rollout.reason else ""
        raise Conflict(f"the rollout of generation {generation} has ended, {rollout.state}{why}")
    return rollout


def in_words(reason: str) -> str:
    """A reason as it is kept: without control characters. Raises InvalidInput when it is too long."""
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"a reason has at most {MAX_REASON} characters, and this has {len(reason)}")
    return " ".join(printable(reason).split())


def rollout_audit(before: Snapshot, after: Snapshot, *, identity: Identity, action: str, generation: int) -> AuditDraft:
    """What is written of an order about a rollout: where it was, and where it is."""
    old, new = (_state_of(snapshot, generation) for snapshot in (before, after))
    return AuditDraft.by(identity, action, subject=str(generation), old=old, new=new)


def _state_of(snapshot: Snapshot, generation: int) -> str:
    rollout = snapshot.rollouts.get(generation)
    if rollout is None:
        return ""
    approved = [str(index + 1) for index, wave in enumerate(rollout.waves) if wave.promoted_by]
    waves = f"; approved waves: {', '.join(approved)}" if approved else ""
    return rollout.state.value + (f": {rollout.reason}" if rollout.reason else "") + waves


def _whats_up(rollout: Rollout) -> str:
    index = unfinished(rollout)
    if index is None:
        return "all have finished"
    wave, name = rollout.waves[index], f"wave {index + 1} of {len(rollout.waves)}"
    if wave.opened_ms is not None:
        return f"{name} is open"
    return f"{name} is approved" if wave.gate is Gate.APPROVE else f"{name} opens by itself"
