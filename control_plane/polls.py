"""Workers that wait for an assignment, each woken for its own and nobody for another's; it knows no assignment."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf

Wake = Callable[[], None]
"""Has whoever waits look again, here and now; nothing happens where nobody does any more."""


@dataclass(slots=True)
class _Poll:
    wake: Wake
    is_over: bool = False


class Polls:
    """Thousands wait at any time, so each is a few small objects, and no task. Moments are seconds of one clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Poll]] = {}
        self._ends: list[tuple[float, int, str, _Poll]] = []
        """A heap; those that are over by themselves stay in it until their time comes."""
        self._numbers = count()

    def wait(self, worker_id: str, wake: Wake, *, until_s: float) -> Callable[[], None]:
        """Have `wake` called when something about `worker_id` changes, or the time is over; returns what forgets it."""
        poll = _Poll(wake)
        self._waiting.setdefault(worker_id, []).append(poll)
        heappush(self._ends, (until_s, next(self._numbers), worker_id, poll))
        return partial(self._forget, worker_id, poll)

    def take(self, worker_ids: Iterable[str]) -> list[Wake]:
        """Something about these has changed: those who wait for it, who are forgotten here."""
        found = [poll for worker_id in worker_ids for poll in self._waiting.pop(worker_id, ())]
        for poll in found:
            poll.is_over = True
        return [poll.wake for poll in found]

    def take_overdue(self, now_s: float) -> list[Wake]:
        """Those whose time is over, who are forgotten here."""
        found = []
        while self._ends and self._ends[0][0] <= now_s:
            _, _, worker_id, poll = heappop(self._ends)
            if not poll.is_over:
                self._forget(worker_id, poll)
                found.append(poll.wake)
        return found

    def next_end_s(self) -> float:
        """When the next one's time may be over; infinite while nobody waits."""
        return self._ends[0][0] if self._ends else inf

    def _forget(self, worker_id: str, poll: _Poll) -> None:
        if poll.is_over:
            return
        poll.is_over = True
        polls = self._waiting[worker_id]
        polls[:] = [one for one in polls if one is not poll]
        if not polls:
            del self._waiting[worker_id]
