"""The matrix of roles and methods against the wire: without a row a method is denied, and fails here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from schema.codec.wire import master, worker
from schema.errors import PermissionDenied, ProcuratorError
from schema.interfaces import EventSink, LogSink, PeerCredential, Role
from schema.rpc.client import RemoteGateway, open_session, open_worker_session
from schema.rpc.remote import Remote, ignore
from schema.rpc.rights import INCLUDES, RIGHTS, allows
from schema.rpc.sinks import export_event_sink, export_log_sink
from schema.rpc.transport.serve import connect
from schema.rpc.transport.sockets import Address
from schema.status import ClusterStatus, Cursor, Event
from schema.tests.rpc.cluster import MemoryWorker, a_control_plane, a_hello, prove
from schema.tests.rpc.peers import wait_until

SINKS = {"EventSink", "LogSink"}


def interfaces() -> dict[str, Any]:
    return {
        name: value
        for module in (master, worker)
        for name, value in vars(module).items()
        if type(value).__name__ == "_InterfaceModule"
    }


def methods() -> list[str]:
    return [f"{name}.{method}" for name, interface in interfaces().items() for method in interface.schema.method_names]


def test_every_method_of_every_interface_has_a_row_and_every_row_a_method() -> None:
    assert {"Gateway", "Master", "WorkerSession", "Worker", "Vm", "Console"} | SINKS == set(interfaces())
    assert sorted(RIGHTS) == sorted(methods())


def test_what_has_no_row_is_denied_to_everybody() -> None:
    assert not any(allows(role, "Master.ofTheFuture") for role in Role)


def test_no_role_logs_in_as_more_than_it_may() -> None:
    for role, included in INCLUDES.items():
        for lower in included:
            assert {m for m in RIGHTS if allows(lower, m)} <= {m for m in RIGHTS if allows(role, m)}


def test_a_viewer_reaches_nothing_that_acts() -> None:
    reading = ("read", "list", "get", "explain", "watch", "liveClosures", "login", "challenge", "join")
    sinks = {m for m in RIGHTS if m.partition(".")[0] in SINKS}
    for method in {m for m in RIGHTS if allows(Role.VIEWER, m)} - sinks:
        assert method.partition(".")[2].startswith(reading), method


class Sinks(EventSink, LogSink):
    """Takes everything, and says which of its methods were called."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    async def event(self, event: Event, cursor: Cursor) -> None:
        self.called.add("EventSink.event")

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        self.called.add("EventSink.resync")

    async def write(self, data: bytes) -> None:
        self.called.add("LogSink.write")


def asking(remote: Remote, method: str) -> Any:
    """A request with empty arguments, but for the id that a worker's session refuses when it is another's."""
    request = remote._request(method)
    if "workerId" in request.schema.fieldnames:
        request.workerId = "worker-0"
    return request


async def outcome(remote: Remote, request: Any) -> type[ProcuratorError] | None:
    """The error that a call ends in; what else is said of empty arguments is not asked."""
    with trio.fail_after(30):
        try:
            await remote._ask(request, ignore)
        except ProcuratorError as failure:
            return type(failure)
    return None


@asynccontextmanager
async def everything_of(role: Role, address: Address) -> AsyncIterator[dict[str, Remote]]:
    """One capability of each interface that `role` can get hold of."""
    async with AsyncExitStack() as stack:
        if role is Role.WORKER:
            session = open_worker_session(address, a_hello(), MemoryWorker(), prove)
            yield {"WorkerSession": await stack.enter_async_context(session)}
            return
        await stack.enter_async_context(open_worker_session(address, a_hello(), MemoryWorker(), prove))
        master = await stack.enter_async_context(open_session(address, role))
        found: dict[str, Remote] = {"Master": master}
        for name, get in (("Worker", lambda: master.get_worker("worker-0")), ("Vm", lambda: master.get_vm("web-0"))):
            try:
                found[name] = await get()
            except PermissionDenied:
                assert not allows(role, f"Master.get{name}")
        if allows(role, "Vm.console"):
            vm = await master.get_vm("web-0")
            found["Console"] = await vm.console(Sinks(), columns=80, rows=24)
        yield found


@pytest.mark.parametrize("role", list(Role))
async def test_the_server_denies_exactly_what_the_table_denies(role: Role, tmp_path: Path) -> None:
    asked = []
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        everything_of(role, address) as held,
    ):
        for name, interface in interfaces().items():
            for method in interface.schema.method_names:
                full = f"{name}.{method}"
                if name in SINKS or name == "Gateway":
                    continue
                remote = held.get(name)
                reached = remote is not None and await outcome(remote, asking(remote, method)) is not PermissionDenied
                assert reached is allows(role, full), full
                asked.append(full)
    assert {*asked, *(m for m in methods() if m.partition(".")[0] in SINKS | {"Gateway"})} == {*RIGHTS}


@pytest.mark.parametrize("role", list(Role))
async def test_anybody_may_ask_the_gateway_and_gets_one_kind_of_session(role: Role, tmp_path: Path) -> None:
    async with a_control_plane(tmp_path / "rpc.sock") as (_, address):
        for method in master.Gateway.schema.method_names:
            async with connect(address, interface=master.Gateway, deadline=30) as dialled:
                gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
                assert allows(role, f"Gateway.{method}")
                assert await outcome(gateway, gateway._request(method)) is not PermissionDenied
        if role is Role.WORKER:
            return
        async with connect(address, interface=master.Gateway, deadline=30) as dialled:
            gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
            reply = await gateway.log_in(gateway.login_request(PeerCredential(), role), 5)
            assert reply._has("master")
            assert not reply._has("workerSession")


async def test_a_worker_gets_no_master(tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        connect(address, interface=master.Gateway, deadline=30) as dialled,
    ):
        from schema.rpc.client import _write_hello

        gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
        proof = await gateway.prove("worker-0", prove, 5)
        request = gateway.login_request(proof, Role.WORKER)
        _write_hello(request, a_hello()).worker = dialled.connection.export(worker.Worker, {})
        reply = await gateway.log_in(request, 5)
        assert reply._has("workerSession")
        assert not reply._has("master")


async def test_root_is_no_worker_without_a_key(tmp_path: Path) -> None:
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        connect(address, interface=master.Gateway, deadline=30) as dialled,
    ):
        gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
        with pytest.raises(PermissionDenied, match="a worker logs in by its key"):
            await gateway.log_in(gateway.login_request(PeerCredential(), Role.WORKER), 5)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.WORKER])
async def test_only_the_sinks_of_those_who_may_read_are_fed(role: Role, tmp_path: Path) -> None:
    sinks, fed = Sinks(), {m for m in methods() if m.partition(".")[0] in SINKS and allows(role, m)}
    async with (
        a_control_plane(tmp_path / "rpc.sock") as (_, address),
        everything_of(role, address) as held,
    ):
        request = held["Master"]._request("watch")
        request.sink = export_event_sink(held["Master"]._connection, sinks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, held["Master"], request)
            if events := {method for method in fed if method.startswith("EventSink.")}:
                await wait_until(lambda: sinks.called >= events)
                nursery.cancel_scope.cancel()  # else it ends by itself, refused
        if "Vm" in held:
            request = held["Vm"]._request("getLogs")
            request.sink = export_log_sink(held["Vm"]._connection, sinks)
            await outcome(held["Vm"], request)
    assert sinks.called == fed
