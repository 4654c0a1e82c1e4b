"""Server-sent events: the parts of a page that have changed, and more of a log; it knows no page.

One event is `part` with `{"id", "html"}`, or `log` with `{"text"}` and the log's offset as the event's id, from which
a browser that lost its connection goes on. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from repohub.pages.words import plain
from repohub.watching import Pulse
from schema.builds import LogPage
from schema.errors import ProcuratorError
from schema.http import Receive, Scope, Send

BUSY_SECONDS = 1.0
"""A page on which something is at work is looked at this often."""
CALM_SECONDS = 10.0
"""And every other one; both at once when something changes."""
LOG_SECONDS = 0.5

Parts = Callable[[], Awaitable[tuple[Mapping[str, str], bool]]]
"""The HTML of each part by its element's id, and whether something on the page is at work."""

ReadLog = Callable[[int], Awaitable[LogPage]]
"""A piece of the log from an offset."""


@dataclass(slots=True)
class LogFeed:
    """A log that is still being written, from where the page ends."""

    read: ReadLog
    offset: int
    complete: bool = False


@dataclass(slots=True)
class EventStream:
    """An ASGI answer that goes on until the browser leaves, and while it runs counts in `open_streams`."""

    parts: Parts
    pulses: Sequence[Pulse]
    log: LogFeed | None
    open_streams: set[object]
    _sent: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        token = object()
        self.open_streams.add(token)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()
        finally:
            self.open_streams.discard(token)

    async def _write(self, send: Send) -> None:
        while True:
            counts = [pulse.count for pulse in self.pulses]
            parts, is_busy = await self.parts()
            for part, html in parts.items():
                if self._sent.get(part) != html:
                    self._sent[part] = html
                    await _event(send, "part", {"id": part, "html": html})
            is_logging = self.log is not None and not self.log.complete
            if self.log is not None and is_logging:
                await self._more_log(self.log, send)
            # A comment: it keeps proxies from closing, and shows us when nobody reads any more.
            await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
            with trio.move_on_after(LOG_SECONDS if is_logging else BUSY_SECONDS if is_busy else CALM_SECONDS):
                await self._changed(counts)

    async def _more_log(self, log: LogFeed, send: Send) -> None:
        while not log.complete:
            try:
                piece = await log.read(log.offset)
            except ProcuratorError:
                return  # the parts say so; the log goes on from here when CI is back
            log.offset, log.complete = piece.next_offset, piece.complete
            if not piece.text:
                return
            await _event(send, "log", {"text": plain(piece.text)}, event_id=log.offset)

    async def _changed(self, counts: Sequence[int]) -> None:
        async with trio.open_nursery() as nursery:

            async def one(pulse: Pulse, count: int) -> None:
                await pulse.after(count)
                nursery.cancel_scope.cancel()

            for pulse, count in zip(self.pulses, counts, strict=True):
                nursery.start_soon(one, pulse, count)


async def _event(send: Send, name: str, data: Mapping[str, str], *, event_id: int | None = None) -> None:
    lines = [f"event: {name}", f"data: {json.dumps(data)}"]
    if event_id is not None:
        lines.append(f"id: {event_id}")
    body = ("\n".join(lines) + "\n\n").encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
