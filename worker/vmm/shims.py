"""Has shims forked by a spawner of this process (`spawner.py`); it holds no VM and reads no record."""

import array
import os
import socket
import subprocess  # noqa: TID251 - the VMM process owner
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

import trio

from schema.errors import CommandFailed, DeadlineExceeded, Unavailable
from worker.vmm import spawner
from worker.vmm.forked import ROOM
from worker.vmm.order import STARTED, Order

START_SECONDS = 20.0
END_SECONDS = 5.0
_TRIES = 2


class Shims:
    """Starts shims, many at once; use as an async context manager.

    `modules` of ours are loaded ahead. A spawner that has ended is replaced; with this process it ends, and the shims
    go on.
    """

    def __init__(self, *, modules: Sequence[str] = ()) -> None:
        self._modules = modules
        self._turn = trio.Lock()
        self._channel: trio.socket.SocketType | None = None
        self._process: trio.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def load(self) -> None:
        """Have a spawner at hand before the first shim is wanted; why there is none, each start says."""
        with suppress(OSError):
            async with self._turn:
                await self._opened()

    async def start(self, order: Order) -> None:
        """Start a shim and wait until its hypervisor has been started. Cancelled, nothing of it stays.

        Raises CommandFailed (the program cannot be started, or the lease is over; exit code 3: a shim already holds the
        directory), DeadlineExceeded, Unavailable when the shim or the spawner died, and OSError when there can be none.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        async with trio.lowlevel.FdStream(reading) as report:
            with trio.move_on_after(START_SECONDS):
                try:
                    await self._send(order.to_text().encode(), writing)
                finally:
                    os.close(writing)
                words = b"".join([part async for part in report])
                _check(order, words)
                return
        raise DeadlineExceeded(f"the shim of {order.directory} did not start within {START_SECONDS:g} s")

    async def _send(self, message: bytes, descriptor: int) -> None:
        """Order it, from another spawner where the one we had has gone."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        async with self._turn:
            for _ in range(_TRIES):
                channel = await self._opened()
                try:
                    await channel.sendmsg([message], rights)
                except (BrokenPipeError, ConnectionResetError):
                    await self._end()
                else:
                    return
        raise Unavailable("no spawner of shims stays alive")

    async def _opened(self) -> trio.socket.SocketType:
        if self._channel is None:
            argv = (sys.executable, "-I", "-S", spawner.__file__, ",".join(filter(None, self._modules)), ROOM)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, ExitStack() as undo:
                undo.enter_context(ours)
                self._process = await trio.lowlevel.open_process(
                    argv, stdin=theirs, stdout=subprocess.DEVNULL, start_new_session=True
                )
                undo.pop_all()
            self._channel = trio.socket.from_stdlib_socket(ours)
        return self._channel

    async def _end(self) -> None:
        """The spawner ends by itself once nobody can send to it; one that takes too long over it is killed."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(END_SECONDS):
                    await self._process.wait()
                self._process.kill()
                await self._process.wait()
            self._process = None


def _check(order: Order, words: bytes) -> None:
    code, _, why = words.partition(b" ")
    if code.isdigit():
        raise CommandFailed(argv=order.command, cwd=None, returncode=int(code), stdout=b"", stderr=why)
    if words != STARTED:
        raise Unavailable(f"the shim of {order.directory} ended before it had started the hypervisor")
