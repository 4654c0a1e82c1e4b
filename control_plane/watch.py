"""Feed watchers with events: a ring of the latest ones, a place in it for each watcher, a resync where one is too slow.

It keeps no queue for a watcher, only where it stands: who falls out of the ring begins again from a snapshot.
"""

from collections import deque
from collections.abc import Callable, Iterable

import trio

from control_plane.authority import Bell
from schema.errors import DeadlineExceeded
from schema.interfaces import SINK_DEADLINE_SECONDS, EventSink
from schema.status import ClusterStatus, Cursor, Event

RING = 1024
"""Events kept in memory."""
STARTS_FACTOR = 2**32
"""Sequences of one start of the process never meet those of another: they begin at starts times this."""


class EventStream:
    """All events since this process began, numbered; `starts` is the database's count of opens."""

    def __init__(self, *, epoch: str, starts: int, status: Callable[[], ClusterStatus]) -> None:
        self._epoch = epoch
        self._status = status
        self._ring: deque[Event] = deque(maxlen=RING)
        self._next = starts * STARTS_FACTOR
        self._bell = Bell()

    def append(self, events: Iterable[Event]) -> None:
        """Tell these to all watchers."""
        for event in events:
            self._ring.append(event)
            self._next += 1
        self._bell.ring()

    async def feed(self, sink: EventSink, cursor: Cursor | None) -> None:
        """Feed `sink` until the caller cancels. Raises DeadlineExceeded when a call of it takes over 5 s.

        A cursor without an epoch stands for the oldest event that is still kept.
        """
        position = self._position(cursor)
        while True:
            news = self._bell.next
            if position is None or position < self._oldest:
                position = self._next
                await _within_deadline(sink.resync, self._status(), self._cursor(position))
            elif position < self._next:
                event = self._ring[position - self._oldest]
                position += 1
                await _within_deadline(sink.event, event, self._cursor(position))
            else:
                await news.wait()

    @property
    def position(self) -> Cursor:
        """The cursor behind the latest event."""
        return self._cursor(self._next)

    def kept(self, cursor: Cursor | None, *, most: int) -> tuple[tuple[tuple[Event, Cursor], ...], bool]:
        """What is kept behind `cursor` (None: at all), the oldest first, and whether nothing before it was missed.

        Each event comes with the cursor behind it. At most `most` of them: the first ones behind a cursor that is
        known, else the latest ones.
        """
        position = self._position(cursor)
        first = max(self._oldest, self._next - most) if position is None else position
        last = min(self._next, first + most)
        found = tuple((self._ring[at - self._oldest], self._cursor(at + 1)) for at in range(first, last))
        return found, position is not None

    @property
    def _oldest(self) -> int:
        return self._next - len(self._ring)

    def _position(self, cursor: Cursor | None) -> int | None:
        if cursor is not None and not cursor.epoch:
            return self._oldest
        if cursor is None or cursor.epoch != self._epoch or not self._oldest <= cursor.sequence <= self._next:
            return None
        return cursor.sequence

    def _cursor(self, position: int) -> Cursor:
        return Cursor(epoch=self._epoch, sequence=position)


async def _within_deadline(call: Callable[..., object], *args: object) -> None:
    try:
        with trio.fail_after(SINK_DEADLINE_SECONDS):
            await call(*args)  # type: ignore[misc]  # both methods of a sink are coroutine functions
    except trio.TooSlowError as error:
        raise DeadlineExceeded(f"the watcher took longer than {SINK_DEADLINE_SECONDS:g} s for an event") from error
