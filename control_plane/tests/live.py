"""The real program in this process, and workers in memory that talk to it over the real wire."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from control_plane.app import run
from control_plane.settings import Settings
from control_plane.tests.builders import CI_KEY, MASTER_KEY, key_of, some_facts
from control_plane.tests.world import FakeWorker
from schema.assignment import Seen, open_assignment
from schema.errors import NotFound, ProcuratorError, Unimplemented
from schema.interfaces import (
    Challenge,
    Console,
    ExecResult,
    LogSink,
    Role,
    Vm,
    Worker,
    WorkerHello,
    WorkerProof,
    WorkerSession,
)
from schema.operations import JoinAnswer
from schema.rpc.client import (
    Prove,
    RemoteMaster,
    RemoteWorkerSession,
    open_gateway,
    open_session,
    open_worker_session,
)
from schema.rpc.transport.sockets import Address, UnixAddress
from schema.service import causes
from schema.signing import PublicKey, SecretKey, login_message
from schema.status import ClusterStatus, ConnectionInfo, RunningVm, WorkerReport

PATIENCE = 60


def some_settings(state: Path, **fields: Any) -> Settings:
    """Settings whose files are in `state`; keys are written there."""
    key = state / "control-plane.key"
    key.touch(mode=0o600)
    key.write_text(MASTER_KEY.reveal())
    return Settings.model_validate(
        {
            "listen": {"rpc": "127.0.0.1:0", "socket": str(state / "rpc.sock"), "http": "127.0.0.1:0"},
            "database": {"url": f"sqlite:///{state}/state.sqlite"},
            "keys": {"assignment": str(key), "publishers": [str(CI_KEY.public)]},
            "workers": {"policy": "auto"},
            **fields,
        }
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Mapping[str, str]]:
    """The program, until the context is left; its addresses."""
    addresses: dict[str, str] = {}
    listening = trio.Event()

    def ready(told: Mapping[str, str]) -> None:
        addresses.update(told)
        listening.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, settings, ready)
        with trio.fail_after(PATIENCE):
            await listening.wait()
        try:
            yield addresses
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def session(settings: Settings, role: Role = Role.ADMIN) -> AsyncIterator[RemoteMaster]:
    async with open_session(UnixAddress(settings.listen.socket), role) as master:
        yield master


async def until(master: RemoteMaster, holds: Callable[[ClusterStatus], bool]) -> ClusterStatus:
    """The first status that `holds`."""
    with trio.move_on_after(PATIENCE):
        while True:
            status = await master.get_cluster_status()
            if holds(status):
                return status
            await trio.sleep(0.02)
    raise AssertionError(f"this did not come: {status.convergence} {status.reason}")


def proving(key: SecretKey, purpose: str = "login") -> Prove:
    """Sign challenges with `key`, by a clock that is right."""

    def prove(challenge: Challenge) -> WorkerProof:
        time_ms = challenge.server_time_ms
        message = login_message(
            purpose=purpose, realm="default", worker_id=key.name, nonce=challenge.nonce, time_ms=time_ms
        )
        return WorkerProof(str(key.public), challenge.nonce, time_ms, key.sign(message))

    return prove


async def ask_in(address: Address, hello: WorkerHello, *, key: SecretKey | None = None, token: str = "") -> JoinAnswer:
    """Ask to join."""
    prove = proving(key or key_of(hello.worker_id), "join")
    async with open_gateway(address) as gateway:
        return await gateway.join(hello, await gateway.prove(hello.worker_id, prove, 30), token=token)


@asynccontextmanager
async def worker_session(address: Address, hello: WorkerHello, worker: Worker) -> AsyncIterator[RemoteWorkerSession]:
    """Ask to join, which the policy grants, and log in."""
    await ask_in(address, hello)
    async with open_worker_session(address, hello, worker, proving(key_of(hello.worker_id))) as session:
        yield session


class LiveVm:
    """The worker's side of `Vm`."""

    def __init__(self, worker: "LiveWorker", instance: str) -> None:
        self._worker = worker
        self._instance = instance

    async def read(self) -> RunningVm:
        return {vm.instance: vm for vm in self._worker.fake.report().running_vms}[self._instance]

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        await sink.write(f"log of {self._instance}, {tail_lines} lines, follow={follow}\n".encode())

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        return ExecResult(0, " ".join((command, *args)).encode() + stdin, b"")

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        raise Unimplemented("these VMs have no console")

    async def get_connection_info(self) -> ConnectionInfo:
        return ConnectionInfo(instance=self._instance, address="", worker_id=self._worker.fake.worker_id)

    async def restart(self) -> None:
        self._worker.restarts.append(self._instance)


class LiveWorker:
    """The worker's side of `Worker`, around the worker of the tests in memory."""

    def __init__(self, worker_id: str, *, bad: set[str] | None = None, report_every: float = 0.05) -> None:
        self.bad = set() if bad is None else bad
        self.fake = FakeWorker(worker_id, lambda content: content in self.bad, boot_ms=100)
        self.restarts: list[str] = []
        self.control_plane_keys: tuple[PublicKey, ...] = (MASTER_KEY.public,)
        self.publisher_keys: tuple[PublicKey, ...] = (CI_KEY.public,)
        self.refused: list[str] = []
        self.report_every = report_every

    async def read(self) -> WorkerReport:
        return self.fake.report()

    async def list_vms(self) -> tuple[str, ...]:
        return tuple(sorted(self.fake.vms))

    async def get_vm(self, instance: str) -> Vm:
        return LiveVm(self, instance)

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        pass

    async def get_config(self) -> dict[str, str]:
        return {"name": self.fake.worker_id}

    async def update_config(self, key: str, value: str) -> str:
        return ""

    async def shutdown(self) -> None:
        pass

    async def delete_volume(self, instance: str, volume: str) -> None:
        raise NotFound(f"no volume {instance}/{volume} here")

    async def run(self, address: UnixAddress) -> None:
        """Connect, obey and report; connect anew whenever that ends."""
        while True:
            try:
                async with (
                    worker_session(address, WorkerHello(self.fake.worker_id, some_facts()), self) as own,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._obey, own)
                    nursery.start_soon(self._report, own)
            except* ProcuratorError as group:
                self.refused += [str(error) for error in causes(group)]
                await trio.sleep(0.05)

    async def _obey(self, own: WorkerSession) -> None:
        seen: Seen | None = None
        while True:
            signed = await own.get_assignment(seen)
            if signed is None:
                continue
            assignment = open_assignment(
                signed,
                worker_id=self.fake.worker_id,
                last_seen=seen,
                control_plane_keys=self.control_plane_keys,
                publisher_keys=self.publisher_keys,
            )
            seen = Seen(assignment.epoch, assignment.revision)
            self.fake.obey(assignment, now_ms())

    async def _report(self, own: WorkerSession) -> None:
        while True:
            if self.fake.obeyed is not None:
                self.fake.obey(self.fake.obeyed, now_ms())
            await own.push_data(self.fake.report())
            await trio.sleep(self.report_every)


def now_ms() -> int:
    return int(trio.current_time() * 1000)
