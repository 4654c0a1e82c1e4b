"""The lowest of many scores, asked again and again while single ones change; it knows no workers.

One pass over all of them costs little for a thousand and shows for five thousand, once for each instance. So after a
few questions they are kept by their values, which are few where workers are alike: a heap of the values, and for each a
heap of the positions that have it. An entry is stale when the score there is another now, and is dropped at the top.
"""

import math
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

KEPT_AFTER = 32
"""The question at which the heaps are made, which costs about as much as a hundred passes over the scores."""


class Ranking:
    """`scores` by position, infinite where nothing may go. Write to them by `set` and `add` only."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._values: list[float] = []
        self._positions: dict[float, list[int]] | None = None
        self._questions = 0

    def set(self, position: int, score: float) -> None:
        """Give one another score."""
        self.scores[position] = score
        if self._positions is not None and score != math.inf:
            same = self._positions.get(score)
            if same is None:
                self._positions[score] = [position]
                heappush(self._values, score)
            else:
                heappush(same, position)

    def add(self, position: int, more: float) -> None:
        """Raise one score."""
        self.set(position, self.scores.item(position) + more)

    def first(self) -> int | None:
        """The position of the lowest score, the first of equals; None when all are infinite."""
        if self._positions is None:
            self._questions += 1
            if self._questions < KEPT_AFTER:
                return first_of(self.scores)
            self._positions = self._by_value()
            self._values = list(self._positions)
            heapify(self._values)
        values, score_at = self._values, self.scores.item
        while values:
            lowest = values[0]
            positions = self._positions[lowest]
            while positions:
                position = positions[0]
                if score_at(position) == lowest:
                    return position
                heappop(positions)
            del self._positions[heappop(values)]
        return None

    def _by_value(self) -> dict[float, list[int]]:
        found: dict[float, list[int]] = {}
        for position, score in enumerate(self.scores.tolist()):
            if score != math.inf:
                found.setdefault(score, []).append(position)
        return found


def first_of(scores: Scores) -> int | None:
    """The same by looking at all of `scores` once."""
    position = int(scores.argmin()) if len(scores) else 0
    return position if len(scores) and scores[position] != math.inf else None
