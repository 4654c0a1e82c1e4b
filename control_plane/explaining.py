"""Why an instance is where it is, with the workers as they stand now, in the words of the wire; it decides nothing."""

from control_plane.liveness.standing import standings
from control_plane.observations import Observations
from control_plane.plan import Limits
from control_plane.scheduler.explain import answer, explain
from control_plane.scheduler.fleet import Overcommit
from control_plane.state import Snapshot
from schema.operations import Explanation


def explanation(
    snapshot: Snapshot, observations: Observations, instance: str, *, now_ms: int, limits: Limits
) -> Explanation:
    """As Master.explain. `now_ms` is the clock of the observations. Raises NotFound."""
    found = explain(
        snapshot,
        instance,
        availability=standings(snapshot, observations, now_ms=now_ms, timing=limits),
        overcommit=Overcommit(limits.cpu_overcommit, limits.memory_overcommit),
    )
    return answer(found)
