"""Make room for an instance by what is worth less: which worker, and who must leave it; it places nothing.

Room that is already being left is counted first, so that asking again while it is emptied asks nobody else to leave.
Only instances of lower priority leave, only where that is enough, and no more of them than needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from control_plane.index import index_of
from control_plane.scheduler.capacity import Ledger
from control_plane.scheduler.demand import Demand, keeps_volume, priority_of, traits_of
from control_plane.scheduler.fleet import DISK_ROW, Amounts, Mask
from control_plane.state import Placement, PlacementReason, ReasonCode, Snapshot

MOST_COMPARED = 64
"""Workers whose victims are worked out one by one, of those where the least important would do."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """A worker on which there will be room, and who is told to leave it now for that."""

    position: int
    leaving: tuple[Placement, ...] = ()


class Coming:
    """The room that comes free in the course of a decision, and for whom it is kept."""

    def __init__(self, snapshot: Snapshot, ledger: Ledger, changed: Mapping[str, Placement]) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._changed = changed
        self._rows: Amounts | None = None
        self._gone: set[str] = set()
        self._by_priority: dict[int, Amounts] | None = None

    def room_for(self, demand: Demand, permitted: Mask) -> Clearing | None:
        """Where among `permitted` there will be room, which is then kept; None when there is no way to it."""
        if demand.unknown or not permitted.any():
            return None
        fitting = np.flatnonzero(permitted & _fits(self._ledger.free + self._leaving(), demand))
        if len(fitting):
            return self._kept(demand, Clearing(int(fitting[0])))
        found = self._cheapest(demand, permitted)
        return None if found is None else self._kept(demand, found)

    def _leaving(self) -> Amounts:
        """What those give back who leave already."""
        if self._rows is None:
            self._rows = np.zeros_like(self._ledger.free)
            for placement in ({**index_of(self._snapshot).leaving, **self._changed}).values():
                if placement.leaving:
                    self._give(placement)
        return self._rows

    def _give(self, placement: Placement) -> None:
        position = self._ledger.fleet.position.get(placement.worker_id)
        if position is not None and self._rows is not None:
            self._rows[:, position] += self._amounts(placement)

    def _kept(self, demand: Demand, clearing: Clearing) -> Clearing:
        """Keep the room: what is coming goes first, and what is free now makes up for the rest of it."""
        for placement in clearing.leaving:
            self._give(placement)
            self._gone.add(placement.instance)
            self._subtract(placement)
        coming = self._leaving()[:, clearing.position]
        amounts = np.array(demand.amounts, dtype=np.int64)
        from_free = np.maximum(amounts - coming, 0)
        coming -= amounts - from_free
        self._ledger.take(clearing.position, from_free.tolist())
        return clearing

    def _cheapest(self, demand: Demand, permitted: Mask) -> Clearing | None:
        """By the lowest priorities that are enough anywhere."""
        room = self._ledger.free + self._leaving()
        for priority, rows in sorted(self._levels(demand.priority).items()):
            if priority >= demand.priority:
                break
            room = room + rows
            fitting = np.flatnonzero(permitted & _fits(room, demand))[:MOST_COMPARED]
            found = [one for position in fitting if (one := self._cleared(demand, int(position))) is not None]
            if found:
                return min(found, key=self._cost)
        return None

    def _cleared(self, demand: Demand, position: int) -> Clearing | None:
        victims = self._victims(demand, position)
        return Clearing(position, tuple(self._told(demand, one) for one in victims)) if victims else None

    def _cost(self, clearing: Clearing) -> tuple[int, ...]:
        """The most important who must leave, then kept volumes, then how many, then all their priorities."""
        priorities = [priority_of(self._snapshot, one) for one in clearing.leaving]
        kept = sum(map(self._keeps, clearing.leaving))
        return (max(priorities), kept, len(priorities), sum(priorities), clearing.position)

    def _levels(self, below: int) -> dict[int, Amounts]:
        """What the instances of each priority hold on each worker; nothing where none is low enough to matter."""
        if self._by_priority is None:
            index = index_of(self._snapshot)
            lowest = [traits.lowest for number in index.counts if (traits := traits_of(self._snapshot, number))]
            if min(lowest, default=below) >= below:
                return {}
            self._by_priority = {}
            for name, position in self._ledger.fleet.position.items():
                for placement in index.on.get(name, {}).values():
                    if self._may_leave(placement):
                        rows = self._level(priority_of(self._snapshot, placement))
                        rows[:, position] += self._amounts(placement)
        return self._by_priority

    def _level(self, priority: int) -> Amounts:
        if self._by_priority is None:
            self._by_priority = {}
        return self._by_priority.setdefault(priority, np.zeros_like(self._ledger.free))

    def _subtract(self, victim: Placement) -> None:
        position = self._ledger.fleet.position[victim.worker_id]
        rows = self._level(priority_of(self._snapshot, replace(victim, leaving=False)))
        rows[:, position] -= self._amounts(victim)

    def _victims(self, demand: Demand, position: int) -> list[Placement]:
        """Who must leave: the least important first until there is room, then whoever is not needed after all stays."""
        room = self._ledger.free[:, position] + self._leaving()[:, position]
        chosen: list[Placement] = []
        for one in self._lower(demand, position):
            chosen.append(one)
            room = room + self._amounts(one)
            if _fits(room, demand):
                break
        else:
            return []
        for one in reversed(chosen[:-1]):
            if _fits(room - self._amounts(one), demand):
                room = room - self._amounts(one)
                chosen.remove(one)
        return chosen

    def _lower(self, demand: Demand, position: int) -> Iterator[Placement]:
        """Who is worth less. Not those whom it goes beside: it could not be there without them."""
        there = index_of(self._snapshot).on.get(self._ledger.fleet.name(position), {})
        needed = {demand.vm, *demand.policy.affinity}
        lower = [
            (priority, self._keeps(one), -one.reserved.memory_mb, -one.reserved.cpu, one.instance, one)
            for one in there.values()
            if self._may_leave(one) and one.vm not in needed
            if (priority := priority_of(self._snapshot, one)) < demand.priority
        ]
        return (row[-1] for row in sorted(lower, key=lambda row: row[:-1]))

    def _amounts(self, placement: Placement) -> Amounts:
        """What its worker has more of once it is gone: not the disk of its volumes, which stay."""
        amounts = np.array(self._ledger.fleet.amounts(placement.reserved), dtype=np.int64)
        if placement.instance in self._snapshot.volume_bindings:
            amounts[DISK_ROW] = 0
        return amounts

    def _may_leave(self, placement: Placement) -> bool:
        """What is given another target in this same decision is left alone for now."""
        return (
            placement.is_assigned and placement.instance not in self._gone and placement.instance not in self._changed
        )

    def _keeps(self, placement: Placement) -> bool:
        spec = self._snapshot.wanted_spec(placement.instance)
        return bool(spec and keeps_volume(spec.value))

    def _told(self, demand: Demand, victim: Placement) -> Placement:
        text = f"makes room on {victim.worker_id} for {demand.vm}, whose priority is {demand.priority}"
        bound = f"volume on {victim.worker_id}; " if self._keeps(victim) else ""
        return replace(victim, leaving=True, reason=PlacementReason(ReasonCode.PREEMPTED, bound + text))


def _fits(room: Amounts, demand: Demand) -> Mask:
    """Whether `demand` fits into `room`: rows by workers, or one worker's rows."""
    found: Mask = np.ones(room.shape[1:], dtype=np.bool_)
    for row, amount in enumerate(demand.amounts):
        if amount:
            found = found & (room[row] >= amount)
    return found
