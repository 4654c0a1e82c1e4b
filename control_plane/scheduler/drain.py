"""Who leaves a worker that drains, or that no longer has the labels which are required; it places nobody.

Disruption is bounded: at most `most` at a time, and of one VM only while all its other instances are healthy. What can
go elsewhere leaves when there is room for it elsewhere now. What is bound by a kept volume leaves too, so that the
worker gets empty, and waits unplaced until its worker takes it back.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from control_plane.index import index_of
from control_plane.scheduler.constraints import labelled
from control_plane.scheduler.demand import traits_of
from control_plane.scheduler.place import Decision
from control_plane.state import NOTHING, Placement, PlacementReason, ReasonCode, Snapshot, natural

Healthy = Callable[[Placement], bool]


def moves(decision: Decision, *, is_healthy: Healthy, most: int) -> tuple[Placement, ...]:
    """The placements of those that begin to leave now. The decision's ledger is written to."""
    snapshot = decision.snapshot
    room = most - _moving(snapshot)
    found: list[Placement] = []
    begun: set[str] = set()
    for one, code, why in _candidates(decision):
        if len(found) >= room:
            break
        if one.vm not in begun and _may_go(snapshot, one, is_healthy) and _has_place(decision, one, code):
            begun.add(one.vm)
            found.append(replace(one, leaving=True, reason=PlacementReason(code, why)))
    return tuple(found)


def _moving(snapshot: Snapshot) -> int:
    """How many have left for this and are not yet somewhere else, apart from those that cannot be."""
    index = index_of(snapshot)
    away = (*index.leaving.values(), *index.unplaced.values())
    return sum(one.reason.code in (ReasonCode.DRAINED, ReasonCode.MISPLACED) for one in away)


def _candidates(decision: Decision) -> Iterator[tuple[Placement, ReasonCode, str]]:
    there = index_of(decision.snapshot).on
    for position in decision.standings.sheds:
        worker_id = decision.fleet.name(position)
        words = decision.standings.words(position)
        for one in sorted(there.get(worker_id, {}).values(), key=lambda one: natural(one.instance)):
            if _is_placed(decision.snapshot, one):
                volume = f"volume on {worker_id}; " if decision.demands.of(one).keeps_volume else ""
                yield one, ReasonCode.DRAINED, f"{volume}{worker_id} is {words}"
    yield from _misplaced(decision)


def _misplaced(decision: Decision) -> Iterator[tuple[Placement, ReasonCode, str]]:
    index = index_of(decision.snapshot)
    for number in sorted(index.counts):
        traits = traits_of(decision.snapshot, number)
        for vm in traits.required if traits else ():
            for one in sorted(index.of_vm.get(vm, {}).values(), key=lambda one: natural(one.instance)):
                position = decision.fleet.position.get(one.worker_id)
                if one.generation != number or position is None or not _is_placed(decision.snapshot, one):
                    continue
                demand = decision.demands.of(one)
                if not labelled(decision.fleet, demand)[position] and not demand.keeps_volume:
                    yield one, ReasonCode.MISPLACED, f"{one.worker_id} no longer has the labels that {vm} requires"


def _is_placed(snapshot: Snapshot, one: Placement) -> bool:
    return one.is_assigned and one.generation != NOTHING and snapshot.spec(one.instance, one.generation) is not None


def _may_go(snapshot: Snapshot, one: Placement, is_healthy: Healthy) -> bool:
    """Whether the VM can do without it: it is not healthy anyway, or all the others are."""
    if not is_healthy(one):
        return True
    others = index_of(snapshot).of_vm.get(one.vm, {}).values()
    return all(
        other.is_assigned and is_healthy(other)
        for other in others
        if other.instance != one.instance and other.generation != NOTHING
    )


def _has_place(decision: Decision, one: Placement, code: ReasonCode) -> bool:
    """Whether there is room elsewhere, which is then taken for this decision; what its worker keeps needs none."""
    demand = decision.demands.of(one)
    if demand.keeps_volume and code is ReasonCode.DRAINED:
        return True
    position = decision.fleet.position[one.worker_id]
    elsewhere = np.flatnonzero(decision.elsewhere(demand, than=position))
    if not len(elsewhere):
        return False
    decision.ledger.take(int(elsewhere[0]), demand.amounts)
    return True
