"""Why an instance is where it is, why not elsewhere, or why nowhere, worker by worker as data; it changes nothing.

It asks what the decision would ask if the instance were placed now, with its own room counted as free.
"""

import math
from dataclasses import dataclass, replace

from control_plane.naming import unknown_instance
from control_plane.scheduler.availability import Availabilities
from control_plane.scheduler.capacity import ledger
from control_plane.scheduler.demand import Demand
from control_plane.scheduler.fleet import Overcommit
from control_plane.scheduler.lacking import lacks, missing_on
from control_plane.scheduler.packing import BESIDE, CLOSED, NOT_PREFERRED, SPARE_EXTRAS
from control_plane.scheduler.place import Choice, Decision
from control_plane.state import NOTHING, NOWHERE, Missing, Placement, PlacementReason, Snapshot
from schema import operations


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """What a worker's score is made of; less is better in each. The packing part is between -1 and 1."""

    not_preferred: int = 0
    beside: int = 0
    spare_extras: int = 0
    not_needed: bool = False
    packing: float = 0.0

    @classmethod
    def of(cls, score: float) -> "ScoreParts":
        """A score taken apart again."""
        whole = score - (packing := _centred(score))
        not_preferred, whole = divmod(round(whole), int(NOT_PREFERRED))
        beside, whole = divmod(whole, int(BESIDE))
        spare_extras, whole = divmod(whole, int(SPARE_EXTRAS))
        return cls(not_preferred, beside, spare_extras, whole >= int(CLOSED), packing)

    def __str__(self) -> str:
        said = (
            (self.not_preferred, f"lacks {self.not_preferred} preferred labels"),
            (self.beside, f"has {self.beside} of this VM"),
            (self.spare_extras, "has extras that are not wanted"),
            (self.not_needed, "is not needed otherwise"),
        )
        return ", ".join((*(text for is_so, text in said if is_so), f"packing {self.packing:.3f}"))


@dataclass(frozen=True, slots=True)
class WorkerFit:
    """One worker as a place for the instance: what it lacks, or its score. `standing` is with its reason."""

    worker_id: str
    standing: str
    lacks: tuple[Missing, ...] = ()
    score: float = 0.0
    parts: ScoreParts = ScoreParts()

    @property
    def fits(self) -> bool:
        """Whether the instance could be there."""
        return not self.lacks


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it: where the instance is, why by the decision that put it there, and each worker as things are now.

    `workers`: its own first, then those that fit by score, then the others, both by name.
    """

    instance: str
    worker_id: str
    reason: PlacementReason
    workers: tuple[WorkerFit, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The deciding reason first, then how the workers compare."""
        fitting = sum(fit.fits for fit in self.workers)
        found = [str(self.reason), f"{fitting} of {len(self.workers)} workers could take it now"]
        mine = next((fit for fit in self.workers if fit.worker_id == self.worker_id), None)
        if mine is not None:
            found.append(f"{mine.worker_id} is {mine.standing}; its score: {mine.parts}" if mine.fits else _still(mine))
        better = [fit for fit in self.workers if fit.fits and mine and mine.fits and fit.score < mine.score]
        if better:
            found.append(f"{better[0].worker_id} would be better now; an instance is not moved for that")
        return tuple(found)


MOST_TOLD = 100
"""Workers that an answer names."""


def answer(found: Explanation) -> operations.Explanation:
    """The same for people, with as many workers as they can look through."""
    told = found.workers[:MOST_TOLD]
    return operations.Explanation(
        instance=found.instance,
        worker_id=found.worker_id,
        reasons=found.sentences,
        workers=tuple(
            operations.WorkerFit(worker_id=fit.worker_id, lacks=tuple(map(_words, fit.lacks)), score=fit.score)
            for fit in told
        ),
        more=len(found.workers) - len(told),
    )


def _words(missing: Missing) -> str:
    return str(missing).partition(": ")[2]


def explain(snapshot: Snapshot, instance: str, *, availability: Availabilities, overcommit: Overcommit) -> Explanation:
    """Why `instance` is where it is or is not. Raises NotFound for one that nothing wants."""
    placement = snapshot.placements.get(instance)
    if placement is None:
        raise unknown_instance(snapshot, instance)
    if placement.generation == NOTHING or snapshot.wanted_spec(instance) is None:
        return Explanation(instance, placement.worker_id, placement.reason)
    placements = {name: one for name, one in snapshot.placements.items() if name != instance}
    without = replace(snapshot, placements=placements)
    decision = Decision(without, ledger(without, overcommit), availability)
    anew = replace(placement, worker_id=NOWHERE, address="", leaving=False)
    return Explanation(
        instance, placement.worker_id, placement.reason, _fits(decision, anew, now_on=placement.worker_id)
    )


def _fits(decision: Decision, anew: Placement, *, now_on: str) -> tuple[WorkerFit, ...]:
    demand = decision.demands.of(anew)
    choice = decision.choice(demand)
    bound = decision.bound(demand, anew) if demand.keeps_volume else None
    found = _each(decision, demand, choice, bound=bound)
    return tuple(sorted(found, key=lambda fit: (fit.worker_id != now_on, not fit.fits, fit.score, fit.worker_id)))


def _each(decision: Decision, demand: Demand, choice: Choice, *, bound: str | None) -> list[WorkerFit]:
    fleet, scores = decision.fleet, choice.scores()
    lacking = lacks(decision.ledger, demand, choice.rules, bound=fleet.position.get(bound) if bound else None)
    found = []
    for position, record in enumerate(fleet.records):
        standing = decision.standings.words(position)
        lacks_here = missing_on(decision.ledger, lacking, position)
        if bound is not None and bound not in fleet.position:
            lacks_here = (Missing(record.worker_id, f"volume on {bound}, which is gone"),)
        score = 0.0 if lacks_here or scores[position] == math.inf else float(scores[position])
        found.append(WorkerFit(record.worker_id, standing, lacks_here, score, ScoreParts.of(score)))
    return found


def _still(mine: WorkerFit) -> str:
    """What it would lack now on the worker that it stays on: constraints hold when it is placed."""
    return f"{mine.worker_id} keeps it, though now it would lack: {'; '.join(map(str, mine.lacks))}"


def _centred(score: float) -> float:
    """The part of a score that is between -1 and 1: the others are multiples of ten."""
    return score - 10.0 * round(score / 10.0)
