"""While KJ's loop is there, cycles are broken on its thread alone: elsewhere what KJ made would end the process."""

import gc
import threading
from pathlib import Path
from typing import Any

import trio

from schema.rpc.transport.sockets import UnixAddress
from schema.tests.rpc.peers import echo_client, echo_server


class Tracked:
    """Part of a cycle, as a capability in an exception with its traceback is; says where it was destroyed."""

    def __init__(self, held: Any, destroyed_on: list[int]) -> None:
        self.held = held
        self.itself = self
        self._destroyed_on = destroyed_on

    def __del__(self) -> None:
        self._destroyed_on.append(threading.get_ident())


def allocate() -> None:
    """More than any threshold: outside of RPC this runs the collector on this thread."""
    kept = [[number] for number in range(200_000)]
    kept.clear()


def test_without_kj_a_thread_that_allocates_collects() -> None:
    destroyed_on: list[int] = []
    gc.collect()  # none is due before the thread's
    Tracked(None, destroyed_on)
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    assert destroyed_on == [thread.ident]


async def test_with_kj_capabilities_in_cycles_are_destroyed_on_its_thread(tmp_path: Path) -> None:
    destroyed_on: list[int] = []
    address = UnixAddress(tmp_path / "s.sock")
    async with echo_server(address), echo_client(address) as client:
        assert not gc.isenabled()
        for _ in range(20):
            Tracked(client, destroyed_on)
            await trio.to_thread.run_sync(allocate)
        kept: list[list[int]] = []
        with trio.fail_after(60):  # it rests after each look, for as long as that took many times over
            while not destroyed_on:
                kept += [[number] for number in range(2 * gc.get_threshold()[0])]
                await trio.sleep(0.01)
        del kept
    assert gc.isenabled()
    assert set(destroyed_on) == {threading.get_ident()}
