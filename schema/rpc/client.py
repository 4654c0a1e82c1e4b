"""Sessions with a control plane: proxies that implement `Master` and `WorkerSession`; reconnecting is the caller's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import trio

from schema.assignment import Seen, SignedAssignment
from schema.codec.fields import writing
from schema.codec.operations import JOIN_ANSWER
from schema.codec.reports import (
    CLUSTER_STATUS,
    CURSOR,
    LIVE_CLOSURES,
    PUSH_REPLY,
    WORKER_FACTS,
    WORKER_REPORT,
)
from schema.codec.sessions import (
    ROLE,
    read_challenge,
    read_receipt,
    read_signed_assignment,
    write_credential,
    write_proof,
    write_publish,
    write_seen,
)
from schema.codec.wire import master as wire
from schema.errors import DeadlineExceeded
from schema.generation import Publish, PublishReceipt
from schema.interfaces import (
    Challenge,
    Credential,
    EventSink,
    PeerCredential,
    Role,
    Worker,
    WorkerHello,
    WorkerProof,
)
from schema.operations import JoinAnswer
from schema.rpc.handlers import Release
from schema.rpc.operations import RemoteOperations
from schema.rpc.remote import Remote, ignore
from schema.rpc.sinks import export_event_sink
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.serve import Dialled, connect
from schema.rpc.transport.sockets import Address
from schema.rpc.workers import RemoteVm, RemoteWorker, export_worker
from schema.status import ClusterStatus, Cursor, LiveClosures, PushReply, WorkerReport

LOGIN_SECONDS = 10.0
Prove = Callable[[Challenge], WorkerProof]
"""Signs a challenge with the worker's key (`schema.signing.login_message`)."""


class RemoteMaster(RemoteOperations):
    """A Master at the other side."""

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        """As the Protocol."""
        request = self._request("publishState")
        write_publish(request, publish)
        return await self._ask(request, read_receipt)

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """As the Protocol."""
        return await _get_assignment(self, worker_id, last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As the Protocol."""
        return await _push_data(self, report)

    async def get_cluster_status(self) -> ClusterStatus:
        """As the Protocol."""
        return await self._ask(self._request("getClusterStatus"), lambda reply: CLUSTER_STATUS.read(reply.status))

    async def get_worker(self, worker_id: str) -> RemoteWorker:
        """As the Protocol."""
        request = self._request("getWorker")
        with writing("getWorker"):
            request.workerId = worker_id
        return await self._ask(request, lambda reply: RemoteWorker(reply.worker, self._connection))

    async def get_vm(self, vm_id: str) -> RemoteVm:
        """As the Protocol."""
        request = self._request("getVm")
        with writing("getVm"):
            request.vmId = vm_id
        return await self._ask(request, lambda reply: RemoteVm(reply.vm, self._connection))

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        """As the Protocol."""
        request = self._request("watch")
        request.sink = export_event_sink(self._connection, sink)
        if cursor is not None:
            CURSOR.write(request.init("cursor"), cursor)
        await self._ask(request, ignore)

    async def live_closures(self) -> LiveClosures:
        """As the Protocol."""
        return await _live_closures(self)


class RemoteWorkerSession(Remote):
    """A WorkerSession at the other side."""

    def __init__(self, capability: Any, connection: Connection, worker_id: str) -> None:
        super().__init__(capability, connection)
        self._worker_id = worker_id

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        """As the Protocol."""
        return await _get_assignment(self, self._worker_id, last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As the Protocol."""
        return await _push_data(self, report)

    async def live_closures(self) -> LiveClosures:
        """As the Protocol."""
        return await _live_closures(self)


async def _get_assignment(remote: Remote, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
    request = remote._request("getAssignment")
    with writing("getAssignment"):
        request.workerId = worker_id
        if last_seen is not None:
            write_seen(request.init("lastSeen"), last_seen)
    return await remote._ask(request, read_signed_assignment)


async def _push_data(remote: Remote, report: WorkerReport) -> PushReply:
    request = remote._request("pushData")
    WORKER_REPORT.write(request, report)
    return await remote._ask(request, PUSH_REPLY.read)


async def _live_closures(remote: Remote) -> LiveClosures:
    return await remote._ask(remote._request("liveClosures"), lambda reply: LIVE_CLOSURES.read(reply.closures))


class RemoteGateway(Remote):
    """What a connection that has not logged in may ask; it may stay for 10 s."""

    async def challenge(self, worker_id: str) -> Challenge:
        """A nonce to sign for `worker_id`."""
        request = self._request("challenge")
        with writing("challenge"):
            request.workerId = worker_id
        return await self._ask(request, read_challenge)

    async def prove(self, worker_id: str, prove: Prove, deadline: float) -> WorkerProof:
        """A fresh challenge, signed."""
        with trio.move_on_after(deadline):
            return prove(await self.challenge(worker_id))
        raise DeadlineExceeded(f"no answer to the request for a challenge within {deadline:g} s")

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str = "") -> JoinAnswer:
        """As Backend.join."""
        request = self._request("join")
        _write_hello(request, hello)
        write_proof(request.init("proof"), proof)
        with writing("join"):
            request.token = token
        return await self._ask(request, lambda reply: JOIN_ANSWER.read(reply.answer))

    def login_request(self, credential: Credential, role: Role) -> Any:
        """A login to be completed and sent by `log_in`."""
        request = self._request("login")
        write_credential(request.init("credential"), credential)
        request.role = ROLE.number(role)
        return request

    async def log_in(self, request: Any, deadline: float) -> Any:
        """The answer to a login."""
        with trio.move_on_after(deadline):
            return await self._ask(request, lambda reply: reply)
        raise DeadlineExceeded(f"no answer to the login within {deadline:g} s")


@asynccontextmanager
async def open_session(
    address: Address,
    role: Role,
    credential: Credential | None = None,
    *,
    deadline: float = LOGIN_SECONDS,
    limits: Limits | None = None,
) -> AsyncIterator[RemoteMaster]:
    """A session of any role but worker, for as long as the context is open.

    `credential` is by default the process's uid, over a unix socket. Connecting and logging in may take `deadline`
    seconds each. Raises Unavailable, DeadlineExceeded, Unauthenticated, PermissionDenied. When the connection is
    lost later, calls raise Unavailable and `lost` is set; leave the context and open another.
    """
    async with connect(address, interface=wire.Gateway, deadline=deadline, limits=limits) as dialled:
        yield await _log_in(dialled, credential or PeerCredential(), role, deadline)


async def _log_in(dialled: Dialled, credential: Credential, role: Role, deadline: float) -> RemoteMaster:
    # A function of its own: what is left of request and answer when it returns costs both sides memory.
    gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
    reply = await gateway.log_in(gateway.login_request(credential, role), deadline)
    dialled.bootstrap = None
    return RemoteMaster(reply.master, dialled.connection)


class _Trusting:
    """The guard of a worker's own capability: its only holder is the control plane, which checks for others."""

    def check(self, method: str) -> None:
        pass

    def hold(self, method: str, end: Callable[[], None]) -> Release:
        return lambda: None

    def holding(self, method: str) -> AbstractContextManager[None]:
        return nullcontext()


@asynccontextmanager
async def open_gateway(
    address: Address, *, deadline: float = LOGIN_SECONDS, limits: Limits | None = None
) -> AsyncIterator[RemoteGateway]:
    """A connection that does not log in, to ask for a challenge and to join. Raises Unavailable, DeadlineExceeded."""
    async with connect(address, interface=wire.Gateway, deadline=deadline, limits=limits) as dialled:
        yield RemoteGateway(dialled.bootstrap, dialled.connection)


def _write_hello(request: Any, hello: WorkerHello) -> Any:
    builder = request.init("hello")
    with writing("WorkerHello"):
        builder.workerId = hello.worker_id
        WORKER_FACTS.fill(builder.init("facts"), hello.facts)
    return builder


@asynccontextmanager
async def open_worker_session(
    address: Address,
    hello: WorkerHello,
    worker: Worker,
    credential: WorkerProof | Prove,
    *,
    deadline: float = LOGIN_SECONDS,
    limits: Limits | None = None,
) -> AsyncIterator[RemoteWorkerSession]:
    """A worker's session: `worker` is what the control plane may call for as long as the context is open.

    `credential` is a function that signs the control plane's challenge (or a proof that was made before): a worker is
    known by its key, whatever its uid. Errors and deadlines as with `open_session`.
    """
    async with connect(address, interface=wire.Gateway, deadline=deadline, limits=limits) as dialled:
        yield await _log_in_worker(dialled, hello, worker, credential, deadline)


async def _log_in_worker(
    dialled: Dialled, hello: WorkerHello, worker: Worker, credential: Credential | Prove, deadline: float
) -> RemoteWorkerSession:
    gateway = RemoteGateway(dialled.bootstrap, dialled.connection)
    known = await gateway.prove(hello.worker_id, credential, deadline) if callable(credential) else credential
    request = gateway.login_request(known, Role.WORKER)
    _write_hello(request, hello).worker = export_worker(dialled.connection, worker, _Trusting())
    reply = await gateway.log_in(request, deadline)
    dialled.bootstrap = None
    return RemoteWorkerSession(reply.workerSession, dialled.connection, hello.worker_id)
