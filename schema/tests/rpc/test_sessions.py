"""Sessions over real sockets: what a role may do, what crosses whole, what ends when."""

from functools import partial
from pathlib import Path
from typing import Any

import capnp
import pytest
import trio

from schema.assignment import Seen
from schema.codec.wire import master as wire
from schema.errors import (
    DeadlineExceeded,
    HashMismatch,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ProcuratorError,
    Stale,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from schema.interfaces import ExecResult, Role, TokenCredential
from schema.rpc.client import RemoteMaster, open_session, open_worker_session
from schema.rpc.transport.faults import error_of
from schema.rpc.transport.serve import connect
from schema.rpc.transport.sockets import UnixAddress
from schema.status import ClusterStatus, Cursor, Event
from schema.tests.builders import EPOCH, a_publish, a_vm_spec
from schema.tests.rpc.cluster import (
    ANY_TCP,
    ASSIGNMENT,
    STATUS,
    MemoryWorker,
    a_control_plane,
    a_hello,
    a_report,
    a_running_vm,
    prove,
)
from schema.tests.rpc.peers import wait_until

FULL_SPEC: dict[str, Any] = {
    "cpu": 4,
    "extras": {"gpu": 1},
    "labels": {"tier": "front"},
    "volumes": {"data": {"size_mb": 64, "mount": "/data", "on_loss": "recreate"}},
    "network": {
        "egress": {"mode": "allow", "domains": ["*.example.org"]},
        "connect": ["db:5432"],
        "ports": [{"name": "web", "port": 80, "publish": 8080}],
    },
    "env": {"GREETING": "hé"},
    "placement": {"require": [{"key": "zone", "values": ["a"]}], "spread": [{"over": "rack"}], "priority": 0},
    "health": {"checks": [{"type": "http", "port": 80, "path": "/"}, {"type": "command", "command": ["true"]}]},
}


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "rpc.sock"


async def test_a_publish_arrives_as_it_was_sent(socket: Path) -> None:
    publish = a_publish(a_vm_spec(), a_vm_spec("db", **FULL_SPEC), number=7)
    async with a_control_plane(socket) as (backend, address), open_session(address, Role.PUBLISHER) as master:
        receipt = await master.publish_state(publish)
        assert receipt.created
        assert receipt.intent_hash == publish.header.intent_hash
        assert backend.published == [publish]
        assert [spec.value for spec in backend.published[0].vm_specs] == [s.value for s in publish.vm_specs]


async def test_a_large_publish_lets_others_pass(socket: Path) -> None:
    publish = a_publish(*(a_vm_spec(f"vm{number}", **FULL_SPEC) for number in range(300)), number=7)
    async with a_control_plane(socket) as (backend, address), open_session(address, Role.ADMIN) as master:
        passed = 0

        async def beat() -> None:
            nonlocal passed
            while not backend.published:
                await master.get_cluster_status()
                passed += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat)
            await master.publish_state(publish)
        assert passed > 3
        assert len(backend.published[0].vm_specs) == 300


async def test_refusals_of_the_backend_come_out_as_themselves(socket: Path) -> None:
    async with a_control_plane(socket) as (_, address), open_session(address, Role.PUBLISHER) as master:
        with pytest.raises(Stale, match="generation 1 is older than 2"):
            await master.publish_state(a_publish(number=1))
        with pytest.raises(HashMismatch, match=a_publish().header.intent_hash):
            await master.publish_state(a_publish(number=2, intent_hash="0" * 64))


async def test_typed_fields_that_differ_from_the_signed_bytes_are_refused(socket: Path) -> None:
    from schema.canonical import Sealed
    from schema.generation import Publish

    honest = a_publish(number=2)
    spec = honest.vm_specs[0]
    forged = Sealed(spec.data, spec.value.model_copy(update={"cpu": 64}))
    async with a_control_plane(socket) as (backend, address), open_session(address, Role.PUBLISHER) as master:
        with pytest.raises(InvalidInput, match="cpu differ from the signed bytes"):
            await master.publish_state(Publish(honest.header, (forged,), honest.rollout))
        assert not backend.published


async def test_a_worker_logs_in_polls_and_reports(socket: Path) -> None:
    async with a_control_plane(socket) as (backend, address):
        async with open_worker_session(address, a_hello(), MemoryWorker(), prove) as session:
            assert await session.get_assignment(None) == ASSIGNMENT
            assert await session.get_assignment(Seen(EPOCH, 1)) is None
            reply = await session.push_data(a_report(vms=3))
            assert [each.value for each in reply.directives] == ["collect"]
            assert backend.reports == [a_report(vms=3)]
            assert (await session.live_closures()).complete
            assert list(backend.workers) == ["worker-0"]
        await wait_until(lambda: not backend.workers)


async def test_a_worker_may_not_name_another(socket: Path) -> None:
    async with (
        a_control_plane(socket) as (backend, address),
        open_worker_session(address, a_hello(), MemoryWorker(), prove) as session,
    ):
        with pytest.raises(PermissionDenied, match="worker-1"):
            await session.push_data(a_report("worker-1"))
        assert not backend.reports
        session._worker_id = "worker-1"
        with pytest.raises(PermissionDenied, match="worker-1"):
            await session.get_assignment(None)


async def test_a_worker_that_the_backend_refuses_gets_no_session(socket: Path) -> None:
    async with a_control_plane(socket) as (_, address):
        with pytest.raises(PermissionDenied, match="not a worker of ours"):
            async with open_worker_session(address, a_hello("stranger"), MemoryWorker(), prove):
                pass


async def test_a_worker_is_reached_through_the_control_plane(socket: Path) -> None:
    worker = MemoryWorker()
    async with (
        a_control_plane(socket) as (_, address),
        open_worker_session(address, a_hello(), worker, prove),
        open_session(address, Role.ADMIN) as master,
    ):
        remote = await master.get_worker("worker-0")
        assert await remote.read() == a_report()
        assert await remote.list_vms() == ("web-0",)
        assert await remote.get_config() == {"vmm.kind": "dev"}
        assert await remote.update_config("vmm.kind", "real") == "dev"
        await remote.delete_volume("db-0", "data")
        assert worker.deleted == [("db-0", "data")]
        await remote.drain(deadline_ms=5000, reason="maintenance")
        assert worker.drained == [(5000, "maintenance")]
        with pytest.raises(NotFound, match="no VM 'db-0' here"):
            await remote.get_vm("db-0")
        await remote.shutdown()
        assert worker.stopped
        with pytest.raises(NotFound, match="worker-9"):
            await master.get_worker("worker-9")


async def test_a_vm_is_reached_through_the_control_plane(socket: Path) -> None:
    worker = MemoryWorker()
    async with (
        a_control_plane(socket) as (_, address),
        open_worker_session(address, a_hello(), worker, prove),
        open_session(address, Role.OPERATOR) as master,
    ):
        vm = await master.get_vm("web-0")
        assert await vm.read() == a_running_vm()
        assert (await vm.get_connection_info()).ports == ("web:80",)
        assert await vm.exec("uname", ("-a", "")) == ExecResult(3, b"uname -a ", b"\xff\x00")
        with pytest.raises(Unimplemented, match="no guest channel"):
            await vm.exec("nope", ())
        await vm.restart()
        assert worker.vms["web-0"].restarted == 1


class Lines:
    def __init__(self) -> None:
        self.data = b""
        self.slow = False

    async def write(self, data: bytes) -> None:
        self.data += data
        if self.slow:
            await trio.sleep_forever()


async def test_logs_flow_through_both_connections_and_stop_when_cancelled(socket: Path) -> None:
    worker = MemoryWorker()
    async with (
        a_control_plane(socket) as (_, address),
        open_worker_session(address, a_hello(), worker, prove),
        open_session(address, Role.VIEWER) as master,
    ):
        vm, sink = await master.get_vm("web-0"), Lines()
        await vm.get_logs(follow=False, tail_lines=2, sink=sink)
        assert sink.data == b"line 8\nline 9\n"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(vm.get_logs, follow=True, tail_lines=1, sink=sink))
            await wait_until(lambda: sink.data.endswith(b"more\nmore\n"))
            nursery.cancel_scope.cancel()
        await wait_until(lambda: not worker.vms["web-0"].followers)
        await vm.read()  # behind all that was on its way
        await trio.sleep(0.05)
        so_far = len(sink.data)
        await trio.sleep(0.05)
        assert len(sink.data) == so_far


class Events:
    def __init__(self) -> None:
        self.snapshots: list[ClusterStatus] = []
        self.events: list[tuple[Event, Cursor]] = []

    async def event(self, event: Event, cursor: Cursor) -> None:
        self.events.append((event, cursor))

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        self.snapshots.append(snapshot)


async def test_a_watcher_gets_a_snapshot_and_then_events_in_order(socket: Path) -> None:
    async with a_control_plane(socket) as (_, address), open_session(address, Role.VIEWER) as master:
        events = Events()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.watch, events, None)
            await wait_until(lambda: len(events.events) > 3)
            nursery.cancel_scope.cancel()
        assert events.snapshots == [STATUS]
        assert [cursor.sequence for _, cursor in events.events] == list(range(1, len(events.events) + 1))


async def test_revocation_ends_what_a_session_holds_at_once(socket: Path) -> None:
    credential = TokenCredential("operator-token")
    async with (
        a_control_plane(socket) as (backend, address),
        open_worker_session(address, a_hello(), MemoryWorker(), prove),
        open_session(address, Role.OPERATOR, credential) as master,
    ):
        vm = await master.get_vm("web-0")
        ended: list[ProcuratorError] = []

        async def watch() -> None:
            try:
                await master.watch(Events(), None)
            except ProcuratorError as error:
                ended.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.sleep(0.05)
            backend.revoked |= {"token:operator", "operator-token"}
        assert [type(error) for error in ended] == [Unauthenticated]
        with pytest.raises(Unauthenticated):
            await vm.restart()
        with pytest.raises(Unauthenticated):
            await master.get_cluster_status()
        with pytest.raises(Unauthenticated):
            async with open_session(address, Role.OPERATOR, credential):
                pass


@pytest.mark.parametrize(("granted", "asked", "error"), [
    ("viewer", Role.VIEWER, None),
    ("viewer", Role.OPERATOR, PermissionDenied),
    ("viewer", Role.WORKER, PermissionDenied),
    ("operator", Role.VIEWER, None),
    ("operator", Role.ADMIN, PermissionDenied),
    ("publisher", Role.OPERATOR, PermissionDenied),
    ("admin", Role.PUBLISHER, None),
    ("admin", Role.WORKER, PermissionDenied),
    ("nobody", Role.VIEWER, Unauthenticated),
])  # fmt: skip
async def test_a_token_takes_the_roles_that_it_includes(
    granted: str, asked: Role, error: type[ProcuratorError] | None
) -> None:
    async with a_control_plane(ANY_TCP) as (backend, address):

        async def log_in() -> None:
            async with open_session(address, asked, TokenCredential(f"{granted}-token")) as master:
                assert (await master.get_cluster_status()) == STATUS
                assert backend.identities[-1].role is asked

        if error is None:
            await log_in()
        else:
            with pytest.raises(error):
                await log_in()


async def test_over_tcp_a_uid_is_no_credential() -> None:
    async with a_control_plane(ANY_TCP) as (_, address):
        with pytest.raises(Unauthenticated, match="token"):
            async with open_session(address, Role.VIEWER):
                pass


async def test_who_fails_to_log_in_too_often_is_dropped() -> None:
    async with a_control_plane(ANY_TCP) as (_, address):
        async with connect(address, interface=wire.Gateway, deadline=30) as dialled:
            errors = []
            for _ in range(7):
                try:
                    await dialled.bootstrap.login(credential={"token": "guess"}, role="admin")
                except Exception as error:  # pycapnp's, whatever it is
                    errors.append(type(error_of(error)))
        assert errors[:4] == [Unauthenticated] * 4
        assert errors[-1] is Unavailable


async def test_a_role_of_the_future_is_refused(socket: Path) -> None:
    async with (
        a_control_plane(socket) as (_, address),
        connect(address, interface=wire.Gateway, deadline=30) as dialled,
    ):
        request = dialled.bootstrap._request("login")
        request.init("credential").peer = None
        request.role = 77
        with pytest.raises(capnp.KjException, match="not known here"):
            await request.send()


async def test_a_session_whose_server_went_away_is_unavailable(socket: Path) -> None:
    async with trio.open_nursery() as nursery:
        stop = trio.Event()

        async def serve(task_status: Any) -> None:
            async with a_control_plane(socket) as (_, address):
                task_status.started(address)
                await stop.wait()

        address = await nursery.start(serve)
        async with open_session(address, Role.VIEWER) as master:
            await master.get_cluster_status()
            stop.set()
            await master.lost.wait()
            with pytest.raises(Unavailable):
                await master.get_cluster_status()


async def test_a_worker_that_dies_is_unavailable_to_those_who_hold_it(socket: Path) -> None:
    async with a_control_plane(socket) as (_, address), open_session(address, Role.VIEWER) as master:
        async with open_worker_session(address, a_hello(), MemoryWorker(), prove):
            vm = await master.get_vm("web-0")
        with pytest.raises(Unavailable):
            await vm.read()


async def test_a_server_that_never_answers_meets_the_deadline(tmp_path: Path) -> None:
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "mute.sock"))
    listener.listen()
    with pytest.raises(DeadlineExceeded, match="login"):
        async with open_session(UnixAddress(tmp_path / "mute.sock"), Role.VIEWER, deadline=1):
            pass
    listener.close()


async def test_values_that_the_wire_cannot_carry_are_refused_by_the_writer(socket: Path) -> None:
    async with a_control_plane(socket) as (_, address), open_session(address, Role.ADMIN) as master:
        for changes in ({"pid": -1}, {"pid": 2**32}, {"generation": 2**64}, {"reason": "\ud800"}):
            report = a_report().model_copy(update={"running_vms": (a_running_vm().model_copy(update=changes),)})
            with pytest.raises(InvalidInput, match="the wire cannot carry"):
                await master.push_data(report)
        assert isinstance(master, RemoteMaster)
