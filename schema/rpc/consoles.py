"""Consoles on both ends: a proxy that types, and a capability that detaches when its holder is gone or not allowed."""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import trio

from schema.codec.fields import writing
from schema.codec.wire import worker as wire
from schema.errors import InvalidInput, ProcuratorError, TooLarge
from schema.interfaces import Console
from schema.rpc.handlers import Guard, guarded, method, no_results, nothing
from schema.rpc.remote import Remote, ignore
from schema.rpc.transport.calls import Handler
from schema.rpc.transport.connection import Connection

PIECE_BYTES = 64 * 1024
DETACH_SECONDS = 5.0


class RemoteConsole(Remote):
    """A Console at the other side."""

    async def write(self, data: bytes) -> None:
        """As the Protocol; longer data goes in several pieces."""
        for at in range(0, len(data), PIECE_BYTES):
            request = self._request("write")
            request.data = data[at : at + PIECE_BYTES]
            await self._ask(request, ignore)

    async def resize(self, *, columns: int, rows: int) -> None:
        """As the Protocol."""
        request = self._request("resize")
        with writing("resize"):
            request.columns, request.rows = columns, rows
        await self._ask(request, ignore)

    async def close(self) -> None:
        """As the Protocol; of a connection that is over it has nothing to do."""
        if not self.lost.is_set():
            await self._ask(self._request("close"), ignore)


class _Attached:
    """A console that is detached once, whichever comes first: closed, dropped, connection lost, right lost."""

    def __init__(self, connection: Connection, console: Console, guard: Guard) -> None:
        self._connection = connection
        self._console = console
        self._closed = False
        connection.at_end(self._detach)
        self._release = guard.hold("Console.write", self.end)

    def end(self) -> None:
        """Detach soon; nobody waits for it."""
        if not self._closed:
            self._connection.start(self._detach)

    async def close(self) -> None:
        """Detach."""
        if self._closed:
            return
        self._closed = True
        self._release()
        self._connection.not_at_end(self._detach)
        await self._console.close()

    async def _detach(self) -> None:
        with trio.move_on_after(DETACH_SECONDS, shield=True):
            with suppress(ProcuratorError):  # the worker is gone too, and its end of the console with it
                await self.close()


def export_console(connection: Connection, console: Console, guard: Guard) -> Any:
    """A capability for `console` that asks `guard` before every call; letting go of it detaches."""
    attached = _Attached(connection, console, guard)

    def write(data: bytes) -> Coroutine[Any, Any, None]:
        if len(data) > PIECE_BYTES:
            raise TooLarge(f"{len(data)} bytes at once; a console takes at most {PIECE_BYTES}")
        return console.write(data)

    def resize(size: tuple[int, int]) -> Coroutine[Any, Any, None]:
        columns, rows = size
        if not columns or not rows:
            raise InvalidInput("a terminal has at least one column and one row")
        return console.resize(columns=columns, rows=rows)

    handlers: dict[str, Handler] = {
        "write": method(read=lambda params: bytes(params.data), call=write, write=no_results),
        "resize": method(read=lambda params: (params.columns, params.rows), call=resize, write=no_results),
        "close": method(read=nothing, call=lambda _: attached.close(), write=no_results),
    }
    return connection.export(wire.Console, guarded("Console", wire.Console, guard, handlers), dropped=attached.end)
