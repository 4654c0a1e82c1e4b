"""Sessions with a control plane: proxies that implement `Master` and `WorkerSession`; reconnecting is the caller's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from schema.assignment import Seen, SignedAssignment
from schema.codec.fields import writing
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
    read_assignment,
    read_receipt,
    write_credential,
    write_publish,
    write_seen,
)
from schema.codec.wire import master as wire
from schema.errors import DeadlineExceeded
from schema.generation import Publish, PublishReceipt
from schema.interfaces import Credential, EventSink, PeerCredential, Role, Worker, WorkerHello
from schema.rpc.remote import Remote, ignore
from schema.rpc.sinks import export_event_sink
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.serve import connect
from schema.rpc.transport.sockets import Address
from schema.rpc.workers import RemoteVm, RemoteWorker, export_worker
from schema.status import ClusterStatus, Cursor, LiveClosures, PushReply, WorkerReport

LOGIN_SECONDS = 10.0


class RemoteMaster(Remote):
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
    return await remote._ask(request, read_assignment)


async def _push_data(remote: Remote, report: WorkerReport) -> PushReply:
    request = remote._request("pushData")
    WORKER_REPORT.write(request, report)
    return await remote._ask(request, PUSH_REPLY.read)


async def _live_closures(remote: Remote) -> LiveClosures:
    return await remote._ask(remote._request("liveClosures"), lambda reply: LIVE_CLOSURES.read(reply.closures))


class _Gateway(Remote):
    def login_request(self, credential: Credential, role: Role) -> Any:
        request = self._request("login")
        write_credential(request.init("credential"), credential)
        request.role = ROLE.number(role)
        return request

    async def log_in(self, request: Any, deadline: float) -> Any:
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
        gateway = _Gateway(dialled.bootstrap, dialled.connection)
        reply = await gateway.log_in(gateway.login_request(credential or PeerCredential(), role), deadline)
        yield RemoteMaster(reply.master, dialled.connection)


class _Trusting:
    """The guard of a worker's own capability: its only holder is the control plane, which checks for others."""

    def check(self, method: str) -> None:
        pass


@asynccontextmanager
async def open_worker_session(
    address: Address,
    hello: WorkerHello,
    worker: Worker,
    credential: Credential | None = None,
    *,
    deadline: float = LOGIN_SECONDS,
    limits: Limits | None = None,
) -> AsyncIterator[RemoteWorkerSession]:
    """A worker's session: `worker` is what the control plane may call for as long as the context is open.

    Errors and deadlines as with `open_session`.
    """
    async with connect(address, interface=wire.Gateway, deadline=deadline, limits=limits) as dialled:
        gateway = _Gateway(dialled.bootstrap, dialled.connection)
        request = gateway.login_request(credential or PeerCredential(), Role.WORKER)
        wire_hello = request.init("hello")
        with writing("WorkerHello"):
            wire_hello.workerId = hello.worker_id
            WORKER_FACTS.fill(wire_hello.init("facts"), hello.facts)
        wire_hello.worker = export_worker(dialled.connection, worker, _Trusting())
        reply = await gateway.log_in(request, deadline)
        yield RemoteWorkerSession(reply.workerSession, dialled.connection, hello.worker_id)
