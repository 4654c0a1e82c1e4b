"""Set an instance that may already run somewhere to another generation: in place, by a move, or not at all."""

from dataclasses import dataclass, replace

from control_plane.scheduler.demand import Demand
from control_plane.scheduler.lacking import lacks, missing
from control_plane.scheduler.place import Decision
from control_plane.state import (
    NOTHING,
    NOWHERE,
    Missing,
    Placement,
    PlacementReason,
    ReasonCode,
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """The instance is left as it is, because the new one would fit nowhere."""

    instance: str
    reason: PlacementReason


def retarget(decision: Decision, instance: str, generation: int) -> Placement | Blocked:
    """The placement of `instance` for `generation`; unplaced where it had none. The decision's ledger is written to.

    An instance stays on its worker when the new one fits there; room for the old one stays reserved beside it until
    the rollout is over. Otherwise it leaves first, and is placed anew when its worker reports it gone. What leaves to
    clear its worker goes on leaving.
    """
    now = decision.snapshot.placements.get(instance)
    if now is None:
        return Placement(instance, generation)
    if now.worker_id == NOWHERE:
        return replace(now, generation=generation)
    moved = replace(now, generation=generation, leaving=True)
    position = decision.fleet.position.get(now.worker_id)
    if position is None or (now.leaving and now.reason.code.clears_worker):
        return moved
    demand = decision.demands.of(moved)
    if demand.resources == now.reserved and not now.leaving and not demand.unknown:
        return replace(now, generation=generation)  # it takes what it has; most of a fleet is such at each publish
    lacking = _lacking_here(decision, now, demand, position)
    if not lacking:
        both = demand.resources.at_least(now.reserved)
        fleet = decision.fleet
        taken = zip(fleet.amounts(both), fleet.amounts(now.reserved), strict=True)
        decision.ledger.take(position, [more - held for more, held in taken])
        why = now.reason if not now.leaving else PlacementReason(ReasonCode.KEPT, f"comes back on {now.worker_id}")
        reserved = both if _may_go_back(decision) else demand.resources
        return replace(now, generation=generation, reserved=reserved, leaving=False, reason=why)
    nowhere = _nowhere_else(decision, moved, demand, position)
    if nowhere and not now.leaving:
        return Blocked(instance, PlacementReason(ReasonCode.REFUSED, "no worker has room for it", (*lacking, *nowhere)))
    return replace(moved, reason=PlacementReason(ReasonCode.MOVING, f"no longer fits on {now.worker_id}", lacking))


def _may_go_back(decision: Decision) -> bool:
    """Whether a rollout goes on; a hold moves VMs without one, and then nothing ends that would free the spare room."""
    rollout = decision.snapshot.rollout
    return rollout is not None and not rollout.state.is_outcome


def withdraw(now: Placement) -> Placement:
    """The placement of an instance that shall go away; what it reserves stays until its worker reports it gone."""
    why = PlacementReason(ReasonCode.REMOVED, "no longer wanted")
    return replace(now, generation=NOTHING, leaving=True, reason=why)


def _lacking_here(decision: Decision, now: Placement, demand: Demand, position: int) -> tuple[Missing, ...]:
    fleet = decision.fleet
    both = fleet.amounts(demand.resources.at_least(now.reserved), addresses=0)
    held = fleet.amounts(now.reserved, addresses=0)
    unknown = tuple(Missing(now.worker_id, name, amount, 0) for name, amount in demand.unknown)
    return (*decision.ledger.missing(position, both, held=held), *unknown)


def _nowhere_else(decision: Decision, moved: Placement, demand: Demand, position: int) -> tuple[Missing, ...]:
    """What it would lack on every other worker; nothing where one would take it."""
    bound = decision.bound(demand, moved)
    if bound is not None and demand.keeps_volume:
        return (Missing(bound, "holds its volume, so it cannot go elsewhere"),)
    if decision.elsewhere(demand, than=position).any():
        return ()
    found = missing(decision.ledger, lacks(decision.ledger, demand, decision.rules(demand)))
    others = tuple(one for one in found if one.worker_id != moved.worker_id or one.workers > 1)
    return others or (Missing(moved.worker_id, "is the only worker"),)
