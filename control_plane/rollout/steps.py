"""The next step of the newest rollout: who is set to which generation now, and what signal it takes; it stores nothing.

Level-triggered: everything is derived from the snapshot and the observations, so that a step that was written and not
seen to its end is simply gone on with. Forward (`forward.py`): wave after wave; in each, all that is new or changed in
live fields only at once, the changed ones in the order of their dependencies, at most `maxParallel` not healthy at a
time; then the removals. Back (`back.py`): the goal is the map of last good generations, and of holds.
"""

from collections.abc import Mapping

from control_plane.observations import Observations
from control_plane.rollout.back import back, pinning
from control_plane.rollout.forward import failed, forward, paused
from control_plane.rollout.look import Look, Step, first_of
from control_plane.rollout.table import Signal
from control_plane.state import Snapshot
from schema.status import RolloutState


def look_at(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, wall_ms: int, lost_after_ms: int
) -> Look | None:
    """A look at the newest generation and its rollout; None before the first publish."""
    rollout, generation = snapshot.rollout, snapshot.newest
    if rollout is None or generation is None:
        return None
    return Look(snapshot, observations, generation, rollout, now_ms, wall_ms, lost_after_ms)


def next_step(look: Look) -> Step:
    """What the newest rollout does now; an empty step when it is over, paused or waiting."""
    match look.rollout.state:
        case RolloutState.RUNNING:
            return forward(look)
        case RolloutState.PAUSED:
            return paused(look)
        case RolloutState.ROLLING_BACK:
            return back(look)
        case _:
            return Step()


def pinning_step(look: Look) -> Step:
    """What holds ask for now. A rollout that goes back brings held VMs to their place itself."""
    if not look.snapshot.holds or look.rollout.state is RolloutState.ROLLING_BACK:
        return Step()
    return pinning(look)


def blocked_step(look: Look, refused: Mapping[str, str]) -> Step:
    """The step when `refused` instances (with reasons) fit nowhere: what runs is left alone, they have failed."""
    match look.rollout.state:
        case RolloutState.RUNNING:
            fresh = {instance: why for instance, why in refused.items() if instance not in look.rollout.failed}
            return failed(look, fresh) if fresh else Step()
        case RolloutState.ROLLING_BACK:
            return Step(signal=Signal.NOT_RESTORED, reason=f"{look.rollout.reason}; {first_of(refused)}")
        case _:
            return Step()
