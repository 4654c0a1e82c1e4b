"""Calls that wait without a task: who goes on with them, and what becomes of those whose caller is gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from schema.errors import Internal, Stale, Unavailable
from schema.rpc.transport.calls import Parked
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.serve import Dialled, serve
from schema.rpc.transport.sockets import Address, UnixAddress
from schema.tests.rpc.peers import ECHO, echo_client, failure_of, wait_until


@dataclass
class ParkingServer:
    """Answers nobody before it is told to."""

    waiting: dict[bytes, Parked] = field(default_factory=dict)
    given_up: list[bytes] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def bootstrap(self, connection: Connection) -> Any:
        connection.trust()
        return connection.export(ECHO.Echo, {"echo": self.echo})

    def echo(self, call: Any) -> Parked:
        data = bytes(call.params.data)
        call.release_params()
        parked = self.waiting[data] = Parked(partial(self.answer, data))
        parked.forget = partial(self.given_up.append, data)
        return parked

    def answer(self, data: bytes, call: Any) -> None:
        if data == b"stale":
            raise Stale("of a call that had waited")
        if data == b"bug":
            raise ZeroDivisionError
        call.results.data = data


@asynccontextmanager
async def parking(tmp_path: Path) -> AsyncIterator[tuple[ParkingServer, Address]]:
    server = ParkingServer()

    async def run(task_status: trio.TaskStatus[Address]) -> None:
        with server.scope:
            await serve(server.bootstrap, address=UnixAddress(tmp_path / "rpc.sock"), task_status=task_status)

    async with trio.open_nursery() as nursery:
        yield server, await nursery.start(run)
        server.scope.cancel()


async def ask(client: Dialled, data: bytes) -> bytes:
    return bytes((await client.bootstrap.echo(data=data)).data)


async def test_calls_are_answered_in_the_order_in_which_they_are_woken(tmp_path: Path) -> None:
    answered: list[bytes] = []

    async with parking(tmp_path) as (server, real), echo_client(real) as client, trio.open_nursery() as nursery:

        async def note(data: bytes) -> None:
            answered.append(await ask(client, data))

        names = [b"a", b"b", b"c"]
        for name in names:
            nursery.start_soon(note, name)
        await wait_until(lambda: len(server.waiting) == 3)
        for number, name in enumerate((b"b", b"c", b"a"), start=1):
            server.waiting[name].wake()
            await wait_until(lambda number=number: len(answered) == number)  # type: ignore[misc] # bound at once
        assert answered == [b"b", b"c", b"a"]
        for parked in server.waiting.values():
            parked.wake()
    assert not server.given_up


@pytest.mark.parametrize(("data", "kind"), [(b"stale", Stale), (b"bug", Internal)])
async def test_an_error_after_the_wait_comes_out_at_the_caller(tmp_path: Path, data: bytes, kind: type) -> None:
    async with parking(tmp_path) as (server, real), echo_client(real) as client, trio.open_nursery() as nursery:

        async def fail() -> None:
            assert isinstance(await failure_of(partial(ask, client, data)), kind)

        nursery.start_soon(fail)
        await wait_until(lambda: data in server.waiting)
        server.waiting[data].wake()


async def test_a_caller_that_gives_up_is_forgotten_and_waking_it_is_nothing(tmp_path: Path) -> None:
    async with parking(tmp_path) as (server, real), echo_client(real) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client, b"x")
            await wait_until(lambda: b"x" in server.waiting)
            nursery.cancel_scope.cancel()
        await wait_until(lambda: server.given_up == [b"x"])
        server.waiting[b"x"].wake()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client, b"y")
            await wait_until(lambda: b"y" in server.waiting)
            server.waiting[b"y"].wake()
    assert server.given_up == [b"x"]


async def test_those_of_a_peer_that_leaves_are_forgotten_and_so_are_all_when_the_server_ends(tmp_path: Path) -> None:
    async with parking(tmp_path) as (server, real), echo_client(real) as stays, trio.open_nursery() as nursery:
        nursery.start_soon(failure_of, partial(ask, stays, b"stays"))
        async with echo_client(real) as leaves:
            nursery.start_soon(failure_of, partial(ask, leaves, b"leaves"))
            await wait_until(lambda: len(server.waiting) == 2)
        await wait_until(lambda: server.given_up == [b"leaves"])
        server.scope.cancel()
        await wait_until(lambda: server.given_up == [b"leaves", b"stays"])


async def test_who_has_more_wait_than_may_loses_its_connection_and_nobody_elses(tmp_path: Path) -> None:
    most = Limits().waiting
    async with parking(tmp_path) as (server, real), echo_client(real) as other, echo_client(real) as flood:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, other, b"other")
            await wait_until(lambda: b"other" in server.waiting)
            for number in range(most + 1):
                nursery.start_soon(failure_of, partial(ask, flood, str(number).encode()))
            await flood.connection.lost.wait()
            await wait_until(lambda: len(server.given_up) >= most)
            assert b"other" not in server.given_up
            server.waiting[b"other"].wake()
        assert isinstance(await failure_of(partial(ask, flood, b"again")), Unavailable)
