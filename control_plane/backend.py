"""What `schema.rpc` serves: sessions over the one control plane; rights are checked in front of it, not here."""

import logging
from collections.abc import Callable

from control_plane.audit import AuditDraft
from control_plane.audited import AuditedVm, AuditedWorker, Recorder
from control_plane.polls import Wake
from control_plane.service import ControlPlane
from schema.assignment import Seen, SignedAssignment
from schema.errors import PermissionDenied, ProcuratorError
from schema.generation import Publish, PublishReceipt
from schema.interfaces import (
    Challenge,
    EventSink,
    Identity,
    Master,
    Role,
    Vm,
    Worker,
    WorkerHello,
    WorkerProof,
    WorkerSession,
)
from schema.operations import (
    AuditEntry,
    AuditVerdict,
    Explanation,
    GenerationContent,
    Hold,
    JoinAnswer,
    RolloutStatus,
    TokenInfo,
    WorkerAdmission,
)
from schema.rpc.handlers import immediate
from schema.status import ClusterStatus, Cursor, GenerationStatus, LiveClosures, PushReply, WorkerReport

log = logging.getLogger(__name__)


class ControlPlaneBackend:
    """`schema.interfaces.Backend`."""

    def __init__(
        self, control_plane: ControlPlane, *, on_call: Callable[[Identity], None] = lambda _identity: None
    ) -> None:
        """`on_call` is told of every call of a session, for the figures."""
        self._control_plane = control_plane
        self._on_call = on_call

    def master(self, identity: Identity) -> Master:
        """As Backend.master."""
        return MasterOperations(self._control_plane, identity)

    async def challenge(self, worker_id: str) -> Challenge:
        """As Backend.challenge."""
        return await self._control_plane.operations.challenge(worker_id)

    async def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        """As Backend.verify_worker."""
        return await self._control_plane.operations.verify_worker(worker_id, proof)

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        """As Backend.join."""
        return await self._control_plane.operations.join(hello, proof, token=token, peer=peer)

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
        return self._control_plane.gate.token_identity(token)

    def is_valid(self, identity: Identity) -> bool:
        """As Backend.is_valid."""
        self._on_call(identity)
        return self._control_plane.gate.is_valid(identity)

    def refused(self, identity: Identity, method: str, error: ProcuratorError) -> None:
        """As Backend.refused: it is in the audit, as far as there is room for refusals."""
        log.info("%s of %s from %s was refused: %s", method, identity.subject, identity.peer, error.message)
        self._control_plane.authority.note(AuditDraft.by(identity, method), refusal=error)


class MasterOperations:
    """`schema.interfaces.Master` on behalf of one identity; its rights are checked by the server in front of it."""

    def __init__(self, control_plane: ControlPlane, identity: Identity) -> None:
        self._control_plane = control_plane
        self._identity = identity
        self._record = Recorder(identity, control_plane.authority)

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        """As Master.publish_state."""
        answer = await self._control_plane.publish(publish, by=self._identity)
        log.info("generation %s is published by %s", answer.number, self._identity.subject)
        return answer

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """As Master.get_assignment."""
        return await self._control_plane.assignment(worker_id, last_seen)

    @immediate
    async def push_data(self, report: WorkerReport) -> PushReply:
        """As Master.push_data."""
        return self._control_plane.report(report)

    @immediate
    async def get_cluster_status(self) -> ClusterStatus:
        """As Master.get_cluster_status."""
        return self._control_plane.status()

    async def get_worker(self, worker_id: str) -> Worker:
        """As Master.get_worker."""
        worker = self._control_plane.worker(worker_id)
        return AuditedWorker(worker, self._record, worker_id=worker_id)

    async def get_vm(self, vm_id: str) -> Vm:
        """As Master.get_vm."""
        return AuditedVm(self._control_plane.vm(vm_id), self._record, instance=vm_id)

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        """As Master.watch."""
        await self._control_plane.events.feed(sink, cursor)

    @immediate
    async def live_closures(self) -> LiveClosures:
        """As Master.live_closures."""
        return self._control_plane.closures()

    async def explain(self, vm_id: str) -> Explanation:
        """As Master.explain."""
        return await self._control_plane.operations.explain(vm_id)

    async def list_generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        """As Master.list_generations."""
        return await self._control_plane.operations.list_generations(limit=limit, before=before)

    async def get_generation(self, number: int) -> GenerationContent:
        """As Master.get_generation."""
        return await self._control_plane.operations.get_generation(number)

    async def list_rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        """As Master.list_rollouts."""
        return await self._control_plane.operations.list_rollouts(limit=limit, before=before)

    async def pause_rollout(self, generation: int, *, reason: str) -> None:
        """As Master.pause_rollout."""
        await self._control_plane.operations.pause_rollout(self._identity, generation, reason=reason)

    async def resume_rollout(self, generation: int) -> None:
        """As Master.resume_rollout."""
        await self._control_plane.operations.resume_rollout(self._identity, generation)

    async def promote_rollout(self, generation: int) -> None:
        """As Master.promote_rollout."""
        await self._control_plane.operations.promote_rollout(self._identity, generation)

    async def abort_rollout(self, generation: int, *, reason: str) -> None:
        """As Master.abort_rollout."""
        await self._control_plane.operations.abort_rollout(self._identity, generation, reason=reason)

    async def hold(self, vms: tuple[str, ...], generation: int, *, reason: str) -> Hold:
        """As Master.hold."""
        return await self._control_plane.operations.hold(self._identity, vms, generation, reason=reason)

    async def lift_hold(self, hold_id: str) -> None:
        """As Master.lift_hold."""
        await self._control_plane.operations.lift_hold(self._identity, hold_id)

    async def list_holds(self) -> tuple[Hold, ...]:
        """As Master.list_holds."""
        return await self._control_plane.operations.list_holds()

    async def cordon_worker(self, worker_id: str, *, cordoned: bool, reason: str) -> None:
        """As Master.cordon_worker."""
        await self._control_plane.operations.cordon_worker(self._identity, worker_id, cordoned=cordoned, reason=reason)

    async def drain_worker(self, worker_id: str, *, deadline_ms: int, reason: str) -> None:
        """As Master.drain_worker."""
        await self._control_plane.operations.drain_worker(
            self._identity, worker_id, deadline_ms=deadline_ms, reason=reason
        )

    async def release_volume(self, instance: str, *, volume: str) -> None:
        """As Master.release_volume."""
        await self._control_plane.operations.release_volume(self._identity, instance, volume=volume)

    async def list_workers(self) -> tuple[WorkerAdmission, ...]:
        """As Master.list_workers."""
        return await self._control_plane.operations.list_workers()

    async def approve_worker(self, worker_id: str) -> None:
        """As Master.approve_worker."""
        await self._control_plane.operations.approve_worker(self._identity, worker_id)

    async def reject_worker(self, worker_id: str, *, reason: str) -> None:
        """As Master.reject_worker."""
        await self._control_plane.operations.reject_worker(self._identity, worker_id, reason=reason)

    async def retire_worker(self, worker_id: str, *, reason: str) -> None:
        """As Master.retire_worker."""
        await self._control_plane.operations.retire_worker(self._identity, worker_id, reason=reason)

    async def create_join_token(self, *, worker_id: str) -> str:
        """As Master.create_join_token."""
        return await self._control_plane.operations.create_join_token(self._identity, worker_id=worker_id)

    async def create_token(self, name: str, *, role: Role, lasts_ms: int) -> str:
        """As Master.create_token."""
        return await self._control_plane.operations.create_token(self._identity, name, role=role, lasts_ms=lasts_ms)

    async def list_tokens(self) -> tuple[TokenInfo, ...]:
        """As Master.list_tokens."""
        return await self._control_plane.operations.list_tokens()

    async def revoke_token(self, name: str) -> None:
        """As Master.revoke_token."""
        await self._control_plane.operations.revoke_token(self._identity, name)

    async def list_audit(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """As Master.list_audit."""
        return await self._control_plane.operations.list_audit(limit=limit, before=before)

    async def verify_audit(self) -> AuditVerdict:
        """As Master.verify_audit."""
        return await self._control_plane.operations.verify_audit()


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

    def wait_for_assignment(self, last_seen: Seen | None, wake: Wake) -> Callable[[], None] | None:
        """As PolledSession.wait_for_assignment."""
        self._control_plane.check_session(self._worker_id, self._worker)
        return self._control_plane.wait_for_assignment(self._worker_id, last_seen, wake)

    def assignment_now(self, last_seen: Seen | None) -> SignedAssignment | None:
        """As PolledSession.assignment_now."""
        return self._control_plane.assignment_now(self._worker_id, last_seen)

    @immediate
    async def push_data(self, report: WorkerReport) -> PushReply:
        """As WorkerSession.push_data."""
        self._control_plane.check_session(self._worker_id, self._worker)
        if report.worker_id != self._worker_id:
            raise PermissionDenied(f"worker {self._worker_id!r} may not report for {report.worker_id!r}")
        return self._control_plane.report(report)

    @immediate
    async def live_closures(self) -> LiveClosures:
        """As WorkerSession.live_closures."""
        self._control_plane.check_session(self._worker_id, self._worker)
        return self._control_plane.closures()
