"""The whole control plane over its real sockets, with workers that only pretend to run VMs."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from control_plane.authority import Bell
from control_plane.tests.builders import CI_KEY, MASTER_KEY, a_publish, a_spec, some_facts
from control_plane.tests.http.reading import client_of
from control_plane.tests.live import LiveWorker, running, session, some_settings, until, worker_session
from schema.assignment import Seen, open_assignment
from schema.blueprint import CheckType, Health, HealthCheck, RolloutPolicy
from schema.errors import (
    Conflict,
    HashMismatch,
    NotFound,
    PermissionDenied,
    Stale,
    Unauthenticated,
    Unavailable,
)
from schema.interfaces import Role, TokenCredential, WorkerHello
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress, parse_address
from schema.status import ClusterStatus, Convergence, Cursor, Event, RolloutState, WorkerReport, WorkerState
from schema.vmspec import VmSpec

QUICK = RolloutPolicy(min_healthy_ms=100)
CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=1000)


def web(content: str = "1") -> VmSpec:
    return a_spec("web", content, replicas=2, health=CHECKED)


def converged(status: ClusterStatus) -> bool:
    return status.convergence is Convergence.CONVERGED and bool(status.generations)


def ended(number: int) -> Callable[[ClusterStatus], bool]:
    def holds(status: ClusterStatus) -> bool:
        newest = status.newest
        return newest is not None and newest.number == number and newest.state.is_outcome

    return holds


async def test_a_publish_gets_healthy_on_workers_over_the_wire(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), trio.open_nursery() as nursery, session(settings) as master:
        workers = [LiveWorker("w0"), LiveWorker("w1")]
        for worker in workers:
            nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        await until(master, lambda status: len(status.workers) == 2)
        receipt = await master.publish_state(a_publish(1, web(), rollout=QUICK))
        assert receipt.created
        status = await until(master, converged)
        assert [vm.instance for vm in status.vms] == ["web-0", "web-1"]
        assert {vm.worker_id for vm in status.vms} == {"w0", "w1"}
        assert status.newest is not None
        assert status.newest.placed_ms > 0
        nursery.cancel_scope.cancel()


async def test_what_fails_is_rolled_back_over_the_wire(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), trio.open_nursery() as nursery, session(settings) as master:
        worker = LiveWorker("w0")
        nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        await master.publish_state(a_publish(1, web(), rollout=QUICK))
        await until(master, converged)
        worker.bad.add(web("2").content_hash)
        await master.publish_state(a_publish(2, web("2"), rollout=QUICK))
        status = await until(master, ended(2))
        assert status.newest is not None
        assert status.newest.state is RolloutState.ROLLED_BACK
        assert status.convergence is Convergence.FAILED
        assert "port 80" in status.reason
        assert {vm.running_generation for vm in status.vms} == {1}
        nursery.cancel_scope.cancel()


async def test_a_restart_of_the_control_plane_restarts_no_vm(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    worker = LiveWorker("w0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        async with running(settings), session(settings) as master:
            await master.publish_state(a_publish(1, web(), rollout=QUICK))
            await until(master, converged)
        started = list(worker.fake.started)
        async with running(settings), session(settings) as master:
            status = await master.get_cluster_status()
            assert {found.state for found in status.workers} == {WorkerState.READY}
            await until(master, converged)
            assert not (await master.publish_state(a_publish(1, web(), rollout=QUICK))).created
        assert worker.fake.started == started
        nursery.cancel_scope.cancel()


async def test_refusals_come_out_as_the_errors_that_they_are(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), session(settings) as master:
        await master.publish_state(a_publish(2, web()))
        assert not (await master.publish_state(a_publish(2, web()))).created
        with pytest.raises(Conflict):
            await master.publish_state(a_publish(2, web("2")))
        with pytest.raises(Stale):
            await master.publish_state(a_publish(1, web()))
        with pytest.raises(HashMismatch, match=a_publish(3, web()).header.intent_hash):
            await master.publish_state(a_publish(3, web(), intent_hash="0" * 64))
        with pytest.raises(NotFound):
            await master.get_vm("nobody-0")
        with pytest.raises(Unavailable, match="there is no worker yet"):
            await master.get_vm("web-0")
        status = await master.get_cluster_status()
        assert [generation.number for generation in status.generations] == [2]


async def test_a_worker_waits_for_its_assignment_and_is_told_at_once(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    hello = WorkerHello("w0", some_facts())
    async with (
        running(settings),
        session(settings) as master,
        worker_session(UnixAddress(settings.listen.socket), hello, LiveWorker("w0")) as own,
    ):
        first = await own.get_assignment(None)
        assert first is not None
        empty = open_assignment(
            first,
            worker_id="w0",
            last_seen=None,
            control_plane_keys=(MASTER_KEY.public,),
            publisher_keys=(CI_KEY.public,),
        )
        assert empty.entries == ()
        seen = Seen(empty.epoch, empty.revision)
        with trio.move_on_after(0.2) as waited:
            await own.get_assignment(seen)
        assert waited.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.publish_state, a_publish(1, web()))
            with trio.fail_after(30):
                second = await own.get_assignment(seen)
        assert second is not None
        with pytest.raises(PermissionDenied):
            await own.push_data(WorkerReport(worker_id="w1"))


async def test_logs_and_reads_are_forwarded_to_the_worker_and_end_with_its_connection(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)

    class Sink:
        def __init__(self) -> None:
            self.data = b""

        async def write(self, data: bytes) -> None:
            self.data += data

    async with running(settings), session(settings) as master, trio.open_nursery() as nursery:
        worker = LiveWorker("w0")
        nursery.start_soon(worker.run, UnixAddress(settings.listen.socket))
        await master.publish_state(a_publish(1, web(), rollout=QUICK))
        await until(master, converged)
        vm, sink = await master.get_vm("web-1"), Sink()
        await vm.get_logs(follow=False, tail_lines=5, sink=sink)
        assert sink.data == b"log of web-1, 5 lines, follow=False\n"
        assert (await vm.read()).instance == "web-1"
        assert await (await master.get_worker("w0")).list_vms() == ("web-0", "web-1")
        async with session(settings, Role.VIEWER) as viewer:
            with pytest.raises(PermissionDenied):
                await (await viewer.get_vm("web-0")).restart()
        await (await master.get_vm("web-0")).restart()
        assert worker.restarts == ["web-0"]
        nursery.cancel_scope.cancel()
    async with running(settings), session(settings) as master:
        with pytest.raises(Unavailable, match="not connected"):
            await (await master.get_vm("web-0")).read()


class Recorder:
    """An event sink that writes down what comes, and wakes who waits for it."""

    def __init__(self) -> None:
        self.snapshots: list[ClusterStatus] = []
        self.events: list[Event] = []
        self.cursor: Cursor | None = None
        self._bell = Bell()

    async def event(self, event: Event, cursor: Cursor) -> None:
        self.events.append(event)
        self.cursor = cursor
        self._bell.ring()

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        self.snapshots.append(snapshot)
        self.cursor = cursor
        self._bell.ring()

    async def until(self, holds: Callable[["Recorder"], bool]) -> None:
        with trio.fail_after(30):
            while not holds(self):
                await self._bell.next.wait()


async def test_a_watcher_begins_with_a_snapshot_and_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings), session(settings) as master:
        first, second = Recorder(), Recorder()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.watch, first, None)
            await first.until(lambda seen: bool(seen.snapshots))
            await master.publish_state(a_publish(1, web()))
            await first.until(lambda seen: any("published" in event.message for event in seen.events))
            nursery.cancel_scope.cancel()
        await master.publish_state(a_publish(2, web()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.watch, second, first.cursor)
            await second.until(lambda seen: any(event.subject == "2" for event in seen.events))
            nursery.cancel_scope.cancel()
        assert second.snapshots == []


async def test_tokens_log_in_over_tcp_with_their_role_until_they_expire(tmp_path: Path) -> None:
    def token(name: str, text: str, **fields: object) -> dict[str, object]:
        return {"name": name, "sha256": hashlib.sha256(text.encode()).hexdigest(), "role": "viewer", **fields}

    past = datetime(2020, 1, 1, tzinfo=UTC)
    settings = some_settings(tmp_path, tokens=[token("good", "secret"), token("old", "expired", expires=past)])
    async with running(settings) as addresses:
        address = parse_address(addresses["rpc"])
        async with open_session(address, Role.VIEWER, TokenCredential("secret")) as viewer:
            await viewer.get_cluster_status()
            with pytest.raises(PermissionDenied):
                await viewer.publish_state(a_publish(1, web()))
        for wrong in ("expired", "guess"):
            with pytest.raises(Unauthenticated):
                async with open_session(address, Role.VIEWER, TokenCredential(wrong)):
                    pass
        with pytest.raises(PermissionDenied):
            async with open_session(address, Role.ADMIN, TokenCredential("secret")):
                pass


async def test_http_answers_health_readiness_and_status(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    async with running(settings) as addresses, client_of(addresses["http"]) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        status = ClusterStatus.model_validate((await client.get("/v1/status")).json())
        assert status.convergence is Convergence.CONVERGED
        assert status.reason == "nothing has been published yet"


async def test_the_newest_connection_of_a_worker_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    address, hello = UnixAddress(settings.listen.socket), WorkerHello("w0", some_facts())
    async with running(settings), session(settings) as master:
        async with (
            worker_session(address, hello, LiveWorker("w0")) as old,
            worker_session(address, hello, LiveWorker("w0")) as new,
        ):
            with pytest.raises(Unavailable, match="another session"):
                await old.push_data(WorkerReport(worker_id="w0"))
            await new.push_data(WorkerReport(worker_id="w0"))
        await until(master, lambda status: not status.workers[0].connected)


async def test_a_worker_that_is_not_heard_of_is_told_as_lost_and_as_back_and_nothing_moves(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, liveness={"interval_ms": 100, "lost_after_ms": 500})
    async with running(settings), session(settings) as master:
        worker, seen = LiveWorker("w0"), Recorder()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(master.watch, seen, None)
            async with trio.open_nursery() as working:
                working.start_soon(worker.run, UnixAddress(settings.listen.socket))
                await master.publish_state(a_publish(1, web(), rollout=QUICK))
                before = await until(master, converged)
                working.cancel_scope.cancel()
            status = await until(master, lambda status: status.workers[0].state is WorkerState.LOST)
            assert [vm.worker_id for vm in status.vms] == [vm.worker_id for vm in before.vms]
            assert status.convergence is Convergence.PROGRESSING
            assert "not been heard of" in status.reason
            await seen.until(lambda seen: any(event.message.startswith("lost") for event in seen.events))
            async with trio.open_nursery() as working:
                working.start_soon(worker.run, UnixAddress(settings.listen.socket))
                await until(master, converged)
                working.cancel_scope.cancel()
            await seen.until(lambda seen: any(event.message == "heard of again" for event in seen.events))
            nursery.cancel_scope.cancel()
    assert len(worker.fake.started) == 2
