"""Watchers: order, resync on overflow, and the deadline of a slow one."""

import pytest
import trio
import trio.testing

from control_plane.convergence import Moment, cluster_status
from control_plane.observations import Observations
from control_plane.tests.builders import EPOCH, a_snapshot
from control_plane.watch import RING, EventStream
from schema.errors import DeadlineExceeded
from schema.status import ClusterStatus, Cursor, Event, EventKind


def a_status() -> ClusterStatus:
    return cluster_status(a_snapshot(), Observations(), Moment(now_ms=0, wall_ms=0))


def some_events(count: int) -> list[Event]:
    return [Event(at_ms=0, kind=EventKind.VM, subject="web-0", message=str(number)) for number in range(count)]


class Sink:
    """Takes events, each after `gate` lets it; tells what came."""

    def __init__(self, *, delay: float = 0) -> None:
        self.delay = delay
        self.seen: list[str] = []
        self.cursors: list[int] = []

    async def event(self, event: Event, cursor: Cursor) -> None:
        await trio.sleep(self.delay)
        self.seen.append(event.message)
        self.cursors.append(cursor.sequence)

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        self.seen.append("resync")
        self.cursors.append(cursor.sequence)


def a_stream(starts: int = 1) -> EventStream:
    return EventStream(epoch=EPOCH, starts=starts, status=a_status)


async def test_events_come_in_order_after_the_first_snapshot(autojump_clock: trio.testing.MockClock) -> None:
    stream, sink = a_stream(), Sink()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.feed, sink, None)
        await trio.sleep(1)
        stream.append(some_events(3))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert sink.seen == ["resync", "0", "1", "2"]
    assert sink.cursors == sorted(sink.cursors)


async def test_a_watcher_that_falls_behind_begins_again_from_a_snapshot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream, sink = a_stream(), Sink(delay=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.feed, sink, None)
        await trio.sleep(1)
        stream.append(some_events(2))
        await trio.sleep(0.5)
        stream.append(some_events(RING + 5))
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert sink.seen == ["resync", "0", "resync"]


async def test_a_cursor_of_another_start_is_never_taken_for_one_of_this(
    autojump_clock: trio.testing.MockClock,
) -> None:
    before, after = a_stream(starts=1), a_stream(starts=2)
    before.append(some_events(5))
    after.append(some_events(5))
    sink = Sink()
    with trio.move_on_after(1):
        await after.feed(sink, before._cursor(before._next - 2))
    assert sink.seen == ["resync"]


async def test_a_sink_that_takes_too_long_ends_its_stream(autojump_clock: trio.testing.MockClock) -> None:
    stream, sink = a_stream(), Sink(delay=6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_append_later, stream)
        with pytest.raises(DeadlineExceeded):
            await stream.feed(sink, None)


async def _append_later(stream: EventStream) -> None:
    await trio.sleep(1)
    stream.append(some_events(1))
