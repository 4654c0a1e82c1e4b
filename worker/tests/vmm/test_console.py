"""The console through a real shim: both ways, beside the log, and with watchers that do not read."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from schema.errors import InvalidInput, Unavailable
from worker.console import AttachedConsole
from worker.tests.vmm.subjects import PATIENCE, a_folder
from worker.vmm.processes import attach_serial, open_console, start_shim
from worker.vmm.runtime_dir import RuntimeDir, read_log

LOUD = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
line, _ = listener.accept()
while data := line.recv(4096):
    line.sendall(b"flood\\n" * 10000 if data == b"flood" else data.upper())
"""


class Watcher:
    """`LogSink`."""

    def __init__(self) -> None:
        self.seen = b""
        self.changed = trio.Event()

    async def write(self, data: bytes) -> None:
        self.seen += data
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, text: bytes) -> None:
        with trio.fail_after(PATIENCE):
            while text not in self.seen:
                await self.changed.wait()


@asynccontextmanager
async def a_loud_guest() -> AsyncIterator[RuntimeDir]:
    with a_folder() as folder:
        directory = RuntimeDir(folder / "vm")
        live = await start_shim(
            directory, command=(sys.executable, "-c", LOUD, str(directory.serial_socket)), log_bytes=1 << 16
        )
        await attach_serial(directory)
        try:
            yield directory
        finally:
            os.killpg(live.pid, signal.SIGKILL)
            with trio.fail_after(PATIENCE):
                while directory.control_socket.exists():  # noqa: ASYNC110 - the shim removes it last
                    await trio.sleep(0.01)


async def test_what_is_typed_reaches_the_guest_and_its_words_reach_every_watcher_and_the_log() -> None:
    async with a_loud_guest() as directory, trio.open_nursery() as nursery:
        watchers = [Watcher(), Watcher()]
        consoles = [AttachedConsole(await open_console(directory), watcher) for watcher in watchers]
        for console in consoles:
            nursery.start_soon(console.run)
        await consoles[0].write(b"hello ")
        for watcher in watchers:
            await watcher.until(b"HELLO ")
        await consoles[0].close()
        await consoles[1].write(b"again")
        await watchers[1].until(b"AGAIN")
        assert b"AGAIN" not in watchers[0].seen
        assert read_log(directory.serial_log, max_bytes=99) == b"HELLO AGAIN"
        with pytest.raises(Unavailable):
            await consoles[0].write(b"x")
        with pytest.raises(InvalidInput):
            await consoles[1].write(b"x" * 100_000)
        nursery.cancel_scope.cancel()


async def test_a_watcher_that_does_not_read_is_hung_up_on_and_the_guest_goes_on() -> None:
    async with a_loud_guest() as directory:
        silent = await open_console(directory)
        watcher = Watcher()
        async with trio.open_nursery() as nursery:
            console = AttachedConsole(await open_console(directory), watcher)
            nursery.start_soon(console.run)
            for times in range(1, 21):
                await console.write(b"flood")
                await watcher.until(b"flood\n" * (10_000 * times))
            nursery.cancel_scope.cancel()
        async with silent:
            with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
                while await silent.receive_some(1 << 20):
                    pass
        with trio.fail_after(PATIENCE):
            await attach_serial(directory)


async def test_without_a_shim_there_is_no_console() -> None:
    with a_folder() as folder, pytest.raises(Unavailable, match="no shim answers"):
        await open_console(RuntimeDir(folder / "vm"))
