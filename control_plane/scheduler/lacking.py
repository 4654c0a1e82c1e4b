"""What was missing where, as data: worker by worker for a few, summed up by kind for many; it decides nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from control_plane.scheduler.capacity import Ledger
from control_plane.scheduler.constraints import Rules
from control_plane.scheduler.demand import Demand
from control_plane.scheduler.fleet import Amounts, Mask
from control_plane.state import Missing

MOST_NAMED = 8
"""Workers up to which a refusal names each of them; above, one of each kind, with how many there are."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that `mask`'s workers lack. `needed` 0: it is no amount; `free` is what each has of it."""

    what: str
    mask: Mask
    needed: int = 0
    free: Amounts | None = None


def lacks(ledger: Ledger, demand: Demand, rules: Rules, *, bound: int | None = None) -> list[Lack]:
    """All that keeps an instance off each worker. A worker is asked for room only when nothing else keeps it off.

    `bound`: the worker that holds its volume.
    """
    found: list[Lack] = []
    left: Mask = np.ones(len(ledger.fleet), dtype=np.bool_)
    if bound is not None:
        left[:] = False
        left[bound] = True
        found.append(Lack(f"volume on {ledger.fleet.name(bound)}", ~left))
    for stage in rules.stages():
        unmet = [Lack(one.what, one.mask & left) for one in stage]
        for lack in unmet:
            left = left & ~lack.mask
        found += unmet
    found += [Lack(name, left, amount, np.zeros(len(left), dtype=np.int64)) for name, amount in demand.unknown]
    for kind, amount, free in zip(ledger.fleet.kinds, demand.amounts, ledger.free, strict=True):
        if amount:
            found.append(Lack(kind, left & (free < amount), amount, np.maximum(free, 0)))
    return [lack for lack in found if lack.mask.any()]


def missing(ledger: Ledger, found: Sequence[Lack]) -> tuple[Missing, ...]:
    """`found` for a refusal: each worker for itself in a small fleet, else each kind with an example."""
    if len(ledger.fleet) <= MOST_NAMED:
        return tuple(one for position in range(len(ledger.fleet)) for one in missing_on(ledger, found, position))
    return tuple(_summed(ledger, found))


def missing_on(ledger: Ledger, found: Sequence[Lack], position: int) -> tuple[Missing, ...]:
    """What one worker lacks."""
    name = ledger.fleet.name(position)
    return tuple(
        Missing(name, lack.what, lack.needed, int(lack.free[position]) if lack.free is not None else 0)
        for lack in found
        if lack.mask[position]
    )


def _summed(ledger: Ledger, found: Sequence[Lack]) -> Iterator[Missing]:
    for lack in found:
        positions = np.flatnonzero(lack.mask)
        best, free = int(positions[0]), 0
        if lack.free is not None:
            best = int(positions[lack.free[positions].argmax()])
            free = int(lack.free[best])
        yield Missing(ledger.fleet.name(best), lack.what, lack.needed, free, workers=len(positions))
