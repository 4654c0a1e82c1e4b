"""Several threads of one process that speak RPC at once: nothing of one gets to, or waits for, another."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from schema.rpc.transport.calls import Ticket, calls_remain
from schema.rpc.transport.sockets import Address, UnixAddress
from schema.tests.rpc.peers import echo_client, echo_server

ROUNDS = 1000
"""So many that two threads read at the same moment time and again."""


def test_what_two_threads_read_at_the_same_moment_stays_apart(tmp_path: Path) -> None:
    async def talk(name: str) -> None:
        data = name.encode() * 60_000
        async with echo_server(UnixAddress(tmp_path / name)) as (_, real), echo_client(real) as client:
            for _ in range(ROUNDS):
                assert (await client.bootstrap.echo(data=data)).data == data

    with ThreadPoolExecutor() as threads:
        for talking in [threads.submit(trio.run, talk, name) for name in ("a", "b")]:
            talking.result()


async def test_a_call_that_waits_in_one_thread_keeps_the_loop_of_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit(real: Address) -> bytes:
        async with echo_client(real) as client:
            return bytes((await client.bootstrap.echo(data=b"x")).data)

    async with echo_server(UnixAddress(tmp_path / "rpc.sock")) as (server, real), echo_client(real) as client:

        async def hold() -> None:
            await client.bootstrap.hold(milliseconds=60_000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await server.held.wait()
            assert await trio.to_thread.run_sync(partial(trio.run, visit, real)) == b"x"
            server.let_go.set()
    assert "loop stays" not in caplog.text


def a_ticket() -> Ticket:
    call: Any = None
    return Ticket(call)


def test_a_call_that_another_thread_collects_counts_where_it_was_made() -> None:
    made, collected = threading.Event(), threading.Event()
    remains = []

    def make() -> None:
        ticket = a_ticket()
        cycle = [ticket]
        cycle.append(cycle)  # type: ignore[arg-type]
        del ticket, cycle
        remains.append(calls_remain())
        made.set()
        assert collected.wait(60)
        remains.append(calls_remain())

    gc.disable()
    try:
        thread = threading.Thread(target=make)
        thread.start()
        assert made.wait(60)
        gc.collect()
        mine = a_ticket()
        assert calls_remain()
        del mine
        assert not calls_remain()
        collected.set()
        thread.join()
    finally:
        gc.enable()
    assert remains == [True, False]
