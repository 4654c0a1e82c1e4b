"""Peers that send garbage, stall, flood or do not read: each loses its own connection, and nobody else notices."""

import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import capnp
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import InvalidInput, ProcuratorError, TooLarge
from schema.rpc.transport.frames import FrameMeter
from schema.rpc.transport.limits import MIB, Limits, ServerLimits
from schema.rpc.transport.serve import serve
from schema.rpc.transport.sockets import TcpAddress, UnixAddress
from schema.tests.rpc.peers import ECHO, EchoServer, echo_client, echo_server, failure_of, wait_until

PATIENT = Limits(stall_seconds=300, stranger_seconds=300)
"""What ends a connection of such a server within 30 s is no deadline of it."""
CALL_HEADER = struct.pack("<II", 0, 4)


@asynccontextmanager
async def raw_peer(address: UnixAddress) -> AsyncIterator[trio.SocketStream]:
    stream = await trio.open_unix_socket(str(address.path))
    async with stream:
        yield stream


async def closed_by_server(stream: trio.SocketStream) -> bool:
    with trio.fail_after(30):
        try:
            while await stream.receive_some(65536):
                pass
        except trio.BrokenResourceError:
            pass
    return True


async def still_serves(address: UnixAddress) -> bool:
    async with echo_client(address) as client:
        return bytes((await client.bootstrap.echo(data=b"x")).data) == b"x"


async def recorded(address: UnixAddress, tmp_path: Path) -> bytes:
    """The bytes that a client of ours sends for a few calls."""
    relay = trio.socket.socket(trio.socket.AF_UNIX)
    await relay.bind(str(tmp_path / "relay.sock"))
    relay.listen()
    sent = bytearray()

    async def forward(source: Any, target: Any, keep: bool) -> None:
        while chunk := await source.receive_some(65536):
            if keep:
                sent.extend(chunk)
            await target.send_all(chunk)

    async with trio.open_nursery() as nursery:

        async def run() -> None:
            there = trio.SocketStream((await relay.accept())[0])
            onward = await trio.open_unix_socket(str(address.path))
            async with there, onward, trio.open_nursery() as both:
                both.start_soon(forward, there, onward, True)
                both.start_soon(forward, onward, there, False)

        nursery.start_soon(run)
        async with echo_client(UnixAddress(tmp_path / "relay.sock")) as client:
            await client.bootstrap.echo(data=b"hello" * 20)
            await failure_of(lambda: client.bootstrap.fail(code="stale"))
            sink = client.connection.export(ECHO.Sink, {"push": lambda call: None})
            await client.bootstrap.feed(sink=sink, count=2)
        nursery.cancel_scope.cancel()
    relay.close()
    return bytes(sent)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 4096,
        b"\x00" * 4096,
        struct.pack("<II", 0, 2**31),
        struct.pack("<II", 511, 2**31 - 1) + struct.pack("<511I", *[2**31 - 1] * 511) + b"\0" * 8,
        CALL_HEADER + b"\xff" * 32,
        CALL_HEADER + bytes(range(32)),
    ],
    ids=["http", "ones", "zeros", "huge", "huge segments", "wild pointers", "counting"],
)
async def test_garbage_loses_its_own_connection_only(tmp_path: Path, garbage: bytes) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address, PATIENT), echo_client(address) as other, raw_peer(address) as peer:
        await peer.send_all(garbage)
        await peer.send_eof()
        assert await closed_by_server(peer)
        assert bytes((await other.bootstrap.echo(data=b"x")).data) == b"x"


async def test_a_thousand_damaged_conversations_harm_nobody(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    dice = random.Random(2)  # noqa: S311 # repeatable, and no secret
    async with echo_server(address, PATIENT) as (server, _), echo_client(address) as other:
        good = await recorded(address, tmp_path)
        assert len(good) > 300
        for round_ in range(1000):
            damaged = bytearray(good)
            for _ in range(dice.choice([1, 1, 2, 8, 64])):
                damaged[dice.randrange(len(damaged))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
            if dice.random() < 0.2:
                damaged = damaged[: dice.randrange(len(damaged))]
            async with raw_peer(address) as peer:
                try:
                    await peer.send_all(damaged)
                    await peer.send_eof()
                except trio.BrokenResourceError:
                    continue
                assert await closed_by_server(peer)
            if round_ % 50 == 0:
                assert bytes((await other.bootstrap.echo(data=b"x")).data) == b"x"
        assert await still_serves(address)
        await wait_until(lambda: server.running == 0)


async def test_a_peer_that_stalls_inside_a_message_is_dropped(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address, Limits(stall_seconds=0.1)) as (server, _), raw_peer(address) as peer:
        await peer.send_all(struct.pack("<II", 0, 4) + b"\0" * 8)
        assert await closed_by_server(peer)
        assert "stalled" in server.connections[0].reason
        assert await still_serves(address)


async def test_a_stranger_may_not_stay(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    limits = Limits(stranger_seconds=0.1)
    async with echo_server(address, limits, trusting=False) as (server, _), raw_peer(address) as peer:
        assert await closed_by_server(peer)
        assert "log in" in server.connections[0].reason


async def test_who_is_known_from_the_start_may_stay(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address, Limits(stranger_seconds=0.1)) as _, echo_client(address) as client:
        await trio.sleep(0.3)
        assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_a_stranger_may_not_send_large_messages(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address, PATIENT, trusting=False) as (server, _), echo_client(address) as client:
        await client.bootstrap.echo(data=b"x" * 60_000)
        await failure_of(lambda: client.bootstrap.echo(data=b"x" * 70_000))
        assert "over the limit of 65536" in server.connections[0].reason


async def test_a_message_over_the_limit_is_refused_before_it_arrives(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address, Limits(message_bytes=MIB)) as (_, real), echo_client(real) as client:
        await failure_of(lambda: client.bootstrap.echo(data=b"x" * (2 * MIB)))
        assert await still_serves(address)


async def test_a_flood_of_waiting_calls_loses_its_connection(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address) as (server, real), echo_client(real) as other:
        async with echo_client(real) as client, trio.open_nursery() as nursery:
            for _ in range(400):
                nursery.start_soon(failure_of, lambda: client.bootstrap.hold(milliseconds=60_000))
            with trio.fail_after(30):
                await client.connection.lost.wait()
        assert "ahead" in server.connections[1].reason
        assert bytes((await other.bootstrap.echo(data=b"x")).data) == b"x"
        await wait_until(lambda: server.running == 0)


async def test_a_peer_that_does_not_read_is_not_read_from_and_then_dropped(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    limits = Limits(stall_seconds=0.3, outgoing_bytes=64 * 1024)
    async with echo_server(address, limits) as (server, real), echo_client(real) as other:
        # A recorded conversation whose answers nobody takes: many calls for much data.
        wanted = await recorded_fill(address, tmp_path)
        async with raw_peer(address) as peer:
            sent = 0
            with trio.move_on_after(2):
                try:
                    await peer.send_all(wanted)
                    sent = len(wanted)
                except trio.BrokenResourceError:
                    pass
            await wait_until(lambda: len(server.connections) == 2)
            slow = server.connections[-1]
            with trio.fail_after(30):
                await slow.lost.wait()
            assert slow.reason == "the peer stopped reading"
            assert sent < len(wanted) or server.running == 0
        assert bytes((await other.bootstrap.echo(data=b"x")).data) == b"x"


async def recorded_fill(address: UnixAddress, tmp_path: Path) -> bytes:
    relay = trio.socket.socket(trio.socket.AF_UNIX)
    await relay.bind(str(tmp_path / "fill.sock"))
    relay.listen()
    sent, meter = bytearray(), FrameMeter(MIB)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            there, _ = await relay.accept()
            with there:
                while chunk := await there.recv(65536):
                    sent.extend(chunk)
                    meter.feed(memoryview(chunk))

        nursery.start_soon(run)
        async with echo_client(UnixAddress(tmp_path / "fill.sock")) as client:
            for _ in range(200):
                nursery.start_soon(failure_of, lambda: client.bootstrap.fill(bytes=500_000))
            await wait_until(lambda: meter.messages > 200 and not meter.inside_message)  # each call, and the bootstrap
            nursery.cancel_scope.cancel()
    relay.close()
    return bytes(sent)


async def test_connections_beyond_the_servers_limit_are_closed(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    server = EchoServer()
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            await serve(
                server.bootstrap,
                address=address,
                server_limits=ServerLimits(connections=2),
                task_status=task_status,
            )

        await nursery.start(run)
        async with raw_peer(address), raw_peer(address), raw_peer(address) as third:
            assert await closed_by_server(third)
        with trio.fail_after(30):
            while True:
                try:
                    assert await still_serves(address)
                    break
                except capnp.KjException:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_hundreds_of_peers_come_and_go_without_a_trace(tmp_path: Path) -> None:
    address = TcpAddress("127.0.0.1", 0)
    async with echo_server(address) as (server, real):

        async def visit() -> None:
            async with echo_client(real) as client:
                await client.bootstrap.echo(data=b"x")

        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(visit)
        await wait_until(lambda: all(connection.lost.is_set() for connection in server.connections))
        assert len(server.connections) == 300
        await wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) < 60)


def framed(sizes: list[int]) -> bytes:
    table = struct.pack(f"<{len(sizes) + 1}I", len(sizes) - 1, *sizes)
    return table + b"\0" * (-len(table) % 8) + b"\xaa" * 8 * sum(sizes)


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), max_size=6),
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
)
def test_the_meter_counts_messages_however_they_are_cut(messages: list[list[int]], cuts: list[int]) -> None:
    stream = b"".join(map(framed, messages))
    meter = FrameMeter(10_000)
    at = 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        meter.feed(memoryview(stream)[at : at + step])
        at += step
    assert meter.messages == len(messages)
    assert not meter.inside_message


@given(st.binary(max_size=200))
def test_the_meter_survives_any_bytes(stream: bytes) -> None:
    try:
        FrameMeter(1000).feed(memoryview(stream))
    except ProcuratorError as error:
        assert isinstance(error, TooLarge | InvalidInput)
