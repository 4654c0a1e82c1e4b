"""An attached console between a stream and its watcher."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from schema.errors import Internal, InvalidInput, Unavailable
from worker.console import PIECE_BYTES, AttachedConsole


class Watcher:
    """`LogSink` that fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.seen = b""
        self.failure = failure

    async def write(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.seen += data


@asynccontextmanager
async def a_console(watcher: Watcher) -> AsyncIterator[tuple[AttachedConsole, trio.SocketStream, trio.Nursery]]:
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair(socket.AF_UNIX))
    async with theirs, trio.open_nursery() as nursery:
        console = AttachedConsole(ours, watcher)
        nursery.start_soon(console.run)
        yield console, theirs, nursery
        await console.close()


async def test_what_the_guest_shows_and_what_is_typed_go_through_as_they_are() -> None:
    watcher = Watcher()
    async with a_console(watcher) as (console, guest, _):
        await console.write(b"\x03ls\r")
        assert await guest.receive_some() == b"\x03ls\r"
        await guest.send_all(b"\x1b[1mhello")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert watcher.seen == b"\x1b[1mhello"
        with pytest.raises(InvalidInput):
            await console.write(bytes(PIECE_BYTES + 1))


async def test_a_watcher_that_fails_ends_its_console_and_nothing_else() -> None:
    async with a_console(Watcher(Internal("its terminal has gone"))) as (console, guest, nursery):
        await guest.send_all(b"hello")
        with trio.fail_after(30):
            assert await guest.receive_some() == b"", "the shim's console is free again"
        assert not nursery.cancel_scope.cancel_called
        with pytest.raises(Unavailable):
            await console.write(b"x")
