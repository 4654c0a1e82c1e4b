"""Set an instance that may already run somewhere to another generation: in place, by a move, or not at all."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from control_plane.scheduler.capacity import Room
from control_plane.scheduler.place import refusals
from control_plane.state import (
    NOTHING,
    NOWHERE,
    Placement,
    PlacementReason,
    ReasonCode,
    Resources,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """The instance is left as it is, because the new one would fit nowhere."""

    instance: str
    reason: PlacementReason


def retarget(
    snapshot: Snapshot, instance: str, generation: int, *, rooms: Mapping[str, Room], usable: Collection[str]
) -> Placement | Blocked:
    """The placement of `instance` for `generation`; unplaced where it had none. `rooms` is written to.

    An instance stays on its worker when the new one fits there; room for the old one stays reserved beside it until
    the rollout is over. Otherwise it leaves first, and is placed anew when its worker reports it gone.
    """
    now = snapshot.placements.get(instance)
    if now is None or now.worker_id == NOWHERE:
        return replace(now or Placement(instance, generation), generation=generation)
    room = rooms[now.worker_id]
    needed = Resources.of(snapshot.generations[generation].instances[instance].value)
    both = needed.at_least(now.reserved)
    lacks = room.missing(both, held=now.reserved, address=False)
    if not lacks:
        room.take(both, held=now.reserved)
        why = now.reason if not now.leaving else PlacementReason(ReasonCode.KEPT, f"comes back on {now.worker_id}")
        return replace(now, generation=generation, reserved=both, leaving=False, reason=why)
    moved = replace(now, generation=generation, leaving=True)
    elsewhere = {worker_id: other for worker_id, other in rooms.items() if worker_id != now.worker_id}
    fitting, missing = refusals(snapshot, moved, needed, rooms=elsewhere, usable=usable)
    if not fitting and not now.leaving:
        return Blocked(instance, PlacementReason(ReasonCode.REFUSED, "no worker has room for it", (*lacks, *missing)))
    why = PlacementReason(ReasonCode.MOVING, f"no longer fits on {now.worker_id}", lacks)
    return replace(moved, reason=why)


def withdraw(now: Placement) -> Placement:
    """The placement of an instance that shall go away; what it reserves stays until its worker reports it gone."""
    why = PlacementReason(ReasonCode.REMOVED, "no longer wanted")
    return replace(now, generation=NOTHING, leaving=True, reason=why)
