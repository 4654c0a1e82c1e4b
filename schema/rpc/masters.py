"""Master and WorkerSession as a control plane exports them: every call checked, decoded, made and answered."""

from collections.abc import Coroutine
from functools import partial
from typing import Any

import trio

from schema.assignment import Seen, SignedAssignment
from schema.codec.reports import CLUSTER_STATUS, CURSOR, LIVE_CLOSURES, PUSH_REPLY, WORKER_REPORT
from schema.codec.sessions import (
    read_header,
    read_rollout,
    read_seen,
    read_specs,
    write_assignment,
    write_receipt,
)
from schema.codec.wire import master as wire
from schema.errors import PermissionDenied
from schema.generation import Publish
from schema.interfaces import Master, PolledSession, Vm, Worker, WorkerSession
from schema.rpc.guard import Session
from schema.rpc.handlers import answered, guarded, method, no_results, nothing
from schema.rpc.operations import operation_handlers
from schema.rpc.sinks import RemoteEventSink
from schema.rpc.transport.calls import Handler, Parked
from schema.rpc.transport.connection import Connection
from schema.rpc.workers import export_vm, export_worker
from schema.status import Cursor, LiveClosures

SPECS_A_STEP = 20
"""VmSpecs decoded before others get their turn: about 2 ms."""


def _write_closures(results: Any, closures: LiveClosures) -> None:
    LIVE_CLOSURES.write(results.init("closures"), closures)


def _write_assignment(results: Any, assignment: SignedAssignment | None) -> None:
    if assignment is not None:
        write_assignment(results.init("assignment"), assignment)


class _WorkerCalls:
    """The methods of one worker's session. There are thousands of sessions: each keeps this and no closures."""

    __slots__ = ("_connection", "_guard", "_polled", "_session", "_worker_id")

    def __init__(self, connection: Connection, session: WorkerSession, guard: Session, worker_id: str) -> None:
        self._connection = connection
        self._session = session
        self._polled = session if isinstance(session, PolledSession) else None
        self._guard = guard
        self._worker_id = worker_id

    def get(self, name: str) -> Handler | None:
        """The handler of a method, by its wire name."""
        return {"getAssignment": self._get_assignment, "pushData": self._push_data, "liveClosures": self._closures}.get(
            name
        )

    def _own(self, named: str) -> None:
        if named != self._worker_id:
            raise PermissionDenied(f"this session is worker {self._worker_id!r}'s, not {named!r}'s")

    def _get_assignment(self, context: Any) -> Coroutine[Any, Any, None] | Parked:
        self._guard.check("WorkerSession.getAssignment")
        self._own(context.params.workerId)
        last_seen = read_seen(context.params)
        context.release_params()
        if self._polled is not None:
            parked = Parked(partial(self._answer_poll, self._polled, last_seen))
            parked.forget = self._polled.wait_for_assignment(last_seen, parked.wake)
            if parked.forget is not None:
                self._connection.be_patient(True)
                return parked
        return self._poll(context, last_seen)

    def _answer_poll(self, session: PolledSession, last_seen: Seen | None, context: Any) -> None:
        answer = session.assignment_now(last_seen)
        self._guard.check("WorkerSession.getAssignment")  # it may have waited long
        if answer is None:
            self._connection.be_patient(False)  # it is heard until it waits again: else it would be the last to know
        _write_assignment(context.results, answer)

    async def _poll(self, context: Any, last_seen: Seen | None) -> None:
        answer = await self._session.get_assignment(last_seen)
        self._guard.check("WorkerSession.getAssignment")  # it may have waited long
        _write_assignment(context.results, answer)

    def _push_data(self, context: Any) -> Coroutine[Any, Any, None] | None:
        self._guard.check("WorkerSession.pushData")
        self._own(context.params.workerId)
        return answered(context, self._session.push_data, WORKER_REPORT.read(context.params), write=PUSH_REPLY.write)

    def _closures(self, context: Any) -> Coroutine[Any, Any, None] | None:
        self._guard.check("WorkerSession.liveClosures")
        return answered(context, self._session.live_closures, write=_write_closures)


def export_worker_session(connection: Connection, session: WorkerSession, guard: Session, worker_id: str) -> Any:
    """`session` for the worker `worker_id`, and for no other."""
    return connection.export(wire.WorkerSession, _WorkerCalls(connection, session, guard, worker_id))


def export_master(connection: Connection, master: Master, session: Session) -> Any:
    """`master` as far as the session's role reaches."""
    handlers = {**_path_handlers(connection, master, session), **operation_handlers(master)}
    return connection.export(wire.Master, guarded("Master", wire.Master, session, handlers))


def _path_handlers(connection: Connection, master: Master, session: Session) -> dict[str, Handler]:
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

    async def watch(arguments: tuple[RemoteEventSink, Cursor | None]) -> None:
        with session.holding("Master.watch"):
            await master.watch(*arguments)

    def read_watch(params: Any) -> tuple[RemoteEventSink, Cursor | None]:
        sink = RemoteEventSink(params.sink, connection, check=lambda: session.check("Master.watch"))
        return sink, CURSOR.read(params.cursor) if params._has("cursor") else None

    def write_worker(results: Any, worker: Worker) -> None:
        results.worker = export_worker(connection, worker, session)

    def write_vm(results: Any, vm: Vm) -> None:
        results.vm = export_vm(connection, vm, session)

    return {
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
