"""One connection's bounds on top of uvicorn's httptools protocol: slow headers, long headers, readers; no routes.

uvicorn bounds the time between two requests, but neither how long or large headers may be, nor how long a client may
leave an answer unread, nor how long the rest of a refused upload may trickle in.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024


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

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request's headers."""
        super().connection_made(transport)
        self._at = _At.BETWEEN
        self._header_bytes = 0
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
        is_drained = self._at is _At.BODY and self.cycle.response_complete
        if (self._at is _At.HEADERS or is_drained) and self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._at = _At.HEADERS

    def on_headers_complete(self) -> None:
        """The app takes over: it bounds the body itself."""
        self._at, self._header_bytes = _At.BODY, 0
        self._stop_header_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body's last byte."""
        self._at = _At.BETWEEN
        self._stop_header_timer()
        super().on_message_complete()

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


def bounded_protocol(bounds: Bounds) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, which makes one of it for each connection."""
    return type("BoundedProtocolWithBounds", (BoundedProtocol,), {"bounds": bounds})
