"""Choose a worker for each instance that has none; who has one is moved by it only to make room for more priority.

Deterministic: the same snapshot and candidates give the same answer in whatever order they come. What is worth more
goes first, then what has least choice, then the larger; each goes to the permitted worker with the lowest score
(`packing.py`), then by name.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from control_plane.index import index_of
from control_plane.scheduler.availability import Availabilities
from control_plane.scheduler.capacity import Ledger
from control_plane.scheduler.constraints import Rules, Standings
from control_plane.scheduler.demand import Demand, Demands, Shape, order_of, traits_of, waits_for
from control_plane.scheduler.fleet import CPU_ROW, DISK_ROW, MEMORY_ROW, Mask
from control_plane.scheduler.lacking import lacks, missing
from control_plane.scheduler.packing import BESIDE, Packing, ShapeScores, has_room
from control_plane.scheduler.preempt import Coming
from control_plane.scheduler.ranking import Scores, first_of
from control_plane.state import (
    NOWHERE,
    Missing,
    Placement,
    PlacementReason,
    ReasonCode,
    Snapshot,
    natural,
)


class Decision:
    """Where the instances without a worker go: one pass over a ledger, which it writes to.

    `changed` are the placements that the same change of state sets already.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        ledger: Ledger,
        availability: Availabilities,
        *,
        changed: Mapping[str, Placement] = MappingProxyType({}),
    ) -> None:
        self.snapshot = snapshot
        self.ledger = ledger
        self.fleet = ledger.fleet
        self.standings = Standings(ledger.fleet, availability)
        self.demands = Demands(snapshot, ledger.fleet)
        self._numbers = set(index_of(snapshot).counts)
        self._packing: Packing | None = None
        self._coming = Coming(snapshot, ledger, changed)
        self._shape: tuple[Shape, ShapeScores] | None = None
        self._refused: dict[object, PlacementReason] = {}
        self._news: list[Placement] = []

    def place(self, wanting: Iterable[Placement]) -> tuple[Placement, ...]:
        """Each of `wanting` with a worker and an address, or with the refusal; and those that must make room."""
        self._news = []
        groups: dict[tuple[str, int], list[Placement]] = {}
        for one in wanting:
            groups.setdefault((one.vm, one.generation), []).append(one)
        self._numbers |= {number for _, number in groups}
        asked = [self.demands.of(group[0]) for group in groups.values()]
        packing = self.packing(asked, list(map(len, groups.values())))
        ranks = packing.ranks({demand.shape for demand in asked})
        rows = []
        for demand, group in zip(asked, groups.values(), strict=True):
            if len(group) > 1:
                group.sort(key=lambda one: natural(one.instance))
            is_bound = self.bound(demand, group[0]) is not None  # what has volumes has one instance
            rows.append(order_of(demand, group, is_bound=is_bound, rank=ranks[demand.shape]))
        rows.sort()
        for *_, demand, group in rows:
            self._place_vm(demand, group)
        return tuple(self._news)

    def packing(self, asked: Sequence[Demand], replicas: Sequence[int]) -> Packing:
        """The scores for placing all of `asked`, of each so many, from now on."""
        cpu = sum(demand.amounts[CPU_ROW] * count for demand, count in zip(asked, replicas, strict=True))
        memory_mb = sum(demand.amounts[MEMORY_ROW] * count for demand, count in zip(asked, replicas, strict=True))
        wanted = np.array([cpu, memory_mb], dtype=np.int64)
        self._packing = Packing(self.ledger, self.standings.takes, wanted=wanted)
        self._shape = None
        return self._packing

    def rules(self, demand: Demand) -> Rules:
        """The constraints of a VM as things are now."""
        apart = set(demand.policy.anti_affinity)
        waits: frozenset[str] = frozenset()
        for number in self._numbers:
            traits = traits_of(self.snapshot, number)
            generation = self.snapshot.generations.get(number)
            if traits is None or generation is None:
                continue
            apart |= traits.apart.get(demand.vm, set())
            for port in demand.publishes:
                apart |= traits.publishing.get(port, set())
            if demand.policy.affinity and demand.vm in generation.vms:
                waits |= waits_for(generation.vms, demand.vm)
        return Rules(demand, self.ledger, self.standings, apart=apart, waits=waits)

    def bound(self, demand: Demand, one: Placement) -> str | None:
        """The worker that holds its volumes, None where it has none yet."""
        return self.snapshot.volume_bindings.get(one.instance) if demand.resources.disk_mb else None

    def elsewhere(self, demand: Demand, *, than: int) -> Mask:
        """The workers that an instance could go to instead of one."""
        found = self.rules(demand).permitted() & has_room(self.ledger, demand)
        found[than] = False
        return found

    def _place_vm(self, demand: Demand, group: Sequence[Placement]) -> None:
        choice = self.choice(demand, replicas=len(group))
        for one in group:
            bound = self.bound(demand, one)
            if bound is not None and self._place_bound(one, choice, bound):
                continue
            position = choice.best()
            if position is None:
                self._refuse(one, choice)
            else:
                self._put(one, choice, position, amounts=demand.amounts, reason=self._why(choice, position))
        choice.close()

    def choice(self, demand: Demand, *, replicas: int = 1) -> "Choice":
        """The scores for `replicas` instances of a VM, as things are now."""
        if self._shape is None or self._shape[0] != demand.shape:
            packing = self._packing or self.packing([demand], [0])
            self._shape = (demand.shape, packing.of(demand))
        return Choice(demand, self.rules(demand), self._shape[1], self.ledger, replicas=replicas)

    def _place_bound(self, one: Placement, choice: "Choice", bound: str) -> bool:
        """Put `one` where its volumes are, or refuse it; False when it may go elsewhere, because they may be lost."""
        demand, position = choice.demand, self.fleet.position.get(bound)
        amounts = list(demand.amounts)
        amounts[DISK_ROW] = max(amounts[DISK_ROW] - self.ledger.waiting_disk_mb(one.instance), 0)
        if position is not None and choice.permits(position) and self.ledger.fits(position, amounts):
            why = PlacementReason(ReasonCode.VOLUME, f"volume on {bound}")
            self._put(one, choice, position, amounts=amounts, reason=why)
            return True
        if not demand.keeps_volume:
            return False
        there = replace(demand, amounts=tuple(amounts))
        if position is None:
            found: tuple[Missing, ...] = (Missing(bound, "holds its volume, so it cannot go elsewhere"),)
        elif self._make_room(one, there, choice, only=position):
            return True
        else:
            found = missing(self.ledger, lacks(self.ledger, there, choice.rules, bound=position))
        self._news.append(_nowhere(one, PlacementReason(ReasonCode.VOLUME, f"volume on {bound}", found)))
        return True

    def _put(
        self, one: Placement, choice: "Choice", position: int, *, amounts: Sequence[int], reason: PlacementReason
    ) -> None:
        demand = choice.demand
        self.ledger.take(position, amounts)
        address = self.ledger.take_address(position, demand.vm)
        choice.placed(position)
        worker_id = self.fleet.name(position)
        self._news.append(
            Placement(one.instance, one.generation, worker_id, address, demand.resources, False, one.revision, reason)
        )

    def _why(self, choice: "Choice", position: int) -> PlacementReason:
        others = self.ledger.counts(choice.demand.vm).get(position, 0)
        beside = f", {others} of {choice.demand.vm} there" if others else ""
        text = f"fits on {choice.fitting} of {len(self.fleet)} workers, best on {self.fleet.name(position)}{beside}"
        return PlacementReason(ReasonCode.PLACED, text)

    def _refuse(self, one: Placement, choice: "Choice") -> None:
        demand = choice.demand
        key = (demand.shape, demand.priority, None if choice.is_plain else demand.vm, self.ledger.version)
        reason = self._refused.get(key)
        if reason is None:
            if self._make_room(one, demand, choice):
                return
            text = "no worker has room for it" if len(self.fleet) else "there is no worker yet"
            found = missing(self.ledger, lacks(self.ledger, demand, choice.rules))
            reason = self._refused[key] = PlacementReason(ReasonCode.REFUSED, text, found)
        self._news.append(_nowhere(one, reason))

    def _make_room(self, one: Placement, demand: Demand, choice: "Choice", *, only: int | None = None) -> bool:
        """Whether room is being made for `one` somewhere; then it waits for that, and nothing else may take it."""
        permitted = choice.rules.permitted()
        if only is not None:
            permitted = permitted & (np.arange(len(permitted)) == only)
        found = self._coming.room_for(demand, permitted)
        if found is None:
            return False
        self._news += found.leaving
        for victim in found.leaving:
            self.ledger.dismiss(victim)
        choice.update(found.position)
        choice.rules.placed(found.position)
        self.ledger.expect(found.position, demand.vm)
        worker_id = self.fleet.name(found.position)
        volume = f"volume on {worker_id}; " if only is not None else ""
        text = f"{volume}waits for room on {worker_id}, where others are leaving"
        self._news.append(_nowhere(one, PlacementReason(ReasonCode.WAITING, text)))
        return True


class Choice:
    """The scores of one VM's instances: its shape's, with what depends on where its other instances are, until `close`.

    `is_plain`: no constraint but the labels concerns it, so that its shape says all.
    """

    def __init__(self, demand: Demand, rules: Rules, shape: ShapeScores, ledger: Ledger, *, replicas: int) -> None:
        self.demand = demand
        self.rules = rules
        self.is_plain = rules.is_plain
        self.fitting = 0
        self._shape = shape
        self._ledger = ledger
        counts = ledger.counts(demand.vm)
        self._is_alone = not counts and replicas == 1
        self._ranking = shape.ranking
        for position, count in counts.items():
            self._ranking.add(position, BESIDE * count)

    def permits(self, position: int) -> bool:
        """Whether nothing but room could keep an instance off a worker."""
        return bool(self.rules.permitted()[position])

    def scores(self) -> Scores:
        """The score of each worker, infinite where an instance may not go."""
        scores = self._ranking.scores
        return scores if self.is_plain else self.rules.narrowed(scores)

    def best(self) -> int | None:
        """The worker with the lowest score, the first of equals; None when it may go nowhere."""
        if self.is_plain:
            self.fitting = self._shape.fitting
            return self._ranking.first()
        scores = self.scores()
        self.fitting = int(np.count_nonzero(scores < math.inf))
        return first_of(scores)

    def placed(self, position: int) -> None:
        """One more is on a worker; the ledger knows."""
        self._shape.use(position)
        self.update(position)
        if not self.is_plain:
            self.rules.placed(position)

    def update(self, position: int) -> None:
        """Room was taken on a worker."""
        self._shape.update(position)
        if not self._is_alone:
            self._ranking.add(position, BESIDE * self._ledger.counts(self.demand.vm).get(position, 0))

    def close(self) -> None:
        """Leave the scores to the next VM of the shape, without what only concerns this one."""
        if not self._is_alone:
            for position in self._ledger.counts(self.demand.vm):
                self._shape.update(position)


def _nowhere(one: Placement, reason: PlacementReason) -> Placement:
    return replace(one, worker_id=NOWHERE, address="", reason=reason)
