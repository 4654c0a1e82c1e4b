"""Workers that wait for an assignment, each woken for its own and nobody for another's; it knows no assignment."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

Wake = Callable[[], None]
"""Has whoever waits look again, here and now; nothing happens where nobody does any more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Poll:
    wake: Wake
    until_s: float


class Polls:
    """Thousands wait at any time, so each is a few small objects, and no task. Moments are seconds of one clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Poll]] = {}

    def wait(self, worker_id: str, wake: Wake, *, until_s: float) -> Callable[[], None]:
        """Have `wake` called when something about `worker_id` changes, or the time is over; returns what forgets it."""
        poll = _Poll(wake, until_s)
        self._waiting.setdefault(worker_id, []).append(poll)
        return partial(self._forget, worker_id, poll)

    def take(self, worker_ids: Iterable[str]) -> list[Wake]:
        """Something about these has changed: those who wait for it, who are forgotten here."""
        return [poll.wake for worker_id in worker_ids for poll in self._waiting.pop(worker_id, ())]

    def take_overdue(self, now_s: float) -> list[Wake]:
        """Those whose time is over, who are forgotten here."""
        late = [
            (worker_id, poll) for worker_id, polls in self._waiting.items() for poll in polls if poll.until_s <= now_s
        ]
        for worker_id, poll in late:
            self._forget(worker_id, poll)
        return [poll.wake for _, poll in late]

    def _forget(self, worker_id: str, poll: _Poll) -> None:
        polls = self._waiting.get(worker_id, [])
        if poll in polls:
            polls.remove(poll)
        if not polls:
            self._waiting.pop(worker_id, None)
