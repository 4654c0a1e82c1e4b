"""One change of placements: set targets, place what is nowhere, make room, empty what drains; it applies nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from control_plane.events import PlacementsChanged, PlacementsReleased, StateEvent
from control_plane.index import index_of
from control_plane.scheduler.availability import Availabilities
from control_plane.scheduler.capacity import ledger
from control_plane.scheduler.drain import Healthy, moves
from control_plane.scheduler.fleet import DEFAULT_OVERCOMMIT, Overcommit
from control_plane.scheduler.place import Decision
from control_plane.scheduler.retarget import Blocked, retarget, withdraw
from control_plane.state import NOTHING, NOWHERE, Placement, Resources, Snapshot


def _nobody(_placement: Placement) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a settlement depends on beside the snapshot.

    `workers`: who may take instances; `most_moving`: how many may be leaving a draining worker, or one without their
    required labels, at the same time; `is_healthy` says who is, so that a VM loses one instance at a time.
    """

    workers: Availabilities = field(default_factory=dict)
    overcommit: Overcommit = DEFAULT_OVERCOMMIT
    most_moving: int = 8
    is_healthy: Healthy = _nobody


def settle(
    snapshot: Snapshot, targets: Mapping[str, int] = MappingProxyType({}), *, under: Conditions
) -> tuple[tuple[StateEvent, ...], tuple[Blocked, ...]]:
    """Set `targets`, and place them and all else that is not placed, as one change; and what could not be set."""
    changed: dict[str, Placement] = {}
    dropped: list[str] = []
    blocked: list[Blocked] = []
    waiting = dict(index_of(snapshot).unplaced)
    decision = Decision(snapshot, ledger(snapshot, under.overcommit), under.workers, changed=changed)
    in_place = _InPlace(decision)
    for instance, number in targets.items():
        after = in_place.of(instance, number) or _retargeted(decision, instance, number)
        if isinstance(after, Blocked):
            blocked.append(after)
        elif after.worker_id == NOWHERE and number != NOTHING:
            waiting[instance] = after
        else:
            changed[instance] = after
            if after.worker_id == NOWHERE:
                waiting.pop(instance, None)
                dropped.append(instance)
    for one in decision.place(waiting.values()) if waiting else ():
        changed[one.instance] = one
    for one in moves(decision, is_healthy=under.is_healthy, most=under.most_moving):
        changed.setdefault(one.instance, one)
    return _as_events(snapshot, changed, dropped), tuple(blocked)


def _as_events(snapshot: Snapshot, changed: Mapping[str, Placement], dropped: Sequence[str]) -> tuple[StateEvent, ...]:
    news = []
    for instance, placement in changed.items():
        old = snapshot.placements.get(instance)
        if old is None or old.generation != placement.generation or placement != old:
            news.append(placement)
    events: tuple[StateEvent, ...] = (PlacementsChanged(tuple(news)),) if news else ()
    return (*events, PlacementsReleased(tuple(dropped))) if dropped else events


def _retargeted(decision: Decision, instance: str, number: int) -> Placement | Blocked:
    if number == NOTHING:
        return withdraw(decision.snapshot.placements[instance])
    return retarget(decision, instance, number)


class _InPlace:
    """What takes on its worker what it has already, and only changes its generation: most of a fleet at each publish.

    It is `retarget`'s first rule, asked of a VM's replicas at once.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self._placements = decision.snapshot.placements
        self._demands: dict[tuple[str, int], Resources | None] = {}

    def of(self, instance: str, number: int) -> Placement | None:
        """The placement under the other number; None where there is more to decide."""
        now = self._placements.get(instance)
        if now is None or now.leaving or now.worker_id not in self._decision.fleet.position or number == NOTHING:
            return None
        key = (now.vm, number)
        if key not in self._demands:
            demand = self._decision.demands.of(replace(now, generation=number))
            self._demands[key] = None if demand.unknown else demand.resources
        demanded = self._demands[key]
        if demanded is not now.reserved and demanded != now.reserved:
            return None
        return Placement(
            instance,
            number,
            now.worker_id,
            now.address,
            now.reserved,
            revision=now.revision,
            reason=now.reason,
            attempt=now.attempt,
        )
