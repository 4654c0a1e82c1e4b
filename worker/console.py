"""An attached console: a connection to the shim, its bytes to the one who watches and back; it strips nothing."""

from collections.abc import Callable
from contextlib import suppress

import trio

from schema.errors import InvalidInput, ProcuratorError, Unavailable
from schema.interfaces import SINK_DEADLINE_SECONDS, LogSink

PIECE_BYTES = 65_536


class AttachedConsole:
    """`schema.interfaces.Console` over the shim's console connection. `run` moves the output until either side ends."""

    def __init__(self, stream: trio.SocketStream, output: LogSink) -> None:
        self._stream = stream
        self._output = output
        self._scope = trio.CancelScope()
        self._sending = trio.Lock()
        self._is_over = False

    async def run(self) -> None:
        """Until it is closed, the VM is gone, or its watcher takes longer than 5 s for a piece."""
        try:
            # Whatever its watcher's side fails with: nobody waits for this task, and it may not end the worker.
            with self._scope, suppress(trio.BrokenResourceError, trio.ClosedResourceError, ProcuratorError):
                await self._show()
        finally:
            self._is_over = True
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self._stream.aclose()

    async def _show(self) -> None:
        while data := await self._stream.receive_some(PIECE_BYTES):
            with trio.move_on_after(SINK_DEADLINE_SECONDS) as slow:
                await self._output.write(bytes(data))
            if slow.cancelled_caught:
                return

    async def write(self, data: bytes) -> None:
        """See `Console.write`. Raises InvalidInput for more than 64 KiB."""
        if len(data) > PIECE_BYTES:
            raise InvalidInput(f"{len(data)} bytes at once; a console takes {PIECE_BYTES}")
        if self._is_over:
            raise Unavailable("the console is closed")
        try:
            async with self._sending:
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unavailable("the console is closed") from error

    async def resize(self, *, columns: int, rows: int) -> None:
        """See `Console.resize`: a serial line has no size to tell; who wants one sets it in the guest (`stty`)."""
        if min(columns, rows) < 1:
            raise InvalidInput(f"a terminal of {columns} columns and {rows} rows")

    async def close(self) -> None:
        """See `Console.close`."""
        self._scope.cancel()


Spawn = Callable[..., None]
"""A nursery's `start_soon`."""
