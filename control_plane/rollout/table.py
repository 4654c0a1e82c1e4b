"""The states of a rollout and what moves it from one to the next, as a table; it decides nothing about when.

A rollout begins RUNNING. While it runs, wave after wave of instances is set to its generation; a wave that waits for
its delay or for approval is still RUNNING. It ends when all are healthy and what the generation dropped is gone, or it
turns around once and walks back to the last good ones. It never turns twice: a walk back that fails is `failed`. While
it is PAUSED nothing begins, and what an operator resumes goes on where it stood. A walk back cannot be paused, only
aborted: aborting ends a rollout where it is. A newer generation ends it at any moment as `superseded` and goes on from
where it stood. The five outcomes have no way out; lifting a hold begins a rollout of the same generation anew.
"""

from enum import StrEnum

from schema.errors import Conflict
from schema.status import RolloutState


class Signal(StrEnum):
    """What can happen to a rollout."""

    COMPLETED = "all healthy, the dropped ones gone"
    UNHEALTHY = "more than maxFailures did not get healthy"
    UNHEALTHY_STAYS = "more than maxFailures did not, one has autoRollback = false"
    PAUSED = "an operator pauses it"
    RESUMED = "an operator resumes it"
    RESTORED = "all that it changed is back and healthy"
    NOT_RESTORED = "something did not get healthy again"
    ABORTED = "an operator aborts it, or holds all that it changes"
    SUPERSEDED = "a newer generation"


FIRST = RolloutState.RUNNING

TRANSITIONS: dict[tuple[RolloutState, Signal], RolloutState] = {
    (RolloutState.RUNNING, Signal.COMPLETED): RolloutState.SUCCEEDED,
    (RolloutState.RUNNING, Signal.UNHEALTHY): RolloutState.ROLLING_BACK,
    (RolloutState.RUNNING, Signal.UNHEALTHY_STAYS): RolloutState.PAUSED,
    (RolloutState.RUNNING, Signal.PAUSED): RolloutState.PAUSED,
    (RolloutState.RUNNING, Signal.ABORTED): RolloutState.ABORTED,
    (RolloutState.RUNNING, Signal.SUPERSEDED): RolloutState.SUPERSEDED,
    (RolloutState.PAUSED, Signal.RESUMED): RolloutState.RUNNING,
    (RolloutState.PAUSED, Signal.ABORTED): RolloutState.ABORTED,
    (RolloutState.PAUSED, Signal.SUPERSEDED): RolloutState.SUPERSEDED,
    (RolloutState.ROLLING_BACK, Signal.RESTORED): RolloutState.ROLLED_BACK,
    (RolloutState.ROLLING_BACK, Signal.NOT_RESTORED): RolloutState.FAILED,
    (RolloutState.ROLLING_BACK, Signal.ABORTED): RolloutState.ABORTED,
    (RolloutState.ROLLING_BACK, Signal.SUPERSEDED): RolloutState.SUPERSEDED,
}


def after(state: RolloutState, signal: Signal) -> RolloutState:
    """The next state. Raises Conflict where the table has none: the caller decided on an old state."""
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise Conflict(f"a rollout that is {state} cannot take: {signal}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram, which the package README shows."""
    lines = ["stateDiagram-v2", f"    [*] --> {_node(FIRST)}"]
    lines += [f"    {_node(old)} --> {_node(new)}: {signal}" for (old, signal), new in TRANSITIONS.items()]
    lines += [f"    {_node(state)} --> [*]" for state in RolloutState if state in TRANSITIONS.values() and _ends(state)]
    return "\n".join(lines)


def _ends(state: RolloutState) -> bool:
    return all(old is not state for old, _ in TRANSITIONS)


def _node(state: RolloutState) -> str:
    return state.value.replace("-", "_")
