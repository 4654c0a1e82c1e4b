"""A control plane that assigns what a test says and keeps what the worker reports; it serves the real wire."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from schema.assignment import (
    Assignment,
    Entry,
    Fallback,
    GenerationProof,
    Peer,
    Seen,
    SignedAssignment,
)
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.errors import ProcuratorError, Unauthenticated, Unimplemented
from schema.generation import sign_publish
from schema.interfaces import Challenge, Identity, Master, Role, Worker, WorkerHello, WorkerProof
from schema.operations import Admission, JoinAnswer
from schema.origin import Origin
from schema.rpc.server import serve_control_plane
from schema.rpc.transport.sockets import UnixAddress
from schema.signing import PublicKey, SecretKey, check_signature, login_message
from schema.status import Directive, LiveClosures, PushReply, RunningVm, WorkerReport
from schema.tests.builders import as_signed
from schema.vmspec import VmSpec

KEY = SecretKey.from_seed("control-plane-1", b"\x03" * 32)
ORIGIN = Origin(repository="demo/example", branch="main")
COMMIT = "c" * 40


@dataclass(frozen=True)
class Wanted:
    """One instance: generation, spec, last byte of its address, and what to fall back to."""

    instance: str
    spec: VmSpec
    generation: int = 1
    number: int = 2
    fallback: tuple[int, VmSpec] | None = None


def an_assignment(
    *wanted: Wanted,
    revision: int,
    publisher: SecretKey,
    worker_id: str = "w-0",
    net: str = "10.199.90",
    peers: tuple[Peer, ...] = (),
    epoch: str = "e" * 32,
) -> Assignment:
    """The assignment with the proofs of every generation that it names."""
    specs: dict[int, dict[str, VmSpec]] = {}
    for one in wanted:
        specs.setdefault(one.generation, {})[one.spec.name] = one.spec
        if one.fallback:
            specs.setdefault(one.fallback[0], {})[one.fallback[1].name] = one.fallback[1]
    return Assignment(
        worker_id=worker_id,
        epoch=epoch,
        revision=revision,
        entries=tuple(_entry(one, net) for one in wanted),
        peers=peers,
        generations=tuple(_proof(number, named, publisher) for number, named in sorted(specs.items())),
    )


_SEALED: dict[int, Sealed[VmSpec]] = {}


def _sealed(spec: VmSpec) -> Sealed[VmSpec]:
    """Of each spec once, as the control plane has them sealed by CI: making an assignment must not cost more here."""
    if id(spec) not in _SEALED:
        _SEALED[id(spec)] = Sealed.of(spec)  # which holds on to the spec, so its id stays its own
    return _SEALED[id(spec)]


def _entry(one: Wanted, net: str) -> Entry:
    return Entry(
        instance=one.instance,
        generation=one.generation,
        spec=_sealed(one.spec).text,
        address=f"{net}.{one.number}/24",
        mac=f"02:00:00:00:00:{one.number:02x}",
        fallback=Fallback(generation=one.fallback[0], spec=_sealed(one.fallback[1]).text) if one.fallback else None,
    )


def _proof(number: int, specs: Mapping[str, VmSpec], publisher: SecretKey) -> GenerationProof:
    publish = sign_publish(
        cluster="example",
        number=number,
        commit=COMMIT,
        origin=ORIGIN,
        vm_specs=tuple(_sealed(spec) for spec in specs.values()),
        rollout=Sealed.of(RolloutPolicy()),
        key=publisher,
    )
    return GenerationProof(
        number=number,
        commit=COMMIT,
        origin=ORIGIN,
        intent_hash=publish.intent.sha256,
        intent=publish.intent.text,
        signature=publish.header.signature,
    )


@dataclass
class FakeControlPlane:
    """The `Backend` of one worker, and its `WorkerSession`."""

    publisher: SecretKey
    signer: SecretKey = KEY
    net: str = "10.199.90"
    lease_ms: int = 60_000
    interval_ms: int = 10_000
    directives: tuple[Directive, ...] = ()
    reports: list[WorkerReport] = field(default_factory=list)
    hello: WorkerHello | None = None
    worker: Worker | None = None
    logins: int = 0
    admission: Admission = Admission.APPROVED
    why: str = ""
    asked: list[tuple[WorkerHello, str, str]] = field(default_factory=list)
    signed: SignedAssignment | None = None
    seen: Seen | None = None
    revision: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def assign(self, *wanted: Wanted, peers: tuple[Peer, ...] = ()) -> None:
        self.revision += 1
        assignment = an_assignment(*wanted, revision=self.revision, publisher=self.publisher, net=self.net, peers=peers)
        self.offer(as_signed(assignment, self.signer), Seen(assignment.epoch, assignment.revision))

    def offer(self, signed: SignedAssignment, seen: Seen) -> None:
        self.signed, self.seen = signed, seen
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, true: Callable[[dict[str, RunningVm]], bool], *, seconds: float = 60) -> dict[str, RunningVm]:
        """The first report of which `true` holds, by instance; what came before it may be any."""
        with trio.move_on_after(seconds):
            while True:
                with suppress(KeyError):
                    if self.reports and true(self.vms()):
                        return self.vms()
                await self.changed.wait()
        raise AssertionError(f"not within {seconds} s; last: {self.reports[-1:]}")

    def vms(self) -> dict[str, RunningVm]:
        return {vm.instance: vm for vm in self.reports[-1].running_vms} if self.reports else {}

    # Backend

    def master(self, identity: Identity) -> Master:
        raise Unimplemented("only workers log in here")

    async def challenge(self, worker_id: str) -> Challenge:
        return Challenge(f"{worker_id}-nonce", time.time_ns() // 1_000_000)

    async def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        if self.admission is not Admission.APPROVED:
            raise Unauthenticated("not admitted")
        return self._proven(worker_id, proof, "login")

    def _proven(self, worker_id: str, proof: WorkerProof, purpose: str) -> Identity:
        message = login_message(
            purpose=purpose, realm="default", worker_id=worker_id, nonce=f"{worker_id}-nonce", time_ms=proof.time_ms
        )
        key = PublicKey.parse(proof.public_key)
        check_signature(message=message, signature=proof.signature, keys=(key,), what=purpose)
        return Identity(subject=f"worker:{worker_id}", role=Role.WORKER)

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        self._proven(hello.worker_id, proof, "join")
        self.asked.append((hello, proof.public_key, token))
        return JoinAnswer(admission=self.admission, reason=self.why)

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> "FakeControlPlane":
        assert identity.role is Role.WORKER
        self.hello, self.worker = hello, worker
        self.logins += 1
        self._notify()
        return self

    async def detach_worker(self, worker_id: str, worker: Worker) -> None:
        self.worker = None
        self._notify()

    async def verify_token(self, token: str) -> Identity | None:
        return None

    def is_valid(self, identity: Identity) -> bool:
        return True

    def refused(self, identity: Identity, method: str, error: ProcuratorError) -> None:
        """As Backend.refused."""

    # WorkerSession

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        with trio.move_on_after(5):
            while self.signed is None or self.seen == last_seen:
                await self.changed.wait()
            return self.signed
        return None

    async def push_data(self, report: WorkerReport) -> PushReply:
        self.reports.append(report)
        self._notify()
        return PushReply(
            server_time_ms=0, interval_ms=self.interval_ms, lease_ms=self.lease_ms, directives=self.directives
        )

    async def live_closures(self) -> LiveClosures:
        return LiveClosures(paths=(), complete=False)


@asynccontextmanager
async def serving(backend: FakeControlPlane, socket: Path) -> AsyncIterator[None]:
    """The control plane, there for as long as the context is open."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve, backend, socket)
        yield
        nursery.cancel_scope.cancel()


async def _serve(backend: FakeControlPlane, socket: Path, *, task_status: trio.TaskStatus[object]) -> None:
    await serve_control_plane(backend, address=UnixAddress(socket), task_status=task_status)
