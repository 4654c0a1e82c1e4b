"""A process that pretends to be many workers, each with a connection of its own; when and how often is `run.py`'s.

Messages on the pipe: to here `Watch` (say when all know a generation), `Latencies` (hand over what was timed since the
last time) and None (end); from here their answers. Moments are of CLOCK_MONOTONIC, which all processes share.
"""

import gc
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import trio

from cli.sim.options import SimOptions
from cli.sim.pretend import PretendWorker
from schema.errors import Internal, NotFound, ProcuratorError, Unimplemented
from schema.interfaces import Challenge, Vm, WorkerProof
from schema.operations import Admission
from schema.rpc.client import Prove, RemoteWorkerSession, open_gateway, open_worker_session
from schema.rpc.transport.sockets import Address, TcpAddress
from schema.rpc.transport.tls import ClientTls
from schema.signing import SecretKey, login_message
from schema.status import WorkerReport

ARRIVING_AT_ONCE = 50
"""Workers of one process that join and log in at the same time."""
PATIENCE_SECONDS = 280.0
GATHER_SECONDS = 0.05
"""As the worker does: how long further changes are waited for before a report goes out."""
COLLECT_AFTER = (50_000, 20, 100)
"""As the control plane: thousands of workers live long in one process here, and each has one of its own in truth."""


BEHIND = 5
"""Of nice(2): workers have processors of their own in truth; here they share what the control plane leaves."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """All workers of the process are connected."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Watch:
    """Answered with `Known` once every worker has taken up an assignment that names `generation`."""

    generation: int


@dataclass(frozen=True, slots=True)
class Known:
    """When each worker first had an assignment of the generation in its hands, sorted."""

    at_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Asks for, and is, the times from report to answer since it was last asked for, in seconds."""

    seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """What went wrong."""

    message: str


Told = Arrived | Known | Latencies | Broken


def prover(key: SecretKey, *, purpose: str) -> Prove:
    """Signs challenges as `key`'s name."""

    def prove(challenge: Challenge) -> WorkerProof:
        now_ms = challenge.server_time_ms
        message = login_message(
            purpose=purpose, realm="default", worker_id=key.name, nonce=challenge.nonce, time_ms=now_ms
        )
        return WorkerProof(str(key.public), challenge.nonce, now_ms, key.sign(message))

    return prove


class PretendService:
    """`schema.interfaces.Worker` of a pretended worker."""

    def __init__(self, worker: PretendWorker) -> None:
        self._worker = worker

    async def read(self) -> WorkerReport:
        """As Worker.read."""
        return self._worker.report(now_ms=now_ms())

    async def list_vms(self) -> tuple[str, ...]:
        """As Worker.list_vms."""
        return tuple(vm.instance for vm in (await self.read()).running_vms)

    async def get_vm(self, instance: str) -> Vm:
        """None of them is there."""
        raise NotFound(f"{instance} is only pretended")

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """Nothing to do."""

    async def get_config(self) -> dict[str, str]:
        """It has none."""
        return {}

    async def update_config(self, key: str, value: str) -> str:
        """It has none."""
        raise Unimplemented("a pretended worker has no settings")

    async def shutdown(self) -> None:
        """Nothing to do."""

    async def delete_volume(self, instance: str, volume: str) -> None:
        """There is none."""
        raise NotFound(f"{instance}/{volume} is only pretended")


def now_ms() -> int:
    """Milliseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns() // 1_000_000


class Fleet:
    """The workers of one process."""

    def __init__(self, options: SimOptions, *, address: Address, process: int) -> None:
        self._options = options
        self._address = address
        self._random = random.Random(process)  # noqa: S311 - the order of reports, not a secret
        self._door = trio.CapacityLimiter(ARRIVING_AT_ONCE)
        self._hands = trio.Lock()
        """What one worker does after the other, between what all of them hear."""
        self._workers = [
            PretendWorker(name, room=options.per_worker, boot_ms=options.boot_ms) for name in options.names(process)
        ]
        self._arrived = 0
        self._all_arrived = trio.Event()
        self._latencies: list[float] = []
        self._first_told: dict[int, dict[str, float]] = {}
        self._news = trio.Event()

    async def run(self, pipe: Connection) -> None:
        """Connect everyone, then obey `pipe` until it says to end or closes."""
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(self._live, worker)
            await self._all_arrived.wait()
            pipe.send(Arrived(time.monotonic()))
            while (asked := await trio.to_thread.run_sync(partial(_receive, pipe))) is not None:
                pipe.send(await self._answer(asked))
            nursery.cancel_scope.cancel()

    async def _answer(self, asked: Watch | Latencies) -> Told:
        if isinstance(asked, Latencies):
            told, self._latencies = tuple(self._latencies), []
            return Latencies(told)
        with trio.move_on_after(PATIENCE_SECONDS):
            while len(self._first_told.get(asked.generation, ())) < len(self._workers):
                self._news = trio.Event()
                await self._news.wait()
        known = self._first_told.get(asked.generation, {})
        if len(known) < len(self._workers):
            return Broken(f"{len(known)} of {len(self._workers)} workers know generation {asked.generation}")
        return Known(tuple(sorted(known.values())))

    async def _live(self, worker: PretendWorker) -> None:
        key = SecretKey.from_seed(worker.worker_id, worker.worker_id.encode().ljust(32, b"."))
        service, hello = PretendService(worker), worker.hello()
        async with self._door:
            async with open_gateway(self._address, deadline=PATIENCE_SECONDS) as gateway:
                proof = await gateway.prove(worker.worker_id, prover(key, purpose="join"), PATIENCE_SECONDS)
                answer = await gateway.join(hello, proof)
            if answer.admission is not Admission.APPROVED:
                raise Internal(f"{worker.worker_id} is {answer.admission}: {answer.reason}")
            opening = open_worker_session(
                self._address, hello, service, prover(key, purpose="login"), deadline=PATIENCE_SECONDS
            )
            session = await opening.__aenter__()
        try:
            self._arrived += 1
            if self._arrived == len(self._workers):
                self._all_arrived.set()
            changed = _Changes()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, worker, session, changed)
                nursery.start_soon(self._report, worker, session, changed)
        finally:
            await opening.__aexit__(None, None, None)

    async def _obey(self, worker: PretendWorker, session: RemoteWorkerSession, changed: "_Changes") -> None:
        while True:
            signed = await session.get_assignment(worker.seen)
            if signed is None:
                continue
            at_s = time.monotonic()
            async with self._hands:
                worker.obey(signed, now_ms=now_ms())
            told = self._first_told.setdefault(worker.generation, {})
            told.setdefault(worker.worker_id, at_s)
            if len(told) == len(self._workers):
                self._news.set()
            changed.ring()

    async def _report(self, worker: PretendWorker, session: RemoteWorkerSession, changed: "_Changes") -> None:
        """A report at once on any change, and else at the interval; each worker has a beat of its own."""
        pause_s = self._random.uniform(0, self._options.interval_ms / 1000)
        news = changed.next
        while True:
            with trio.move_on_after(pause_s):
                await news.wait()
                await trio.sleep(GATHER_SECONDS)
            news = changed.next  # before the report is made: what changes from here on is for the next one
            due_ms = worker.look(now_ms=now_ms())
            report = worker.report(now_ms=now_ms())
            began = time.perf_counter()
            reply = await session.push_data(report)
            self._latencies.append(time.perf_counter() - began)
            pause_s = (min(self._options.interval_ms, reply.interval_ms) if due_ms is None else due_ms) / 1000


class _Changes:
    def __init__(self) -> None:
        self.next = trio.Event()

    def ring(self) -> None:
        rung, self.next = self.next, trio.Event()
        rung.set()


def _receive(pipe: Connection) -> Watch | Latencies | None:
    try:
        found: Watch | Latencies | None = pipe.recv()
    except EOFError:
        return None
    return found


def pretend(options: SimOptions, pipe: Connection, *, port: int, ca: Path | None, process: int) -> None:
    """The process: connect to 127.0.0.1:`port`, believing `ca` where there is TLS."""
    gc.set_threshold(*COLLECT_AFTER)
    os.nice(BEHIND)
    address = TcpAddress("127.0.0.1", port, ClientTls(ca, "127.0.0.1") if ca else None)
    main: Callable[[], Awaitable[None]] = partial(Fleet(options, address=address, process=process).run, pipe)
    try:
        trio.run(main)
    except* ProcuratorError as group:
        pipe.send(Broken(str(group.exceptions[0])))
