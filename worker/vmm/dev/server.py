"""Serves the API on a listening socket: one request at a time, ten connections, as recorded; it decides no answer."""

import contextlib
import selectors
import socket
from collections.abc import Callable

from worker.vmm.dev.api import Answer
from worker.vmm.dev.wire import (
    CONTINUE,
    TOO_MANY_CONNECTIONS,
    HttpRequest,
    Malformed,
    NeedsContinue,
    RequestReader,
    layer_error,
)

MAX_CONNECTIONS = 10
READ_BYTES = 65_536
LAST_WORD_SECONDS = 1.0
"""How long the answer to `vmm.shutdown` may take to leave."""


class ApiServer:
    """The API's connections. `respond` carries a request out and answers; `on_end` hears of `vmm.shutdown`."""

    def __init__(
        self,
        *,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        respond: Callable[[HttpRequest], Answer],
        on_end: Callable[[], None],
    ) -> None:
        self._selector = selector
        self._listener = listener
        self._respond = respond
        self._on_end = on_end
        self._connections: set[_Connection] = set()
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Close the listener and every connection."""
        self._selector.unregister(self._listener)
        self._listener.close()
        for connection in tuple(self._connections):
            self._drop(connection)

    def _accept(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            accepted, _ = self._listener.accept()
            if len(self._connections) >= MAX_CONNECTIONS:
                with accepted:
                    accepted.send(layer_error(503, TOO_MANY_CONNECTIONS, close=True))
                return
            accepted.setblocking(False)
            connection = _Connection(accepted)
            self._connections.add(connection)
            self._selector.register(accepted, selectors.EVENT_READ, lambda mask: self._ready(connection, mask))

    def _ready(self, connection: "_Connection", mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ:
                data = connection.socket.recv(READ_BYTES)
                if not data:
                    self._drop(connection)
                    return
                self._take(connection, data)
            if connection not in self._connections:
                return
            connection.flush()
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.waiting else 0)
        self._selector.modify(connection.socket, wanted, self._selector.get_key(connection.socket).data)

    def _take(self, connection: "_Connection", data: bytes) -> None:
        for event in connection.reader.feed(data):
            match event:
                case HttpRequest():
                    answer = self._respond(event)
                    connection.waiting += answer.content
                    if answer.ends_process:
                        connection.socket.settimeout(LAST_WORD_SECONDS)
                        connection.flush()
                        self._on_end()
                        return
                case Malformed(text):
                    connection.waiting += layer_error(400, text)
                case NeedsContinue():
                    connection.waiting += CONTINUE

    def _drop(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()


class _Connection:
    """One client: its unread requests and its unsent answers."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.reader = RequestReader()
        self.waiting = b""

    def flush(self) -> None:
        """Send what the client takes now."""
        while self.waiting:
            sent = self.socket.send(self.waiting)
            self.waiting = self.waiting[sent:]
