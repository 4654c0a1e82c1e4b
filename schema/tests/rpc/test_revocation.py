"""What a session holds ends with its credential: what it asks next, and what runs without asking."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from schema.assignment import Seen
from schema.errors import ProcuratorError, TooLarge, Unauthenticated, Unavailable
from schema.interfaces import MAX_STDIN_BYTES, ExecResult, LogSink, Role, TokenCredential, Vm
from schema.rpc.client import RemoteMaster, open_session, open_worker_session
from schema.rpc.guard import RECHECK_SECONDS
from schema.tests.builders import EPOCH
from schema.tests.rpc.cluster import (
    MemoryBackend,
    MemoryConsole,
    MemoryVm,
    MemoryWorker,
    a_control_plane,
    a_hello,
    a_report,
    prove,
)
from schema.tests.rpc.peers import wait_until
from schema.tests.rpc.test_rights import Sinks


class QuietVm(MemoryVm):
    """Says nothing by itself."""

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        await trio.sleep_forever()

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        await trio.sleep_forever()
        raise AssertionError


class QuietWorker(MemoryWorker):
    def __init__(self) -> None:
        super().__init__()
        self.vms = {"web-0": QuietVm("web-0")}


@asynccontextmanager
async def an_operator(path: Path, worker: MemoryWorker) -> AsyncIterator[tuple[MemoryBackend, RemoteMaster]]:
    async with (
        a_control_plane(path / "rpc.sock") as (backend, address),
        open_worker_session(address, a_hello(), worker, prove),
        open_session(address, Role.OPERATOR, TokenCredential("operator-token")) as master,
    ):
        yield backend, master


async def test_quiet_streams_and_running_commands_end_with_the_token(tmp_path: Path) -> None:
    ended: dict[str, ProcuratorError] = {}

    async def until_it_ends(name: str, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            await call()
        except ProcuratorError as error:
            ended[name] = error

    async with an_operator(tmp_path, QuietWorker()) as (backend, master):
        vm = await master.get_vm("web-0")
        with trio.fail_after(30 * RECHECK_SECONDS):
            async with trio.open_nursery() as nursery:
                logs = lambda: vm.get_logs(follow=True, tail_lines=0, sink=Sinks())  # noqa: E731 # named below
                nursery.start_soon(until_it_ends, "getLogs", logs)
                nursery.start_soon(until_it_ends, "exec", lambda: vm.exec("sleep", ("9",)))
                nursery.start_soon(until_it_ends, "watch", lambda: master.watch(Sinks(), None))
                await trio.sleep(0.1)
                backend.revoked.add("token:operator")
    assert {name: type(error) for name, error in ended.items()} == dict.fromkeys(
        ("getLogs", "exec", "watch"), Unauthenticated
    )


async def a_console(worker: MemoryWorker, vm: Vm) -> tuple[Any, Sinks, MemoryConsole]:
    sinks = Sinks()
    console = await vm.console(sinks, columns=80, rows=24)
    return console, sinks, worker.vms["web-0"].consoles[-1]


class Screen:
    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


async def test_a_console_types_and_shows_until_it_is_closed(tmp_path: Path) -> None:
    worker, screen = MemoryWorker(), Screen()
    async with an_operator(tmp_path, worker) as (_, master):
        vm = await master.get_vm("web-0")
        console = await vm.console(screen, columns=80, rows=24)
        await console.write(b"root\n")
        assert screen.data == b"80x24 login: root\n"
        await console.write(b"x" * 200_000)
        assert len(screen.data) == 200_000 + len(b"80x24 login: root\n")
        await console.resize(columns=100, rows=30)
        there = worker.vms["web-0"].consoles[0]
        assert there.sizes == [(100, 30)]
        await console.close()
        assert there.closed.is_set()
        await console.close()
        with pytest.raises(Unavailable):
            await console.write(b"more")


async def test_a_console_detaches_when_it_is_dropped(tmp_path: Path) -> None:
    worker = MemoryWorker()
    async with an_operator(tmp_path, worker) as (_, master):
        console, _, there = await a_console(worker, await master.get_vm("web-0"))
        await console.resize(columns=1, rows=1)
        assert not there.closed.is_set()
        del console
        await master.get_cluster_status()
        with trio.fail_after(30):
            await there.closed.wait()


async def test_a_console_detaches_when_its_holder_is_gone(tmp_path: Path) -> None:
    worker = MemoryWorker()
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        open_worker_session(address, a_hello(), worker, prove),
    ):
        async with open_session(address, Role.OPERATOR) as master:
            console, _, there = await a_console(worker, await master.get_vm("web-0"))
        assert console.lost.is_set()
        with trio.fail_after(30):
            await there.closed.wait()


async def test_a_console_detaches_with_the_token(tmp_path: Path) -> None:
    worker = MemoryWorker()
    async with an_operator(tmp_path, worker) as (backend, master):
        console, _, there = await a_console(worker, await master.get_vm("web-0"))
        backend.revoked.add("token:operator")
        with pytest.raises(Unauthenticated):
            await console.write(b"rm -rf /\n")
        with trio.fail_after(30 * RECHECK_SECONDS):
            await there.closed.wait()


async def test_a_console_ends_with_its_worker(tmp_path: Path) -> None:
    worker = MemoryWorker()
    async with a_control_plane(tmp_path / "rpc.sock") as (_, address), open_session(address, Role.OPERATOR) as master:
        async with open_worker_session(address, a_hello(), worker, prove):
            console, _, _ = await a_console(worker, await master.get_vm("web-0"))
        with pytest.raises(Unavailable):
            await console.write(b"x")


async def test_a_retired_worker_loses_its_session_and_the_poll_that_it_waits_in(tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "rpc.sock") as (backend, address):
        proof = backend.prover("worker-0")
        async with open_worker_session(address, a_hello(), MemoryWorker(), proof) as session:
            await session.push_data(a_report())
            backend.hold_polls = trio.Event()
            errors: list[type[ProcuratorError]] = []

            async def poll() -> None:
                try:
                    await session.get_assignment(Seen(EPOCH, 1))
                except ProcuratorError as error:
                    errors.append(type(error))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(poll)
                await trio.sleep(0.05)
                backend.revoked.add("worker:worker-0")
                backend.hold_polls.set()
            assert errors == [Unauthenticated]
            with pytest.raises(Unauthenticated):
                await session.push_data(a_report())


async def test_input_of_a_command_arrives_and_is_bounded(tmp_path: Path) -> None:
    worker = MemoryWorker()
    async with an_operator(tmp_path, worker) as (_, master):
        vm = await master.get_vm("web-0")
        assert (await vm.exec("cat", (), stdin=b"\x00\xff", deadline_ms=5000)).stdout == b"cat\x00\xff"
        assert worker.vms["web-0"].deadlines == [5000]
        with pytest.raises(TooLarge):
            await vm.exec("cat", (), stdin=b"x" * (MAX_STDIN_BYTES + 1))
        await wait_until(lambda: len(worker.vms["web-0"].deadlines) == 1)
