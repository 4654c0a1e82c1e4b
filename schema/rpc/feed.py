"""A bounded queue in front of an EventSink: a watcher that is too slow gets one resync instead of what it missed."""

from collections import deque
from collections.abc import Callable

import trio

from schema.interfaces import EventSink
from schema.status import ClusterStatus, Cursor, Event

QUEUE_EVENTS = 256

Snapshot = Callable[[], tuple[ClusterStatus, Cursor]]
"""The cluster now, and the cursor behind the last event that it includes."""


class EventFeed:
    """Events on their way to one sink. `offer` never waits; `run` has one call of the sink in flight.

    It begins with a resync unless `resume` holds the events since the watcher's cursor.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        resume: tuple[tuple[Event, Cursor], ...] | None = None,
        size: int = QUEUE_EVENTS,
    ) -> None:
        self._snapshot = snapshot
        self._size = size
        self._queue: deque[tuple[Event, Cursor]] = deque(resume or ())
        self._resync = resume is None or len(resume) > size
        self._news = trio.Event()
        self.resyncs = 0
        """How often the watcher had to begin again."""

    def offer(self, event: Event, cursor: Cursor) -> None:
        """Queue an event; when the queue is full it gives way to one resync."""
        if self._resync:
            return  # the snapshot, taken when it is sent, will include it
        if len(self._queue) >= self._size:
            self._queue.clear()
            self._resync = True
        else:
            self._queue.append((event, cursor))
        self._news.set()

    async def run(self, sink: EventSink) -> None:
        """Feed `sink` until cancelled. Raises what the sink raises: its stream is over then."""
        while True:
            if self._resync:
                self._queue.clear()
                self._resync = False
                self.resyncs += 1
                await sink.resync(*self._snapshot())
            elif self._queue:
                await sink.event(*self._queue.popleft())
            else:
                self._news = trio.Event()
                await self._news.wait()
