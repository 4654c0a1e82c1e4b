"""Which workers are lost, which at one stroke, and which come and go; from silences alone, and it evicts nobody.

Hysteresis is all in what is remembered of returns: one that comes back gets its old VMs' places back never by itself,
and one that comes back again and again takes nothing new for a while that doubles each time.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.liveness.timing import Timing
from control_plane.observations import Observations, Return
from control_plane.state import Snapshot

LONGEST_HOLD = 45
"""Of a worker that comes and goes, in times of `lost_after_ms` (30 minutes by default)."""


@dataclass(frozen=True, slots=True)
class MassLoss:
    """So many of so many workers fell silent within the window."""

    vanished: int
    of: int

    def __str__(self) -> str:
        return (
            f"eviction is stopped: {self.vanished} of {self.of} workers vanished at about the same time; it goes on "
            f"when they are back, or for one that is drained"
        )


def lost_workers(
    snapshot: Snapshot, observations: Observations, *, now_ms: int, lost_after_ms: int
) -> Mapping[str, int]:
    """The workers that are lost, with how long each has been silent."""
    silences = {worker_id: observations.silent_ms(worker_id, now_ms=now_ms) for worker_id in snapshot.workers}
    return {worker_id: silent for worker_id, silent in silences.items() if silent > lost_after_ms}


def mass_loss(snapshot: Snapshot, observations: Observations, *, now_ms: int, timing: Timing) -> MassLoss | None:
    """Whether too many fell silent at about the same time for each to be dead: it is rather the network, or we.

    One that was given up before we started, and was not heard of since, is no news and counts neither way. One that was
    lost and has just come back counts for as long as silence takes to be a loss: the others come back at their own
    next reports, and shall not be evicted because one of them was the first.
    """
    counted = [
        worker_id
        for worker_id in snapshot.workers
        if worker_id in observations.workers or worker_id not in snapshot.liveness.evictions
    ]
    silences = [observations.silent_ms(worker_id, now_ms=now_ms) for worker_id in counted]
    vanished = sorted(silent for silent in silences if silent > timing.vanished_after_ms)
    together = max(
        (bisect_right(vanished, silent + timing.mass_window_ms) - place for place, silent in enumerate(vanished)),
        default=0,
    )
    if together:
        together += sum(
            now_ms - known.at_ms <= timing.lost_after_ms
            for worker_id in counted
            if (known := observations.returns.get(worker_id))
            and observations.silent_ms(worker_id, now_ms=now_ms) <= timing.vanished_after_ms
        )
    return MassLoss(together, len(counted)) if together * 100 > timing.mass_percent * len(counted) else None


def returned(known: Return | None, *, now_ms: int, timing: Timing) -> Return:
    """What is remembered of a worker that has come back just now. Long enough without a loss makes it steady again."""
    steady = known is None or now_ms - known.at_ms > 2 * LONGEST_HOLD * timing.lost_after_ms
    return Return(1 if steady or known is None else known.count + 1, now_ms)


def held_back_ms(known: Return | None, *, now_ms: int, timing: Timing) -> int:
    """For how long a worker that came back takes nothing new yet; 0 for one that was away only once."""
    if known is None or known.count < 2:
        return 0
    factor = min(1 << min(known.count - 2, 16), LONGEST_HOLD)
    return max(known.at_ms + factor * timing.lost_after_ms - now_ms, 0)
