"""How well an instance goes onto each worker that has room for it: the lower the better; it chooses none.

First come the labels that its VM prefers, then being apart from its other replicas, then leaving alone what has extras
that it does not want, then workers that are needed anyway, then packing. Packing (docs/decisions/0050):

- *filling*, when what is placed takes more than half of what those workers have free: where the instance's shape is
  most like what is left (the cosine of both vectors of cpu and memory), so that no worker runs out of one with much of
  the other left. After Panigrahy et al., "Heuristics for Vector Bin Packing" (2011), over a set of workers chosen by
  the lower bound.
- *fitting*, for a few instances onto many: where the least stays free, so that large holes stay large.
"""

import math
from collections.abc import Collection

import numpy as np

from control_plane.scheduler.capacity import Ledger
from control_plane.scheduler.constraints import labelled, unpreferred
from control_plane.scheduler.demand import Demand, Shape
from control_plane.scheduler.fleet import ADDRESS_ROW, BASIC, CPU_ROW, MEMORY_ROW, Amounts, Mask
from control_plane.scheduler.ranking import Ranking, Scores

NOT_PREFERRED = 1e6
"""For each preferred label that a worker does not have."""
BESIDE = 1e3
"""For each instance of the same VM that is there; an address each, so there are never more than 253."""
SPARE_EXTRAS = 1e2
"""For a worker whose extras are not asked for."""
CLOSED = 1e1
"""For a worker that is not needed; packing itself stays between -1 and 1."""
FILLING_FROM = 0.5
"""The share of what is free from which placing counts as filling."""
_TINY = 1e-12

Own = tuple[float, float]
"""vCPUs and memory of a demand, as the scores take them."""


class Packing:
    """The scores of one decision. `wanted`: all that it shall place, in vCPUs and MiB."""

    def __init__(self, ledger: Ledger, takes: Mask, *, wanted: Amounts) -> None:
        self._ledger = ledger
        self._takes = takes
        self._eligible: dict[object, Mask] = {}
        self._tiers: dict[object, Scores] = {}
        rows = ledger.fleet.capacity[[CPU_ROW, MEMORY_ROW]].astype(np.float64)
        mean = rows.mean(axis=1) if len(ledger.fleet) else np.ones(2)
        self._per_cpu, self._per_mb = (1.0 / max(float(one), 1.0) for one in mean)
        largest = (rows[0] * self._per_cpu + rows[1] * self._per_mb).max(initial=1.0)
        self._norm = 1.0 / float(largest)
        self._memory_from = MEMORY_ROW * len(ledger.fleet)
        self._open, self._filling = self._chosen(takes, wanted)
        self._is_open: list[bool] = self._open.tolist()

    def ranks(self, shapes: Collection[Shape]) -> dict[Shape, int]:
        """The larger before the smaller, by vCPUs and memory as shares of an average worker."""
        ordered = sorted(shapes, key=lambda shape: (-self._size(shape[0]), shape))
        return {shape: rank for rank, shape in enumerate(ordered)}

    def _size(self, amounts: tuple[int, ...]) -> float:
        return amounts[CPU_ROW] * self._per_cpu + amounts[MEMORY_ROW] * self._per_mb

    def _chosen(self, takes: Mask, need: Amounts) -> tuple[Mask, bool]:
        """The workers that the decision is to get by with, and whether it fills them.

        Those in use; and where they have not enough free, the largest of the others, the last of which is the smallest
        that is enough.
        """
        fleet, free = self._ledger.fleet, self._ledger.free
        used = takes & (free[ADDRESS_ROW] < fleet.capacity[ADDRESS_ROW])
        left = np.maximum(free[[CPU_ROW, MEMORY_ROW]], 0)
        have = left[:, used].sum(axis=1)
        opened = used.copy()
        rest = np.flatnonzero(takes & ~used)
        if (have < need).any() and len(rest):
            sizes = left[0, rest] * self._per_cpu + left[1, rest] * self._per_mb
            order = np.argsort(-sizes, kind="stable")
            rest, sizes = rest[order], sizes[order]
            sums = have[:, None] + np.cumsum(left[:, rest], axis=1)
            whole = min(int((sums < need[:, None]).any(axis=0).sum()), len(rest) - 1)
            opened[rest[:whole]] = True
            open_need = need - left[:, opened].sum(axis=1)
            suited = (left[:, rest] >= open_need[:, None]).all(axis=0) & ~opened[rest]
            opened[rest[np.where(suited, sizes, np.inf).argmin() if suited.any() else whole]] = True
        have = left[:, opened].sum(axis=1)
        return opened, bool((need > have * FILLING_FROM).any())

    def of(self, demand: Demand) -> "ShapeScores":
        """The scores of a demand's shape as things are now."""
        key = demand.shape[-2]
        if key not in self._eligible:
            self._eligible[key] = self._takes & labelled(self._ledger.fleet, demand)
        return ShapeScores(self, self._ledger, demand, self._eligible[key])

    def tiers(self, demand: Demand) -> Scores:
        """The part of each worker's score that taking room does not change."""
        extras = demand.amounts[len(BASIC) :]
        key = (demand.shape[-1], tuple(bool(amount) for amount in extras))
        found = self._tiers.get(key)
        if found is None:
            fleet = self._ledger.fleet
            found = NOT_PREFERRED * unpreferred(fleet, demand)
            for row, amount in enumerate(extras, start=len(BASIC)):
                if not amount:
                    found += SPARE_EXTRAS * (fleet.capacity[row] > 0)
            self._tiers[key] = found
        return found

    def closed(self) -> Scores:
        """What is added for the workers that are not needed."""
        return np.where(self._open, 0.0, CLOSED)

    def open(self, position: int) -> None:
        """A worker is used from now on."""
        if not self._is_open[position]:
            self._is_open[position] = True
            self._open[position] = True

    def all(self, own: Own) -> Scores:
        """The packing score of each worker, between -1 and 1."""
        free = self._ledger.free
        cpu, memory = free[CPU_ROW] * self._per_cpu, free[MEMORY_ROW] * self._per_mb
        found: Scores
        if self._filling:
            found = -(cpu * own[0] + memory * own[1]) / np.sqrt(cpu * cpu + memory * memory + _TINY)
        else:
            found = ((cpu - own[0]) + (memory - own[1])) * self._norm
        return found

    def one(self, own: Own, position: int) -> float:
        """The same for one worker."""
        cells = self._ledger.cells
        cpu, memory = cells[position] * self._per_cpu, cells[self._memory_from + position] * self._per_mb
        if self._filling:
            return -(cpu * own[0] + memory * own[1]) / math.sqrt(cpu * cpu + memory * memory + _TINY)
        return ((cpu - own[0]) + (memory - own[1])) * self._norm

    def own(self, demand: Demand) -> Own:
        """A demand's cpu and memory as shares of an average worker; for filling, only their direction."""
        cpu, memory = demand.amounts[CPU_ROW] * self._per_cpu, demand.amounts[MEMORY_ROW] * self._per_mb
        length = math.sqrt(cpu * cpu + memory * memory) if self._filling else 1.0
        return cpu / length, memory / length


class ShapeScores:
    """The score of each worker for one shape, infinite where it may not go; followed while room is taken.

    Where other instances are is not in it: `Rules` and the decision add that for each VM. `fitting` counts the finite.
    """

    def __init__(self, packing: Packing, ledger: Ledger, demand: Demand, eligible: Mask) -> None:
        self._packing = packing
        self._ledger = ledger
        self._demand = demand
        self._own = packing.own(demand)
        self._tiers = packing.tiers(demand)
        possible = eligible & has_room(ledger, demand)
        self.ranking = Ranking(np.where(possible, self._tiers + packing.closed() + packing.all(self._own), np.inf))
        self.fitting = int(np.count_nonzero(possible))

    def use(self, position: int) -> None:
        """A worker is in use from now on."""
        self._packing.open(position)

    def update(self, position: int) -> None:
        """Score a worker anew, on which room was taken."""
        if self.ranking.scores.item(position) == math.inf:
            return
        found = math.inf
        if self._ledger.fits(position, self._demand.amounts):
            found = self._tiers.item(position) + self._packing.one(self._own, position)
        else:
            self.fitting -= 1
        self.ranking.set(position, found)


def has_room(ledger: Ledger, demand: Demand) -> Mask:
    """The workers that have room for one more, whatever their standing and labels."""
    room: Mask = np.full(len(ledger.fleet), not demand.unknown, dtype=np.bool_)
    for row, amount in enumerate(demand.amounts):
        if amount:
            room &= ledger.free[row] >= amount
    return room
