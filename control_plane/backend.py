"""What `schema.rpc` serves: sessions over the one control plane; rights are checked in front of it, not here."""

import logging

from control_plane.identity import Tokens
from control_plane.service import ControlPlane
from schema.assignment import Seen, SignedAssignment
from schema.errors import PermissionDenied
from schema.generation import Publish, PublishReceipt
from schema.interfaces import EventSink, Identity, Master, Vm, Worker, WorkerHello, WorkerSession
from schema.status import ClusterStatus, Cursor, LiveClosures, PushReply, WorkerReport

log = logging.getLogger(__name__)


class ControlPlaneBackend:
    """`schema.interfaces.Backend`."""

    def __init__(self, control_plane: ControlPlane, tokens: Tokens) -> None:
        self._control_plane = control_plane
        self._tokens = tokens

    def master(self, identity: Identity) -> Master:
        """As Backend.master."""
        return MasterOperations(self._control_plane, identity)

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> WorkerSession:
        """As Backend.attach_worker. Raises InvalidInput for an id that is no DNS label."""
        await self._control_plane.attach(hello, worker)
        log.info("worker %s logged in as %s", hello.worker_id, identity.subject)
        return WorkerOperations(self._control_plane, hello.worker_id, worker)

    async def detach_worker(self, worker_id: str, worker: Worker) -> None:
        """As Backend.detach_worker."""
        self._control_plane.detach(worker_id, worker)

    async def verify_token(self, token: str) -> Identity | None:
        """As Backend.verify_token."""
        return self._tokens.identity(token, wall_ms=self._control_plane.wall_ms())

    def is_valid(self, identity: Identity) -> bool:
        """As Backend.is_valid."""
        return self._tokens.holds(identity, wall_ms=self._control_plane.wall_ms())


class MasterOperations:
    """`schema.interfaces.Master` on behalf of one identity; its rights are checked by the server in front of it."""

    def __init__(self, control_plane: ControlPlane, identity: Identity) -> None:
        self._control_plane = control_plane
        self._identity = identity

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        """As Master.publish_state."""
        answer = await self._control_plane.publish(publish)
        log.info("generation %s is published by %s", answer.number, self._identity.subject)
        return answer

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """As Master.get_assignment."""
        return await self._control_plane.assignment(worker_id, last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As Master.push_data."""
        return self._control_plane.report(report)

    async def get_cluster_status(self) -> ClusterStatus:
        """As Master.get_cluster_status."""
        return self._control_plane.status()

    async def get_worker(self, worker_id: str) -> Worker:
        """As Master.get_worker."""
        return self._control_plane.worker(worker_id)

    async def get_vm(self, vm_id: str) -> Vm:
        """As Master.get_vm."""
        return self._control_plane.vm(vm_id)

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        """As Master.watch."""
        await self._control_plane.events.feed(sink, cursor)

    async def live_closures(self) -> LiveClosures:
        """As Master.live_closures."""
        return self._control_plane.closures()


class WorkerOperations:
    """`schema.interfaces.WorkerSession` of one connection of one worker."""

    def __init__(self, control_plane: ControlPlane, worker_id: str, worker: Worker) -> None:
        self._control_plane = control_plane
        self._worker_id = worker_id
        self._worker = worker

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        """As WorkerSession.get_assignment."""
        self._control_plane.check_session(self._worker_id, self._worker)
        return await self._control_plane.assignment(self._worker_id, last_seen)

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As WorkerSession.push_data."""
        self._control_plane.check_session(self._worker_id, self._worker)
        if report.worker_id != self._worker_id:
            raise PermissionDenied(f"worker {self._worker_id!r} may not report for {report.worker_id!r}")
        return self._control_plane.report(report)

    async def live_closures(self) -> LiveClosures:
        """As WorkerSession.live_closures."""
        return self._control_plane.closures()
