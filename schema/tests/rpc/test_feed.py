"""The queue in front of a sink, and the sink's deadline."""

from pathlib import Path

import pytest
import trio

from schema.errors import DeadlineExceeded, ProcuratorError, Unavailable
from schema.interfaces import SINK_DEADLINE_SECONDS, Role
from schema.rpc.client import open_session, open_worker_session
from schema.rpc.feed import EventFeed
from schema.rpc.handlers import at_once, immediate
from schema.status import ClusterStatus, Cursor, Event, EventKind
from schema.tests.builders import EPOCH
from schema.tests.rpc.cluster import STATUS, MemoryWorker, a_control_plane, a_hello, prove


def an_event(number: int) -> tuple[Event, Cursor]:
    event = Event(at_ms=number, kind=EventKind.VM, subject="web-0", message=str(number))
    return event, Cursor(epoch=EPOCH, sequence=number)


class Stream:
    """Events as they came, and snapshots as the sequence that they stand for."""

    def __init__(self, *, pace: trio.Semaphore | None = None) -> None:
        self.got: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self._pace = pace

    async def _take(self, what: str) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self._pace:
            await self._pace.acquire()
        await trio.lowlevel.checkpoint()
        self.got.append(what)
        self.in_flight -= 1

    async def event(self, event: Event, cursor: Cursor) -> None:
        await self._take(f"event {cursor.sequence}")

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        await self._take(f"resync {cursor.sequence}")


class Source:
    def __init__(self) -> None:
        self.sequence = 0

    def snapshot(self) -> tuple[ClusterStatus, Cursor]:
        return STATUS, Cursor(epoch=EPOCH, sequence=self.sequence)

    def happen(self, feed: EventFeed, times: int = 1) -> None:
        for _ in range(times):
            self.sequence += 1
            feed.offer(*an_event(self.sequence))


async def test_a_feed_begins_with_a_snapshot_and_goes_on_with_events(autojump_clock: trio.testing.MockClock) -> None:
    source, stream = Source(), Stream()
    feed = EventFeed(source.snapshot)
    source.happen(feed)  # before the snapshot is taken: it is in it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run, stream)
        await trio.sleep(1)
        source.happen(feed, 3)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stream.got == ["resync 1", "event 2", "event 3", "event 4"]


async def test_a_feed_resumes_behind_the_watchers_cursor(autojump_clock: trio.testing.MockClock) -> None:
    source, stream = Source(), Stream()
    source.sequence = 5
    feed = EventFeed(source.snapshot, resume=(an_event(4), an_event(5)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run, stream)
        source.happen(feed)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stream.got == ["event 4", "event 5", "event 6"]


async def test_what_a_slow_watcher_missed_collapses_into_one_resync(autojump_clock: trio.testing.MockClock) -> None:
    pace = trio.Semaphore(2)
    source, stream = Source(), Stream(pace=pace)
    feed = EventFeed(source.snapshot, size=8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run, stream)
        await trio.sleep(1)
        source.happen(feed, 1)
        await trio.sleep(1)
        source.happen(feed, 1000)
        for _ in range(3):
            pace.release()
        await trio.sleep(1)
        source.happen(feed, 1)
        pace.release()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stream.got[:2] == ["resync 0", "event 1"]
    assert stream.got.count("resync 1001") == 1
    assert stream.got[-1] == "event 1002"
    assert stream.most_in_flight == 1
    assert feed.resyncs == 2


async def test_a_sink_that_fails_ends_its_feed(autojump_clock: trio.testing.MockClock) -> None:
    class Gone(Stream):
        async def _take(self, what: str) -> None:
            raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await EventFeed(Source().snapshot).run(Gone())


async def test_a_sink_that_takes_too_long_ends_its_stream(tmp_path: Path) -> None:
    class Stuck:
        async def write(self, data: bytes) -> None:
            await trio.sleep_forever()

    assert SINK_DEADLINE_SECONDS == 5
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        open_worker_session(address, a_hello(), MemoryWorker(), prove),
        open_session(address, Role.VIEWER) as master,
    ):
        vm = await master.get_vm("web-0")
        started = trio.current_time()
        with pytest.raises(ProcuratorError) as caught:
            await vm.get_logs(follow=True, tail_lines=1, sink=Stuck())
        assert isinstance(caught.value, DeadlineExceeded)
        assert 4.5 < trio.current_time() - started < 30


def test_an_immediate_method_that_waits_is_a_bug() -> None:
    @immediate
    async def waits() -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(RuntimeError, match="marked @immediate and waits"):
        trio.run(lambda: _run(waits))


async def _run(waits: object) -> None:
    at_once(waits())  # type: ignore[operator] # the coroutine function above
