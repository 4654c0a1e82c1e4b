"""Workers that wait for an assignment: each is woken for its own, and nobody for another's; it knows no assignment."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

T = TypeVar("T")
MOST_LATER_SECONDS = 5.0
"""How long a poll is held beyond its time, at most, while a whole fleet is about to be told; workers wait for ten."""
LATER_SECONDS = 0.25
"""How often it is looked whether that is so still."""


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


async def within(seconds: float, news: Callable[[], Awaitable[T]], *, is_near: Callable[[], bool]) -> T | None:
    """What `news` finds within `seconds`, or None; a little later while it `is_near`.

    Whoever asked again then would be heard behind what everybody else says of the news.
    """
    latest = trio.current_time() + seconds + MOST_LATER_SECONDS
    while True:
        with trio.move_on_after(seconds):
            return await news()
        if not is_near() or trio.current_time() >= latest:
            return None
        seconds = LATER_SECONDS
