"""Events to a client as server-sent events: ids to resume by, heartbeats, an end for who is too slow; it makes none."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from starlette.types import Receive, Scope, Send

from control_plane.http.answers import cursor_of, id_of
from control_plane.http.problems import Refused, headers_of, problem
from control_plane.http.routes import STREAM
from schema.errors import ProcuratorError, Unauthenticated
from schema.interfaces import SINK_DEADLINE_SECONDS, Master
from schema.status import ClusterStatus, Cursor, Event

HEARTBEAT_SECONDS = 15.0
"""How long nothing is sent at most: proxies keep quiet connections about a minute."""
RETRY_MS = 2000
"""When a browser connects again."""
MOST_STREAMS = 64
"""Streams at the same time."""


class Streams:
    """Counts the streams that are open."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self.open = 0
        self._most = most

    def check(self) -> None:
        """Raises Refused when there is no room for another."""
        if self.open >= self._most:
            detail = f"{self._most} streams are open, and there is room for no more"
            raise Refused(problem("unavailable", detail), **headers_of(503))


class EventResponse:
    """One stream, as a response. `holds` is asked before each event whether the credential still does."""

    def __init__(
        self, master: Master, *, last_id: str | None, holds: Callable[[], bool], streams: Streams, head_only: bool
    ) -> None:
        self._master = master
        self._cursor = cursor_of(last_id)
        self._holds = holds
        self._streams = streams
        self._head_only = head_only
        self._turn = trio.Lock()
        self._is_gone = False
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it until either side ends it."""
        self._send = send
        headers = [(b"content-type", f"{STREAM}; charset=utf-8".encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._streams.open += 1
        try:
            if not self._head_only:
                await self._serve(receive)
            if not self._is_gone:
                with trio.move_on_after(SINK_DEADLINE_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.open -= 1

    async def _serve(self, receive: Receive) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave, receive, nursery.cancel_scope)
            nursery.start_soon(self._beat, nursery.cancel_scope)
            await self._write(f"retry: {RETRY_MS}\n\n")
            with suppress(ProcuratorError):  # too slow, or its credential is over: it may come again
                await self._master.watch(self, self._cursor)
            nursery.cancel_scope.cancel()

    async def _leave(self, receive: Receive, stream: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        stream.cancel()

    async def _beat(self, stream: trio.CancelScope) -> None:
        while self._holds():
            await trio.sleep(HEARTBEAT_SECONDS)
            with trio.move_on_after(SINK_DEADLINE_SECONDS) as patience:
                await self._write(":\n\n")
            if patience.cancelled_caught:
                break
        stream.cancel()

    async def event(self, event: Event, cursor: Cursor) -> None:
        """As EventSink.event."""
        await self._tell("", cursor, event.model_dump(mode="json", by_alias=True))

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        """As EventSink.resync. The status itself is not sent: it may be large, and is there to be read in pages."""
        summary = {
            "timeMs": snapshot.time_ms,
            "convergence": snapshot.convergence,
            "reason": snapshot.reason,
            "read": ["/v1/status", "/v1/vms", "/v1/workers"],
        }
        await self._tell("event: resync\n", cursor, summary)

    async def _tell(self, kind: str, cursor: Cursor, data: dict[str, Any]) -> None:
        if not self._holds():
            raise Unauthenticated("the credential was revoked or has expired")
        await self._write(f"{kind}id: {id_of(cursor)}\ndata: {json.dumps(data)}\n\n")

    async def _write(self, text: str) -> None:
        async with self._turn:
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})
