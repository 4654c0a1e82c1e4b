"""Serving a control plane: login, roles, and capabilities that ask for both role and session on every call.

It decides who may call; what a call does is the `Backend`'s.
"""

import os
from collections.abc import Coroutine, Mapping
from typing import Any

import trio

from schema.assignment import Seen, SignedAssignment
from schema.codec.reports import CLUSTER_STATUS, CURSOR, LIVE_CLOSURES, PUSH_REPLY, WORKER_FACTS, WORKER_REPORT
from schema.codec.sessions import (
    ROLE,
    read_credential,
    read_header,
    read_rollout,
    read_seen,
    read_specs,
    write_assignment,
    write_receipt,
)
from schema.codec.wire import master as wire
from schema.errors import InvalidInput, PermissionDenied, ProcuratorError, Unauthenticated
from schema.generation import Publish
from schema.interfaces import (
    Backend,
    Identity,
    Master,
    PeerCredential,
    Role,
    TokenCredential,
    Vm,
    Worker,
    WorkerHello,
    WorkerSession,
)
from schema.rpc.handlers import guarded, method, no_results, nothing
from schema.rpc.rights import INCLUDES, allows
from schema.rpc.sinks import RemoteEventSink
from schema.rpc.transport.calls import Handler
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits, ServerLimits
from schema.rpc.transport.serve import MakeBootstrap, serve
from schema.rpc.transport.sockets import Address
from schema.rpc.workers import RemoteWorker, export_vm, export_worker
from schema.status import Cursor, LiveClosures, WorkerReport

LOGIN_ATTEMPTS = 5
DETACH_SECONDS = 5.0
SPECS_A_STEP = 20
"""VmSpecs decoded before others get their turn: about 2 ms."""


class Session:
    """Who is behind a capability, asked before every call."""

    def __init__(self, backend: Backend, identity: Identity) -> None:
        self._backend = backend
        self.identity = identity

    def check(self, method: str) -> None:
        """Raises Unauthenticated once the session is over, and PermissionDenied for what its role may not."""
        if not self._backend.is_valid(self.identity):
            raise Unauthenticated("the session is over: its credential was revoked or has expired")
        if not allows(self.identity.role, method):
            raise PermissionDenied(f"role {self.identity.role} may not call {method}")


async def serve_control_plane(
    backend: Backend,
    *,
    address: Address,
    socket_roles: Mapping[int, Role] | None = None,
    limits: Limits | None = None,
    server_limits: ServerLimits | None = None,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `backend` on `address` until cancelled; `task_status` is told the real address.

    `socket_roles` is what uids other than root's and our own may log in as over a unix socket.
    """
    await serve(
        gateway(backend, socket_roles=socket_roles or {}),
        address=address,
        limits=limits,
        server_limits=server_limits,
        task_status=task_status,
    )


def gateway(backend: Backend, *, socket_roles: Mapping[int, Role]) -> MakeBootstrap:
    """The bootstrap capability of each connection."""

    def bootstrap(connection: Connection) -> Any:
        return connection.export(wire.Gateway, {"login": _Login(backend, connection, socket_roles).handle})

    return bootstrap


class _Login:
    """The one thing that a stranger may call."""

    def __init__(self, backend: Backend, connection: Connection, socket_roles: Mapping[int, Role]) -> None:
        self._backend = backend
        self._connection = connection
        self._socket_roles = socket_roles
        self._failures = 0

    async def handle(self, context: Any) -> None:
        """Log in. Whoever fails too often is dropped."""
        try:
            await self._log_in(context)
        except ProcuratorError:
            self._failures += 1
            if self._failures >= LOGIN_ATTEMPTS:
                self._connection.drop("too many failed logins")
            raise

    async def _log_in(self, context: Any) -> None:
        params = context.params
        number = params.role.raw
        if number >= len(ROLE.members):
            raise InvalidInput("this role is not known here")
        identity = await self._identify(read_credential(params.credential), ROLE.member(number))
        session = Session(self._backend, identity)
        session.check("Gateway.login")
        self._connection.trust()
        if identity.role is Role.WORKER:
            context.results.workerSession = await self._worker_session(params, session)
        else:
            master = self._backend.master(identity)
            context.results.master = export_master(self._connection, master, session)

    async def _identify(self, credential: PeerCredential | TokenCredential, role: Role) -> Identity:
        peer = self._connection.peer
        if isinstance(credential, TokenCredential):
            known = await self._backend.verify_token(credential.token)
            if known is None:
                raise Unauthenticated("unknown or revoked token")
            granted, subject = INCLUDES[known.role], known.subject
        elif peer.uid is None:
            raise Unauthenticated("over TCP a token is needed")
        elif peer.uid in (0, os.geteuid()):
            granted, subject = frozenset(Role), f"uid:{peer.uid}"
        else:
            mapped = self._socket_roles.get(peer.uid)
            if mapped is None:
                raise Unauthenticated(f"uid {peer.uid} has no role: [socket.roles] gives it none")
            granted, subject = INCLUDES[mapped], f"uid:{peer.uid}"
        if role not in granted:
            raise PermissionDenied(f"{subject} may not log in as {role}")
        return Identity(subject=subject, role=role, peer=peer.address)

    async def _worker_session(self, params: Any, session: Session) -> Any:
        if not params._has("hello") or not params.hello._has("worker"):
            raise InvalidInput("a worker logs in with its hello")
        hello = WorkerHello(params.hello.workerId, WORKER_FACTS.read(params.hello.facts))
        if not hello.worker_id:
            raise InvalidInput("a worker logs in with its id")
        worker = RemoteWorker(params.hello.worker, self._connection)

        async def detach() -> None:
            with trio.move_on_after(DETACH_SECONDS, shield=True):
                await self._backend.detach_worker(hello.worker_id, worker)

        self._connection.at_end(detach)
        attached = await self._backend.attach_worker(session.identity, hello, worker)
        return export_worker_session(self._connection, attached, session, hello.worker_id)


def _write_closures(results: Any, closures: LiveClosures) -> None:
    LIVE_CLOSURES.write(results.init("closures"), closures)


def _write_assignment(results: Any, assignment: SignedAssignment | None) -> None:
    if assignment is not None:
        write_assignment(results.init("assignment"), assignment)


def export_worker_session(connection: Connection, session: WorkerSession, guard: Session, worker_id: str) -> Any:
    """`session` for the worker `worker_id`, and for no other."""

    def own(named: str) -> None:
        if named != worker_id:
            raise PermissionDenied(f"this session is worker {worker_id!r}'s, not {named!r}'s")

    def read_poll(params: Any) -> Seen | None:
        own(params.workerId)
        return read_seen(params)

    def read_report(params: Any) -> WorkerReport:
        own(params.workerId)
        return WORKER_REPORT.read(params)

    handlers: dict[str, Handler] = {
        "getAssignment": method(read=read_poll, call=session.get_assignment, write=_write_assignment),
        "pushData": method(read=read_report, call=session.push_data, write=PUSH_REPLY.write),
        "liveClosures": method(
            read=nothing,
            call=lambda _: session.live_closures(),
            write=_write_closures,
            target=session.live_closures,
        ),
    }
    return connection.export(wire.WorkerSession, guarded("WorkerSession", wire.WorkerSession, guard, handlers))


def export_master(connection: Connection, master: Master, session: Session) -> Any:
    """`master` as far as the session's role reaches."""

    async def publish(context: Any) -> None:
        params = context.params
        header, rollout, specs = read_header(params), read_rollout(params), []
        for spec in read_specs(params):
            specs.append(spec)
            if len(specs) % SPECS_A_STEP == 0:
                await trio.lowlevel.checkpoint()
        context.release_params()
        write_receipt(context.results, await master.publish_state(Publish(header, tuple(specs), rollout)))

    def get_assignment(arguments: tuple[str, Seen | None]) -> Coroutine[Any, Any, SignedAssignment | None]:
        return master.get_assignment(*arguments)

    def watch(arguments: tuple[RemoteEventSink, Cursor | None]) -> Coroutine[Any, Any, None]:
        return master.watch(*arguments)

    def read_watch(params: Any) -> tuple[RemoteEventSink, Cursor | None]:
        sink = RemoteEventSink(params.sink, connection, check=lambda: session.check("Master.watch"))
        return sink, CURSOR.read(params.cursor) if params._has("cursor") else None

    def write_worker(results: Any, worker: Worker) -> None:
        results.worker = export_worker(connection, worker, session)

    def write_vm(results: Any, vm: Vm) -> None:
        results.vm = export_vm(connection, vm, session)

    handlers: dict[str, Handler] = {
        "publishState": publish,
        "getAssignment": method(
            read=lambda params: (params.workerId, read_seen(params)),
            call=get_assignment,
            write=_write_assignment,
        ),
        "pushData": method(read=WORKER_REPORT.read, call=master.push_data, write=PUSH_REPLY.write),
        "getClusterStatus": method(
            read=nothing,
            call=lambda _: master.get_cluster_status(),
            write=lambda results, status: CLUSTER_STATUS.write(results.init("status"), status),
            target=master.get_cluster_status,
        ),
        "getWorker": method(read=lambda params: params.workerId, call=master.get_worker, write=write_worker),
        "getVm": method(read=lambda params: params.vmId, call=master.get_vm, write=write_vm),
        "watch": method(read=read_watch, call=watch, write=no_results),
        "liveClosures": method(
            read=nothing,
            call=lambda _: master.live_closures(),
            write=_write_closures,
            target=master.live_closures,
        ),
    }
    return connection.export(wire.Master, guarded("Master", wire.Master, session, handlers))
