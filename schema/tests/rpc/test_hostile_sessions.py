"""A recorded session of every role, damaged and replayed: the control plane goes on, nothing is half-done."""

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from schema.errors import Unavailable
from schema.interfaces import Role
from schema.rpc.client import open_session, open_worker_session
from schema.rpc.transport.sockets import Address, UnixAddress
from schema.tests.builders import a_publish, a_vm_spec
from schema.tests.rpc.cluster import STATUS, MemoryWorker, a_control_plane, a_hello, a_report, prove


async def recorded(address: UnixAddress, path: Path) -> list[bytes]:
    """What a worker and an admin send, a conversation each."""
    conversations: list[bytearray] = []

    async def forward(source: Any, target: Any, kept: bytearray | None) -> None:
        while chunk := await source.receive_some(65536):
            if kept is not None:
                kept.extend(chunk)
            await target.send_all(chunk)

    async def relay(stream: trio.SocketStream) -> None:
        kept = bytearray()
        conversations.append(kept)
        onward = await trio.open_unix_socket(str(address.path))
        async with stream, onward, trio.open_nursery() as both:
            both.start_soon(forward, stream, onward, kept)
            both.start_soon(forward, onward, stream, None)

    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [trio.SocketListener(listener)])
        async with (
            open_worker_session(UnixAddress(path), a_hello(), MemoryWorker(), prove) as session,
            open_session(UnixAddress(path), Role.ADMIN) as master,
        ):
            await session.push_data(a_report(vms=3))
            await session.get_assignment(None)
            await master.publish_state(a_publish(a_vm_spec(), a_vm_spec("db"), number=5))
            await (await master.get_vm("web-0")).exec("uname", ("-a",))
        nursery.cancel_scope.cancel()
    return [bytes(kept) for kept in conversations]


async def replay(address: UnixAddress, sent: bytes) -> None:
    stream = await trio.open_unix_socket(str(address.path))
    async with stream:
        with trio.move_on_after(2):
            try:
                await stream.send_all(sent)
                await stream.send_eof()
                while await stream.receive_some(65536):
                    pass
            except trio.BrokenResourceError:
                pass


@pytest.mark.parametrize("which", [0, 1], ids=["worker", "admin"])
async def test_damaged_sessions_harm_nobody(which: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(which)  # noqa: S311 # repeatable, and no secret
    async with a_control_plane(tmp_path / "rpc.sock") as (backend, address):
        assert isinstance(address, UnixAddress)
        good = (await recorded(address, tmp_path / "relay.sock"))[which]
        assert len(good) > 1500 or which == 0
        async with open_session(address, Role.VIEWER) as watcher:
            backend.published.clear()
            for round_ in range(400):
                damaged = bytearray(good)
                for _ in range(dice.choice([1, 1, 2, 4, 16])):
                    damaged[dice.randrange(len(damaged))] = dice.choice([0, 1, 0x7F, 0xFF, dice.randrange(256)])
                await replay(address, bytes(damaged))
                if round_ % 40 == 0:
                    assert await watcher.get_cluster_status() == STATUS
        for publish in backend.published:
            publish.check_content()  # what got through is whole
    assert "bug" not in caplog.text


async def test_thousands_of_logins_at_once_are_all_served(tmp_path: Path) -> None:
    served = 0

    async def visit(address: Address) -> None:
        nonlocal served
        async with open_session(address, Role.VIEWER, deadline=120) as master:
            await master.get_cluster_status()
            served += 1

    async with a_control_plane(tmp_path / "rpc.sock") as (_, address), trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(visit, address)
    assert served == 300


async def test_what_is_kept_beyond_its_connection_is_harmless(tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        open_worker_session(address, a_hello(), MemoryWorker(), prove),
        open_session(address, Role.ADMIN) as master,
    ):
        vm = await master.get_vm("web-0")
    with pytest.raises(Unavailable, match="is over"):
        await vm.read()
