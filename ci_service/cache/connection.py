"""One connection's bounds on top of uvicorn's httptools protocol: slow headers, long headers, readers; no routes.

uvicorn bounds the time between two requests, but neither how long or large headers may be, nor how long a client may
leave an answer unread, nor how long the rest of a refused upload may trickle in.
"""

import os
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, ClassVar

import anyio
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ci_service.cache.answers import Answer
from ci_service.cache.quick import QuickReads, quick_bytes
from ci_service.cache.reading import SEND_FILE

MAX_HEADER_BYTES = 64 * 1024


SEND_FILE_PIECE = 4 << 20
"""Bytes that a client must take within `unread_seconds` (60 by default: 70 kB/s)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds, and how many connections there may be."""

    header_seconds: float
    unread_seconds: float
    connections: int


class _At(Enum):
    """Where in a request the parser is."""

    BETWEEN = auto()
    HEADERS = auto()
    BODY = auto()


class BoundedProtocol(HttpToolsProtocol):
    """A connection that ends when its client takes longer or more than `bounds`."""

    bounds: ClassVar[Bounds]
    quick: ClassVar[QuickReads]

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request's headers."""
        super().connection_made(transport)
        self._at = _At.BETWEEN
        self._header_bytes = 0
        self._is_answered = False
        self._unread_timer: Any = None
        self._header_timer: Any = None
        if len(self.connections) > self.bounds.connections:
            transport.abort()
            return
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_header_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not yet a whole request."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._at is _At.HEADERS:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.send_400_response("The headers are too long.")
                return
        is_drained = self._at is _At.BODY and (self._is_answered or self.cycle.response_complete)
        if (self._at is _At.HEADERS or is_drained) and self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._at, self._is_answered = _At.HEADERS, False

    def on_headers_complete(self) -> None:
        """Answer at once what needs no task; else the app takes over, and bounds the body itself."""
        self._at, self._header_bytes = _At.BODY, 0
        self._stop_header_timer()
        is_busy = self.cycle is not None and not self.cycle.response_complete
        answer = None if is_busy else self.quick.answer(self.parser.get_method(), self.url, self.headers)
        if answer is None:
            super().on_headers_complete()
            self.scope["extensions"] = {SEND_FILE: {"send": partial(self._send_file, self.cycle)}}
        else:
            self._is_answered = True
            self._write_quick(answer)

    def _write_quick(self, answer: Answer) -> None:
        keeps = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        self.transport.write(quick_bytes(answer, server_headers=self.server_state.default_headers, keep_alive=keeps))
        if not keeps:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Pass on what the app reads; a body behind a quick answer is dropped."""
        if not self._is_answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body's last byte."""
        self._at = _At.BETWEEN
        self._stop_header_timer()
        if not self._is_answered:
            super().on_message_complete()
        elif not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    async def _send_file(self, cycle: RequestResponseCycle, descriptor: int, start: int, length: int) -> None:
        """`reading.SendFile`: in pieces, so that a client that takes nothing is noticed."""
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                for position in range(start, start + length, SEND_FILE_PIECE):
                    piece = min(SEND_FILE_PIECE, start + length - position)
                    with anyio.fail_after(self.bounds.unread_seconds):
                        if await self.loop.sendfile(self.transport, file, position, piece) < piece:
                            raise OSError(f"a nar's file ends before {position + piece} while it was sent")
        except (ConnectionError, TimeoutError):  # the client went away, or does not read
            cycle.disconnected = True
            self.transport.abort()
        cycle.expected_content_length = 0

    def pause_writing(self) -> None:
        """The client has not read what was sent: it has `unread_seconds` to do so."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(self.bounds.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.bounds.header_seconds, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def bounded_protocol(bounds: Bounds, quick: QuickReads) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, which makes one of it for each connection."""
    return type("BoundedProtocolWithBounds", (BoundedProtocol,), {"bounds": bounds, "quick": quick})
