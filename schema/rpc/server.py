"""Serving a control plane: what a stranger may ask, and the login that hands out sessions.

It decides who may log in; what a session may call is `rights.py`'s, and what a call does is the `Backend`'s.
"""

import os
from collections.abc import Mapping
from typing import Any

import trio

from schema.codec.operations import JOIN_ANSWER
from schema.codec.reports import WORKER_FACTS
from schema.codec.sessions import ROLE, read_credential, read_proof
from schema.codec.wire import master as wire
from schema.errors import InvalidInput, PermissionDenied, ProcuratorError, Unauthenticated
from schema.interfaces import (
    Backend,
    Credential,
    Identity,
    PeerCredential,
    Role,
    TokenCredential,
    WorkerHello,
    WorkerProof,
)
from schema.rpc.guard import Session
from schema.rpc.masters import export_master, export_worker_session
from schema.rpc.rights import INCLUDES
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits, ServerLimits
from schema.rpc.transport.serve import MakeBootstrap, serve
from schema.rpc.transport.sockets import Address
from schema.rpc.workers import RemoteWorker

STRANGER = "stranger"
"""The subject of who has not logged in."""
LOGIN_ATTEMPTS = 5
STRANGERS_QUESTIONS = 20
"""Calls of a connection that has not logged in, failed or not."""
DETACH_SECONDS = 5.0


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
        door = _Door(backend, connection, socket_roles)
        handlers = {"login": door.login, "challenge": door.challenge, "join": door.join}
        return connection.export(wire.Gateway, handlers)

    return bootstrap


class _PublisherLooks(PermissionDenied):
    """A publisher asked to look as a viewer. It is told its role, with which it may follow; nobody tried for more."""


class _Door:
    """All that a stranger may call. Whoever fails too often, or asks without end, is dropped."""

    def __init__(self, backend: Backend, connection: Connection, socket_roles: Mapping[int, Role]) -> None:
        self._backend = backend
        self._connection = connection
        self._socket_roles = socket_roles
        self._failures = 0
        self._questions = 0

    async def login(self, context: Any) -> None:
        """Gateway.login."""
        self._ask()
        try:
            await self._log_in(context)
        except _PublisherLooks:
            self._fail()
            raise
        except ProcuratorError as error:
            stranger = Identity(STRANGER, Role.VIEWER, self._connection.peer.address)
            self._backend.refused(stranger, "Gateway.login", error)
            self._fail()
            raise

    async def challenge(self, context: Any) -> None:
        """Gateway.challenge."""
        self._ask()
        answer = await self._backend.challenge(context.params.workerId)
        context.results.nonce, context.results.serverTimeMs = answer.nonce, answer.server_time_ms

    async def join(self, context: Any) -> None:
        """Gateway.join."""
        self._ask()
        params = context.params
        if not params._has("proof"):
            raise InvalidInput("a worker that asks to join proves that it has its key")
        hello, proof, peer = self._hello(params), read_proof(params.proof), self._connection.peer.address
        try:
            answer = await self._backend.join(hello, proof, token=params.token, peer=peer)
        except ProcuratorError:
            self._fail()
            raise
        JOIN_ANSWER.write(context.results.init("answer"), answer)

    def _ask(self) -> None:
        self._questions += 1
        if self._questions > STRANGERS_QUESTIONS:
            self._connection.drop("too many calls of the gateway")

    def _fail(self) -> None:
        self._failures += 1
        if self._failures >= LOGIN_ATTEMPTS:
            self._connection.drop("too many failed logins")

    async def _log_in(self, context: Any) -> None:
        params = context.params
        number = params.role.raw
        if number >= len(ROLE.members):
            raise InvalidInput("this role is not known here")
        identity = await self._identify(read_credential(params.credential), ROLE.member(number), params)
        session = Session(self._backend, identity, self._connection)
        session.check("Gateway.login")
        self._connection.trust()
        if identity.role is Role.WORKER:
            context.results.workerSession = await self._worker_session(params, session)
        else:
            master = self._backend.master(identity)
            context.results.master = export_master(self._connection, master, session)

    async def _identify(self, credential: Credential, role: Role, params: Any) -> Identity:
        peer = self._connection.peer
        match credential:
            case WorkerProof():
                known = await self._backend.verify_worker(self._hello(params).worker_id, credential)
                granted, subject = INCLUDES[Role.WORKER], known.subject
            case TokenCredential(token):
                owner = await self._backend.verify_token(token)
                if owner is None:
                    raise Unauthenticated("unknown, revoked or expired token")
                granted, subject = INCLUDES[owner.role], owner.subject
            case PeerCredential():
                granted, subject = self._of_uid(peer.uid)
                if role is Role.WORKER:
                    raise PermissionDenied("a worker logs in by its key, also over a unix socket")
        if role not in granted:
            kind = _PublisherLooks if role is Role.VIEWER and granted == INCLUDES[Role.PUBLISHER] else PermissionDenied
            raise kind(f"{subject} may not log in as {role}, only as {', '.join(sorted(granted))}")
        return Identity(subject=subject, role=role, peer=peer.address)

    def _of_uid(self, uid: int | None) -> tuple[frozenset[Role], str]:
        if uid is None:
            raise Unauthenticated("over TCP a token is needed")
        if uid in (0, os.geteuid()):
            return frozenset(Role), f"uid:{uid}"
        mapped = self._socket_roles.get(uid)
        if mapped is None:
            raise Unauthenticated(f"uid {uid} has no role: [socket.roles] gives it none")
        return INCLUDES[mapped], f"uid:{uid}"

    @staticmethod
    def _hello(params: Any) -> WorkerHello:
        if not params._has("hello") or not params.hello.workerId:
            raise InvalidInput("a worker says who it is with its hello and its id")
        return WorkerHello(params.hello.workerId, WORKER_FACTS.read(params.hello.facts))

    async def _worker_session(self, params: Any, session: Session) -> Any:
        hello = self._hello(params)
        if not params.hello._has("worker"):
            raise InvalidInput("a worker logs in with its own capability in its hello")
        worker, worker_id = RemoteWorker(params.hello.worker, self._connection), hello.worker_id

        async def detach() -> None:
            with trio.move_on_after(DETACH_SECONDS, shield=True):
                await self._backend.detach_worker(worker_id, worker)  # `hello` has all the facts: it is not kept

        self._connection.at_end(detach)
        attached = await self._backend.attach_worker(session.identity, hello, worker)
        return export_worker_session(self._connection, attached, session, worker_id)
