"""What keeps an instance off a worker apart from room: standing, labels, spread, affinity, anti-affinity; no scores.

All hold when an instance is placed. Afterwards an instance only moves because its worker drains or no longer has the
labels that it requires (`drain.py`): what is placed is not moved about because others came or went.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from control_plane.scheduler.availability import UNHEARD, Availabilities
from control_plane.scheduler.capacity import Ledger
from control_plane.scheduler.demand import Demand
from control_plane.scheduler.fleet import NO_DOMAIN, Fleet, Mask
from schema.blueprint import LabelExpression, Spread


@dataclass(frozen=True, slots=True)
class Unmet:
    """Something that `mask`'s workers do not meet."""

    what: str
    mask: Mask


class Standings:
    """The workers' availability as a mask. `takes`: who may take new instances."""

    def __init__(self, fleet: Fleet, availability: Availabilities) -> None:
        self._fleet = fleet
        self._domains: dict[object, tuple[int, ...]] = {}
        self._each = [availability.get(record.worker_id, UNHEARD) for record in fleet.records]
        self.takes: Mask = np.array([one.takes_new for one in self._each], dtype=np.bool_)
        self.sheds = tuple(position for position, one in enumerate(self._each) if one.sheds)

    def domains(self, label: str, demand: Demand) -> tuple[int, ...]:
        """The values of `label`, by number, where some worker with the required labels takes new instances."""
        key = (label, demand.shape[2])
        found = self._domains.get(key)
        if found is None:
            codes = self._fleet.domains(label).codes[self.takes & labelled(self._fleet, demand)]
            found = self._domains[key] = tuple(np.unique(codes[codes != NO_DOMAIN]).tolist())
        return found

    def words(self, position: int) -> str:
        """The standing of one worker, with its reason."""
        return str(self._each[position])

    def unmet(self) -> Iterator[Unmet]:
        """The workers that take nothing new, by standing: reasons may name times, and a refusal shall stay the same."""
        kinds = [None if one.takes_new else one.standing for one in self._each]
        for kind in sorted({kind for kind in kinds if kind is not None}):
            yield Unmet(str(kind), np.array([one is kind for one in kinds], dtype=np.bool_))


class SpreadCount:
    """How many instances of a VM are in each domain of one spread rule, and where the next one may go.

    The skew is counted over the domains in which a worker with the required labels takes new instances.
    """

    def __init__(self, rule: Spread, demand: Demand, ledger: Ledger, standings: Standings) -> None:
        self.rule = rule
        self._codes = ledger.fleet.domains(rule.over).codes
        self._eligible = standings.domains(rule.over, demand)
        self._counts = [0] * (len(ledger.fleet.domains(rule.over).values) + 1)
        for position, count in ledger.staying(demand.vm).items():
            self.add(position, count)

    def add(self, position: int, count: int = 1) -> None:
        """Count instances on a worker."""
        self._counts[self._codes[position]] += count

    def closed(self) -> Mask:
        """The workers on which one more would make the skew too large, and those without the label."""
        least = min((self._counts[code] for code in self._eligible), default=0)
        most = least + self.rule.max_skew
        full = np.array([count >= most for count in self._counts], dtype=np.bool_)
        full[NO_DOMAIN] = True  # the last of `_counts` stands for it
        closed: Mask = full[self._codes]
        return closed


class Rules:
    """The constraints of one VM over all workers, kept up while its instances are placed. `is_plain`: labels at most.

    `apart` are the VMs that its own policy or theirs keeps it away from, `waits` those of its affinity that must be
    somewhere before it.
    """

    def __init__(
        self, demand: Demand, ledger: Ledger, standings: Standings, *, apart: Collection[str], waits: Collection[str]
    ) -> None:
        self._demand = demand
        self._ledger = ledger
        self._standings = standings
        self._apart = sorted(apart)
        self._waits = waits
        self.is_plain = not (apart or demand.policy.affinity or demand.policy.spread)
        self.spreads = [SpreadCount(rule, demand, ledger, standings) for rule in demand.policy.spread]

    def permitted(self) -> Mask:
        """The workers that nothing but room could keep it off."""
        allowed = self._standings.takes & labelled(self._ledger.fleet, self._demand)
        for unmet in self._of_others():
            allowed &= ~unmet.mask
        return allowed

    def narrowed(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`scores`, infinite also where other instances keep this one off."""
        found = scores.copy()
        for vm in self._apart:
            positions = self._ledger.claimed(vm)
            if positions:
                found[list(positions)] = np.inf
        if self._demand.policy.affinity:
            for unmet in self._of_affinity():
                found[unmet.mask] = np.inf
        for spread in self.spreads:
            found[spread.closed()] = np.inf
        return found

    def stages(self) -> Iterator[list[Unmet]]:
        """What is not met where. A worker that fails at one stage is not asked at the next."""
        yield list(self._standings.unmet())
        fleet = self._ledger.fleet
        yield [Unmet(f"label {words(one)}", ~fleet.satisfying(one)) for one in self._demand.policy.require]
        yield list(self._of_others())

    def placed(self, position: int) -> None:
        """One more instance is on a worker; the ledger knows."""
        for spread in self.spreads:
            spread.add(position)

    def _of_others(self) -> Iterator[Unmet]:
        size = len(self._ledger.fleet)
        for vm in self._apart:
            positions = self._ledger.claimed(vm)
            if positions:
                yield Unmet(f"{vm} is there, which it is kept apart from", _marked(positions, size))
        yield from self._of_affinity()
        for spread in self.spreads:
            yield Unmet(f"spread over {spread.rule.over} by at most {spread.rule.max_skew}", spread.closed())

    def _of_affinity(self) -> Iterator[Unmet]:
        for vm in self._demand.policy.affinity:
            positions = self._ledger.staying(vm)
            if positions or vm in self._waits:
                mask = ~_marked(positions, len(self._ledger.fleet))
                yield Unmet(f"{vm} is not there, which it goes beside", mask)


def labelled(fleet: Fleet, demand: Demand) -> Mask:
    """The workers that have the labels which are required."""
    found: Mask = np.ones(len(fleet), dtype=np.bool_)
    for expression in demand.policy.require:
        found &= fleet.satisfying(expression)
    return found


def unpreferred(fleet: Fleet, demand: Demand) -> npt.NDArray[np.float64]:
    """How many of the preferred labels each worker does not have."""
    found = np.zeros(len(fleet), dtype=np.float64)
    for expression in demand.policy.prefer:
        found += ~fleet.satisfying(expression)
    return found


def words(expression: LabelExpression) -> str:
    """An expression as people write it: `zone in a, b`."""
    return " ".join((expression.key, expression.operator.value, ", ".join(expression.values))).strip()


def _marked(positions: Collection[int], size: int) -> Mask:
    mask: Mask = np.zeros(size, dtype=np.bool_)
    mask[list(positions)] = True
    return mask
