"""A control plane and a worker in memory, for tests of the wire: values in, values out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from schema.assignment import Seen, SignedAssignment
from schema.errors import (
    NotFound,
    PermissionDenied,
    ProcuratorError,
    Stale,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from schema.generation import Publish, PublishReceipt
from schema.interfaces import (
    Challenge,
    Console,
    EventSink,
    ExecResult,
    Identity,
    LogSink,
    Role,
    Vm,
    Worker,
    WorkerHello,
    WorkerProof,
)
from schema.operations import Admission, JoinAnswer
from schema.rpc.client import Prove
from schema.rpc.handlers import immediate
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import Address, TcpAddress, UnixAddress
from schema.status import (
    ClusterStatus,
    ConnectionInfo,
    Convergence,
    Cursor,
    Directive,
    Event,
    EventKind,
    LiveClosures,
    PushReply,
    RunningVm,
    VmPhase,
    WorkerFacts,
    WorkerReport,
)
from schema.tests.builders import EPOCH
from schema.tests.rpc.operating import MemoryOperations

STATUS = ClusterStatus(time_ms=1, epoch=EPOCH, convergence=Convergence.CONVERGED, reason="all well")
ASSIGNMENT = SignedAssignment(b"{}", "control-plane-1:c2ln")


def a_running_vm(instance: str = "web-0", **changes: Any) -> RunningVm:
    values: dict[str, Any] = {
        "instance": instance,
        "generation": 3,
        "content_hash": "a" * 64,
        "spec_hash": "b" * 64,
        "phase": VmPhase.HEALTHY,
        "address": "10.77.0.2",
        "pid": 4711,
        "running_ms": 12_345,
        "phase_ms": {"pulling": 120, "booting": 900},
    }
    return RunningVm.model_validate(values | changes)


def a_report(worker_id: str = "worker-0", vms: int = 1) -> WorkerReport:
    running = tuple(a_running_vm(f"web-{number}") for number in range(vms))
    return WorkerReport(worker_id=worker_id, observed_generation=3, epoch=EPOCH, revision=9, running_vms=running)


def a_hello(worker_id: str = "worker-0") -> WorkerHello:
    return WorkerHello(worker_id, WorkerFacts(cpu=4, memory_mb=8192, labels={"zone": "a"}))


class MemoryConsole:
    """Echoes what is typed."""

    def __init__(self, output: LogSink) -> None:
        self.output = output
        self.sizes: list[tuple[int, int]] = []
        self.closed = trio.Event()

    async def write(self, data: bytes) -> None:
        if self.closed.is_set():
            raise Unavailable("the console is closed")
        await self.output.write(data)

    async def resize(self, *, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def close(self) -> None:
        self.closed.set()


class MemoryVm:
    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.restarted = 0
        self.followers = 0
        self.deadlines: list[int] = []
        self.consoles: list[MemoryConsole] = []

    async def read(self) -> RunningVm:
        return a_running_vm(self.instance)

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        lines = [f"line {number}\n".encode() for number in range(10)]
        for line in lines[-tail_lines:] if tail_lines else lines:
            await sink.write(b"hypervisor " + line if hypervisor else line)
        self.followers += follow
        try:
            while follow:
                await sink.write(b"more\n")
                await trio.sleep(0.005)
        finally:
            self.followers -= follow

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        if command == "nope":
            raise Unimplemented("no guest channel")
        self.deadlines.append(deadline_ms)
        return ExecResult(3, " ".join((command, *args)).encode() + stdin, b"\xff\x00")

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        await output.write(f"{columns}x{rows} login: ".encode())
        self.consoles.append(MemoryConsole(output))
        return self.consoles[-1]

    async def get_connection_info(self) -> ConnectionInfo:
        return ConnectionInfo(instance=self.instance, address="10.77.0.2", worker_id="worker-0", ports=("web:80",))

    async def restart(self) -> None:
        self.restarted += 1


class MemoryWorker:
    def __init__(self) -> None:
        self.vms = {"web-0": MemoryVm("web-0")}
        self.config = {"vmm.kind": "dev"}
        self.drained: list[tuple[int, str]] = []
        self.deleted: list[tuple[str, str]] = []
        self.stopped = False

    async def read(self) -> WorkerReport:
        return a_report()

    async def list_vms(self) -> tuple[str, ...]:
        return tuple(self.vms)

    async def get_vm(self, instance: str) -> Vm:
        try:
            return self.vms[instance]
        except KeyError:
            raise NotFound(f"no VM {instance!r} here") from None

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        self.drained.append((deadline_ms, reason))

    async def get_config(self) -> dict[str, str]:
        return dict(self.config)

    async def update_config(self, key: str, value: str) -> str:
        old, self.config[key] = self.config.get(key, ""), value
        return old

    async def shutdown(self) -> None:
        self.stopped = True

    async def delete_volume(self, instance: str, volume: str) -> None:
        self.deleted.append((instance, volume))


class MemoryMaster(MemoryOperations):
    """Also a WorkerSession's other half."""

    def __init__(self, backend: "MemoryBackend", identity: Identity) -> None:
        super().__init__(backend.did)
        self.backend = backend
        self.identity = identity

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        publish.check_content()
        if publish.header.number == 1:
            raise Stale("generation 1 is older than 2")
        self.backend.published.append(publish)
        return PublishReceipt(publish.header.number, publish.header.intent_hash, created=True)

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        if last_seen and self.backend.hold_polls is not None:
            await self.backend.hold_polls.wait()
        return None if last_seen else ASSIGNMENT

    @immediate
    async def push_data(self, report: WorkerReport) -> PushReply:
        self.backend.reports.append(report)
        return PushReply(server_time_ms=5, directives=(Directive.COLLECT,))

    @immediate
    async def get_cluster_status(self) -> ClusterStatus:
        return STATUS

    async def get_worker(self, worker_id: str) -> Worker:
        try:
            return self.backend.workers[worker_id]
        except KeyError:
            raise NotFound(f"no worker {worker_id!r}") from None

    async def get_vm(self, vm_id: str) -> Vm:
        for worker in self.backend.workers.values():
            return await worker.get_vm(vm_id)
        raise Unavailable("no worker is connected")

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        await sink.resync(STATUS, cursor or Cursor(epoch=EPOCH, sequence=0))
        sequence = 1
        while True:
            event = Event(at_ms=sequence, kind=EventKind.VM, subject="web-0", message="healthy")
            await sink.event(event, Cursor(epoch=EPOCH, sequence=sequence))
            sequence += 1
            await trio.sleep(0.002)

    async def live_closures(self) -> LiveClosures:
        return LiveClosures(paths=("/nix/store/" + "0" * 32 + "-system",), complete=True)


class MemoryWorkerSession:
    def __init__(self, master: MemoryMaster, worker_id: str) -> None:
        self._master = master
        self._worker_id = worker_id

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        return await self._master.get_assignment(self._worker_id, last_seen)

    @immediate
    async def push_data(self, report: WorkerReport) -> PushReply:
        return await self._master.push_data(report)

    async def live_closures(self) -> LiveClosures:
        return await self._master.live_closures()


def prove(challenge: Challenge) -> WorkerProof:
    """Any worker's way to sign a challenge of its own."""
    return WorkerProof("worker-1:AA==", challenge.nonce, challenge.server_time_ms, "good")


class MemoryBackend:
    def __init__(self) -> None:
        self.did: list[tuple[Any, ...]] = []
        self.published: list[Publish] = []
        self.reports: list[WorkerReport] = []
        self.workers: dict[str, Worker] = {}
        self.identities: list[Identity] = []
        self.tokens = {
            f"{role}-token": Identity(subject=f"token:{role}", role=role) for role in Role if role is not Role.WORKER
        }
        self.revoked: set[str] = set()
        self.refusals: list[tuple[str, str, str]] = []
        self.joined: list[tuple[WorkerHello, WorkerProof, str]] = []
        self.attached: list[Identity] = []
        self.hold_polls: trio.Event | None = None

    def master(self, identity: Identity) -> MemoryMaster:
        self.identities.append(identity)
        return MemoryMaster(self, identity)

    def prover(self, worker_id: str) -> Prove:
        """A worker's way to sign a challenge."""
        return lambda challenge: replace(prove(challenge), nonce=f"nonce-of-{worker_id}")

    async def challenge(self, worker_id: str) -> Challenge:
        return Challenge(f"nonce-of-{worker_id}", 5)

    async def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        if proof.nonce != f"nonce-of-{worker_id}" or proof.signature != "good":
            raise Unauthenticated("the signature does not match")
        return Identity(subject=f"worker:{worker_id}", role=Role.WORKER)

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        await self.verify_worker(hello.worker_id, proof)
        self.joined.append((hello, proof, peer))
        return JoinAnswer(admission=Admission.APPROVED if token else Admission.PENDING, reason=token)

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> MemoryWorkerSession:
        if hello.worker_id == "stranger":
            raise PermissionDenied("not a worker of ours")
        self.workers[hello.worker_id] = worker
        self.attached.append(identity)
        return MemoryWorkerSession(MemoryMaster(self, identity), hello.worker_id)

    async def detach_worker(self, worker_id: str, worker: Worker) -> None:
        if self.workers.get(worker_id) is worker:
            del self.workers[worker_id]

    async def verify_token(self, token: str) -> Identity | None:
        return None if token in self.revoked else self.tokens.get(token)

    def is_valid(self, identity: Identity) -> bool:
        return identity.subject not in self.revoked

    def refused(self, identity: Identity, method: str, error: ProcuratorError) -> None:
        self.refusals.append((identity.subject, method, error.code))


@asynccontextmanager
async def a_control_plane(
    address: Address | Path, *, socket_roles: dict[int, Role] | None = None
) -> AsyncIterator[tuple[MemoryBackend, Address]]:
    """A served backend and where."""
    where = UnixAddress(address) if isinstance(address, Path) else address
    backend = MemoryBackend()
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            await serve_control_plane(backend, address=where, socket_roles=socket_roles, task_status=task_status)

        yield backend, await nursery.start(run)
        nursery.cancel_scope.cancel()


ANY_TCP = TcpAddress("127.0.0.1", 0)
