"""Rollouts as people see them: their waves, what each waits for, what failed; it decides nothing."""

from control_plane.observations import Observations
from control_plane.rollout.clocks import healthy_for_ms
from control_plane.rollout.waves import holdup
from control_plane.state import Rollout, Snapshot, WaveProgress
from schema.operations import RolloutStatus, WaveState, WaveStatus
from schema.status import RolloutState


def rollout_status(
    snapshot: Snapshot, observations: Observations, rollout: Rollout, *, now_ms: int, wall_ms: int
) -> RolloutStatus:
    """One rollout now. How many of a wave are healthy is counted live for the newest, else as it was when it ended."""
    return RolloutStatus(
        generation=rollout.generation,
        state=rollout.state,
        reason=_reason(rollout),
        started_at_ms=rollout.started_ms,
        ended_at_ms=rollout.ended_ms,
        waves=tuple(
            _wave_status(snapshot, observations, rollout, index, now_ms=now_ms, wall_ms=wall_ms)
            for index in range(len(rollout.waves))
        ),
        failed=dict(rollout.failed),
    )


def list_rollouts(
    snapshot: Snapshot, observations: Observations, *, limit: int, before: int, now_ms: int, wall_ms: int
) -> tuple[RolloutStatus, ...]:
    """The newest first: at most `limit`, only numbers below `before` (0: all)."""
    numbers = sorted((number for number in snapshot.rollouts if not before or number < before), reverse=True)
    return tuple(
        rollout_status(snapshot, observations, snapshot.rollouts[number], now_ms=now_ms, wall_ms=wall_ms)
        for number in numbers[:limit]
    )


def _reason(rollout: Rollout) -> str:
    if rollout.actor and rollout.state in (RolloutState.PAUSED, RolloutState.ABORTED):
        return f"by {rollout.actor}" + (f": {rollout.reason}" if rollout.reason else "")
    return rollout.reason


def _wave_status(
    snapshot: Snapshot, observations: Observations, rollout: Rollout, index: int, *, now_ms: int, wall_ms: int
) -> WaveStatus:
    wave = rollout.waves[index]
    failed = sum(instance in rollout.failed for instance in wave.instances)
    return WaveStatus(
        number=index + 1,
        state=_state(rollout, wave),
        instances=wave.instances,
        healthy=_healthy(snapshot, observations, rollout, wave, now_ms=now_ms),
        failed=failed,
        gate=wave.gate.value,
        waits_for=_waits_for(rollout, index, wall_ms=wall_ms),
    )


def _state(rollout: Rollout, wave: WaveProgress) -> WaveState:
    if wave.finished_ms is None and (rollout.state.is_outcome or rollout.state is RolloutState.ROLLING_BACK):
        return WaveState.ABANDONED
    if wave.opened_ms is None:
        return WaveState.WAITING
    return WaveState.OPEN if wave.finished_ms is None else WaveState.DONE


def _waits_for(rollout: Rollout, index: int, *, wall_ms: int) -> str:
    if rollout.waves[index].opened_ms is not None or rollout.state.is_outcome:
        return ""
    if rollout.state is not RolloutState.RUNNING:
        return f"the rollout is {rollout.state}"
    found = holdup(rollout, index, wall_ms=wall_ms)
    return found.reason if found else ""


def _healthy(
    snapshot: Snapshot, observations: Observations, rollout: Rollout, wave: WaveProgress, *, now_ms: int
) -> int:
    if rollout is not snapshot.rollout:
        return len(wave.instances) - sum(name in rollout.failed for name in wave.instances) if wave.finished_ms else 0
    placements = (snapshot.placements.get(instance) for instance in wave.instances)
    mine = (one for one in placements if one is not None and one.generation == rollout.generation)
    return sum(healthy_for_ms(observations.clocks, one, now_ms=now_ms) is not None for one in mine)
