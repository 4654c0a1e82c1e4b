"""Choose a worker for each instance that has none; it moves nothing that has one.

Deterministic: the same snapshot and candidates give the same answer in whatever order they come. The larger instance
goes first; each goes where the fewest instances of its VM are, then where the least memory stays free, then by name.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from control_plane.scheduler.capacity import Room
from control_plane.state import NOWHERE, Missing, Placement, PlacementReason, ReasonCode, Resources, Snapshot, natural
from schema.blueprint import LabelExpression, Operator
from schema.vmspec import VmSpec


def place(
    snapshot: Snapshot, wanting: Iterable[Placement], *, rooms: Mapping[str, Room], usable: Collection[str]
) -> tuple[Placement, ...]:
    """Each of `wanting` with a worker and an address, or with the refusal. `usable`: workers that may take new ones.

    `rooms` is written to.
    """
    sized = [(Resources.of(_spec(snapshot, one)), one) for one in wanting]
    sized.sort(key=lambda pair: (-pair[0].memory_mb, -pair[0].cpu, natural(pair[1].instance)))
    return tuple(_place_one(snapshot, one, needed, rooms=rooms, usable=usable) for needed, one in sized)


def refusals(
    snapshot: Snapshot, one: Placement, needed: Resources, *, rooms: Mapping[str, Room], usable: Collection[str]
) -> tuple[list[Room], tuple[Missing, ...]]:
    """The rooms that `one` fits into, and what lacked in the others."""
    spec = _spec(snapshot, one)
    bound = snapshot.volume_bindings.get(one.instance) if spec.volumes else None
    if bound is not None and bound not in rooms:
        return [], (Missing(bound, "holds its volume, so it cannot go elsewhere"),)
    fitting: list[Room] = []
    missing: list[Missing] = []
    for room in rooms.values():
        lacks = _lacks(spec, needed, room, bound=bound, usable=usable)
        missing += lacks
        if not lacks:
            fitting.append(room)
    return fitting, tuple(missing)


def _place_one(
    snapshot: Snapshot, one: Placement, needed: Resources, *, rooms: Mapping[str, Room], usable: Collection[str]
) -> Placement:
    fitting, missing = refusals(snapshot, one, needed, rooms=rooms, usable=usable)
    if not fitting:
        text = "no worker has room for it" if rooms else "there is no worker yet"
        return replace(one, worker_id=NOWHERE, address="", reason=PlacementReason(ReasonCode.REFUSED, text, missing))
    best = min(fitting, key=lambda room: (room.instances.get(one.vm, 0), room.memory_mb, room.worker.worker_id))
    worker_id = best.worker.worker_id
    reason = _why(snapshot, one, best, candidates=len(fitting), of=len(rooms))
    best.take(needed)
    return replace(one, worker_id=worker_id, address=best.take_address(one.vm), reserved=needed, reason=reason)


def _why(snapshot: Snapshot, one: Placement, best: Room, *, candidates: int, of: int) -> PlacementReason:
    worker_id = best.worker.worker_id
    if _spec(snapshot, one).volumes and one.instance in snapshot.volume_bindings:
        return PlacementReason(ReasonCode.VOLUME, f"volume on {worker_id}")
    others = best.instances.get(one.vm, 0)
    text = f"fits on {candidates} of {of} workers; {worker_id} has {others} of {one.vm} and the least memory left"
    return PlacementReason(ReasonCode.PLACED, text)


def _lacks(
    spec: VmSpec, needed: Resources, room: Room, *, bound: str | None, usable: Collection[str]
) -> tuple[Missing, ...]:
    worker_id = room.worker.worker_id
    if bound not in (None, worker_id):
        return (Missing(worker_id, f"volume on {bound}"),)
    if worker_id not in usable:
        return (Missing(worker_id, "not heard of"),)
    labels = room.worker.facts.labels
    unmet = [expression for expression in spec.placement.require if not satisfies(labels, expression)]
    if unmet:
        return tuple(Missing(worker_id, f"label {_words(expression)}") for expression in unmet)
    return room.missing(needed)


def satisfies(labels: Mapping[str, str], expression: LabelExpression) -> bool:
    """Whether a worker with `labels` fits. A missing label is in nothing, so `notIn` holds for it."""
    value = labels.get(expression.key)
    match expression.operator:
        case Operator.EXISTS:
            return value is not None
        case Operator.IN:
            return value in expression.values
        case Operator.NOT_IN:
            return value not in expression.values


def _words(expression: LabelExpression) -> str:
    return " ".join((expression.key, expression.operator.value, ", ".join(expression.values))).strip()


def _spec(snapshot: Snapshot, placement: Placement) -> VmSpec:
    return snapshot.generations[placement.generation].instances[placement.instance].value
