"""Events over HTTP: a stream that resumes by id, heartbeats, slow readers and revoked tokens end, and pages of JSON."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from control_plane.http.answers import cursor_of, id_of
from control_plane.http.problems import Refused
from control_plane.http.streams import HEARTBEAT_SECONDS, EventResponse, Streams
from control_plane.tests.builders import a_publish, a_spec
from control_plane.tests.http.reading import an_empty_cluster, client_of, with_tokens
from control_plane.tests.live import running, session
from control_plane.watch import RING, EventStream
from schema.status import ClusterStatus, Convergence, Cursor, Event, EventKind

EPOCH = "e" * 32
STREAM = {"accept": "text/event-stream"}


def some_events(count: int, *, first: int = 0) -> list[Event]:
    return [
        Event(at_ms=n, kind=EventKind.VM, subject=f"web-{n}", message="x" * 50) for n in range(first, first + count)
    ]


def a_status() -> ClusterStatus:
    return ClusterStatus(time_ms=1, epoch=EPOCH, convergence=Convergence.CONVERGED, reason="well")


@dataclass
class Watched:
    """`Master` as far as streams need it."""

    events: EventStream = field(default_factory=lambda: EventStream(epoch=EPOCH, starts=1, status=a_status))

    async def watch(self, sink: Any, cursor: Cursor | None) -> None:
        await self.events.feed(sink, cursor)


@dataclass
class Browser:
    """The other end of an ASGI stream, that takes what is sent as fast as it likes."""

    reads: bool = True
    text: str = ""
    gone: trio.Event = field(default_factory=trio.Event)
    ended: bool = False

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if not self.reads:
            await trio.sleep_forever()
        self.text += message.get("body", b"").decode()
        self.ended = message["type"] == "http.response.body" and not message["more_body"]
        await trio.lowlevel.checkpoint()

    def ids(self) -> list[str]:
        return [line.removeprefix("id: ") for line in self.text.splitlines() if line.startswith("id: ")]


@asynccontextmanager
async def a_stream(
    watched: Watched, browser: Browser, *, last_id: str | None = None, holds: Any = lambda: True
) -> AsyncIterator[Streams]:
    streams = Streams(most=1)
    master: Any = watched
    response = EventResponse(master, last_id=last_id, holds=holds, streams=streams, head_only=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(response, {"type": "http"}, browser.receive, browser.send)
        await trio.testing.wait_all_tasks_blocked()
        yield streams
        nursery.cancel_scope.cancel()


async def test_it_begins_with_a_resync_and_goes_on_with_each_event(autojump_clock: trio.testing.MockClock) -> None:
    watched, browser = Watched(), Browser()
    async with a_stream(watched, browser):
        assert "event: resync\nid: " in browser.text
        assert '"convergence": "converged"' in browser.text
        watched.events.append(some_events(3))
        await trio.testing.wait_all_tasks_blocked()
        told = [json.loads(line[6:]) for line in browser.text.splitlines() if line.startswith("data: ")]
        assert [one["subject"] for one in told[1:]] == ["web-0", "web-1", "web-2"]


async def test_who_comes_again_with_an_id_gets_what_came_behind_it_and_nothing_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched()
    watched.events.append(some_events(10))
    first = id_of(watched.events.position)
    watched.events.append(some_events(5, first=10))
    browser = Browser()
    async with a_stream(watched, browser, last_id=first):
        assert "resync" not in browser.text
        assert len(browser.ids()) == 5
        assert '"web-10"' in browser.text
        assert browser.ids()[-1] == id_of(watched.events.position)


@pytest.mark.parametrize("last_id", ["", "x", f"{EPOCH}.", f"{EPOCH}.-1", "f" * 32 + ".4294967296", f"{EPOCH}.9" * 9])
async def test_an_id_that_is_not_known_begins_again(last_id: str, autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser()
    async with a_stream(Watched(), browser, last_id=last_id):
        assert "event: resync" in browser.text


async def test_who_falls_out_of_the_ring_is_told_to_begin_again(autojump_clock: trio.testing.MockClock) -> None:
    watched = Watched()
    start = id_of(watched.events.position)
    watched.events.append(some_events(RING + 1))
    browser = Browser()
    async with a_stream(watched, browser, last_id=start):
        assert browser.text.count("event: resync") == 1
        assert len(browser.ids()) == 1


async def test_quiet_streams_are_kept_awake(autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser()
    async with a_stream(Watched(), browser):
        await trio.sleep(HEARTBEAT_SECONDS * 3.5)
        assert browser.text.count(":\n\n") == 3


async def test_a_reader_that_takes_nothing_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    watched, browser = Watched(), Browser()
    async with a_stream(watched, browser) as streams:
        assert streams.open == 1
        with pytest.raises(Refused, match="room for no more"):
            streams.check()
        browser.reads = False
        watched.events.append(some_events(1))
        await trio.sleep(11)
        assert streams.open == 0
        streams.check()


async def test_a_stream_ends_when_its_credential_does(autojump_clock: trio.testing.MockClock) -> None:
    watched, browser, valid = Watched(), Browser(), [True]
    async with a_stream(watched, browser, holds=lambda: valid[0]):
        valid.clear()
        valid.append(False)
        watched.events.append(some_events(1))
        await trio.sleep(1)
        assert browser.ended
        assert "web-0" not in browser.text


async def test_a_reader_that_leaves_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser()
    async with a_stream(Watched(), browser) as streams:
        browser.gone.set()
        await trio.sleep(1)
        assert streams.open == 0


def test_an_id_is_a_cursor() -> None:
    cursor = Cursor(epoch=EPOCH, sequence=7)
    assert cursor_of(id_of(cursor)) == cursor


async def test_the_real_program_streams_and_resumes_over_a_real_socket(tmp_path: Path) -> None:
    settings = with_tokens(tmp_path)
    async with running(settings) as addresses, client_of(addresses["http"]) as client, session(settings) as master:
        first = await read_until(
            addresses["http"], "published from", once_begun=partial(master.publish_state, a_publish(1, a_spec()))
        )
        assert first.index("event: resync") < first.index("published from")
        ids = [line[4:] for line in first.splitlines() if line.startswith("id: ")]
        await master.publish_state(a_publish(2, a_spec("web", "2")))
        rest = await read_until(addresses["http"], "published from", last_id=ids[-1])
        assert "event: resync" not in rest
        page = (await client.get("/v1/events", params={"cursor": ids[-1]})).json()
        assert page["complete"] is True
        assert any(one["event"]["message"].startswith("published from") for one in page["items"])
        assert page["items"][-1]["id"] == page["cursor"]
        behind = (await client.get("/v1/events", params={"cursor": page["cursor"]})).json()
        assert behind["complete"] is True  # the reconciler may have told more meanwhile
        assert not {one["id"] for one in behind["items"]} & {one["id"] for one in page["items"]}
        assert (await client.get("/v1/events", params={"cursor": "f" * 32 + ".1"})).json()["complete"] is False
        head = await client.head("/v1/events", headers=STREAM)
        assert head.headers["content-type"].startswith("text/event-stream")


async def nothing() -> None:
    pass


async def a_request(address: str, **headers: str) -> trio.SocketStream:
    host, _, port = address.rpartition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    text = f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{''.join(lines)}\r\n"
    await stream.send_all(text.encode())
    return stream


async def read_until(
    address: str, word: str, *, last_id: str = "", once_begun: Callable[[], Awaitable[object]] = nothing
) -> str:
    """What the stream sends up to `word`."""
    heard = ""
    async with await a_request(address, **({"last_event_id": last_id} if last_id else {})) as stream:
        with trio.fail_after(60):
            while word not in heard:
                if "id: " in heard:
                    await once_begun()
                heard += (await stream.receive_some()).decode()
    return heard.replace("\r\n", "\n")


async def until_open(client: httpx.AsyncClient, count: int) -> None:
    while f"procurator_event_streams {count}.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 another process
        await trio.sleep(0.05)


async def test_sixty_four_streams_that_read_nothing_do_not_keep_others_waiting(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path) as client:
        address = f"{client.base_url.host}:{client.base_url.port}"
        async with AsyncExitStack() as idle:
            for _ in range(64):
                await idle.enter_async_context(await a_request(address))
            with trio.fail_after(60):
                await until_open(client, 64)
            full = await client.get("/v1/events", headers=STREAM)
            assert full.status_code == 503
            assert full.headers["retry-after"] == "1"
            assert (await client.get("/v1/status")).status_code == 200
        with trio.fail_after(60):
            await until_open(client, 0)
