"""Workers that wait for an assignment: each is woken for its own, and nobody for another's; it knows no assignment."""

from collections.abc import Iterable

import trio


class Polls:
    """Take `next` before looking at the state, then wait on it: no change is missed."""

    def __init__(self) -> None:
        self._waiting: dict[str, trio.Event] = {}

    def next(self, worker_id: str) -> trio.Event:
        """Set when something about `worker_id` changes from now on."""
        event = self._waiting.get(worker_id)
        if event is None:
            event = self._waiting[worker_id] = trio.Event()
        return event

    def wake(self, worker_ids: Iterable[str]) -> None:
        """Something about these has changed."""
        for worker_id in worker_ids:
            event = self._waiting.pop(worker_id, None)
            if event is not None:
                event.set()
