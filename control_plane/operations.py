"""What people ask of a control plane: each operation is one audited change, or one answer; rights are checked before.

It decides nothing: what an operation changes is a pure function of its subject's module (`rollout/`, `identity/`, …),
which `authority.change` carries out.
"""

from collections.abc import Callable
from functools import partial

from control_plane.authority import Authority, Decide
from control_plane.identity.gate import Gate
from control_plane.liveness import orders
from control_plane.state import Snapshot
from control_plane.steering import Steering
from schema.interfaces import Challenge, Identity, Role, WorkerHello, WorkerProof
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
from schema.status import GenerationStatus

Actor = Identity
"""On whose behalf: the audit's `actor` and `peer`."""
PAGE = 100
"""Items of a list where the caller asks for no number."""


def page_size(limit: int) -> int:
    """How many items a list answers with: `limit` 0 and too large ones mean the most."""
    return min(limit or PAGE, PAGE)


class Operations:
    """The operations of `schema.interfaces.Master` beside the path, with the identity that asks for each."""

    def __init__(
        self,
        authority: Authority,
        *,
        gate: Gate,
        steering: Steering,
        explain: Callable[[str], Explanation],
        wall_ms: Callable[[], int],
    ) -> None:
        self._authority = authority
        self._gate = gate
        self._steering = steering
        self._explain = explain
        self._wall_ms = wall_ms

    @property
    def _snapshot(self) -> Snapshot:
        return self._authority.snapshot

    # Reading.

    async def explain(self, vm_id: str) -> Explanation:
        """As Master.explain."""
        return self._explain(vm_id)

    async def list_generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        """As Master.list_generations."""
        return self._steering.generations(limit=page_size(limit), before=before)

    async def get_generation(self, number: int) -> GenerationContent:
        """As Master.get_generation."""
        return self._steering.generation(number)

    async def list_rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        """As Master.list_rollouts."""
        return self._steering.rollouts(limit=page_size(limit), before=before)

    async def list_holds(self) -> tuple[Hold, ...]:
        """As Master.list_holds."""
        return self._steering.holds()

    # Rollouts and holds.

    async def pause_rollout(self, actor: Actor, generation: int, *, reason: str) -> None:
        """As Master.pause_rollout."""
        await self._steering.pause(generation, reason=reason, by=actor)

    async def resume_rollout(self, actor: Actor, generation: int) -> None:
        """As Master.resume_rollout."""
        await self._steering.resume(generation, by=actor)

    async def promote_rollout(self, actor: Actor, generation: int) -> None:
        """As Master.promote_rollout."""
        await self._steering.promote(generation, by=actor)

    async def abort_rollout(self, actor: Actor, generation: int, *, reason: str) -> None:
        """As Master.abort_rollout."""
        await self._steering.abort(generation, reason=reason, by=actor)

    async def hold(self, actor: Actor, vms: tuple[str, ...], generation: int, *, reason: str) -> Hold:
        """As Master.hold."""
        return await self._steering.hold(vms, generation, reason=reason, by=actor)

    async def lift_hold(self, actor: Actor, hold_id: str) -> None:
        """As Master.lift_hold."""
        await self._steering.lift(hold_id, by=actor)

    # Workers.

    async def cordon_worker(self, actor: Actor, worker_id: str, *, cordoned: bool, reason: str) -> None:
        """As Master.cordon_worker."""
        decide = partial(
            orders.cordon,
            worker_id=worker_id,
            cordoned=cordoned,
            reason=reason,
            actor=actor.subject,
            wall_ms=self._wall_ms(),
        )
        await self._order(decide, actor, "cordonWorker", worker_id)

    async def drain_worker(self, actor: Actor, worker_id: str, *, deadline_ms: int, reason: str) -> None:
        """As Master.drain_worker."""
        decide = partial(
            orders.drain,
            worker_id=worker_id,
            deadline_ms=deadline_ms,
            reason=reason,
            actor=actor.subject,
            wall_ms=self._wall_ms(),
        )
        await self._order(decide, actor, "drainWorker", worker_id)

    async def release_volume(self, actor: Actor, instance: str, *, volume: str) -> None:
        """As Master.release_volume."""
        decide = partial(orders.release, instance=instance, volume=volume)
        audit = partial(orders.release_audit, actor=actor, instance=instance, volume=volume)
        await self._authority.change(decide, audit=audit)

    async def _order(self, decide: Decide, actor: Actor, action: str, worker_id: str) -> None:
        audit = partial(orders.order_audit, actor=actor, action=action, worker_id=worker_id)
        await self._authority.change(decide, audit=audit)

    async def list_workers(self) -> tuple[WorkerAdmission, ...]:
        """As Master.list_workers."""
        return self._gate.workers()

    async def approve_worker(self, actor: Actor, worker_id: str) -> None:
        """As Master.approve_worker."""
        await self._gate.approve(worker_id, by=actor)

    async def reject_worker(self, actor: Actor, worker_id: str, *, reason: str) -> None:
        """As Master.reject_worker."""
        await self._gate.reject(worker_id, reason=reason, by=actor)

    async def retire_worker(self, actor: Actor, worker_id: str, *, reason: str) -> None:
        """As Master.retire_worker."""
        await self._gate.retire(worker_id, reason=reason, by=actor)

    async def create_join_token(self, actor: Actor, *, worker_id: str) -> str:
        """As Master.create_join_token."""
        return await self._gate.create_join_token(worker_id, by=actor)

    # A worker's door.

    async def challenge(self, worker_id: str) -> Challenge:
        """As Backend.challenge."""
        return self._gate.challenge(worker_id)

    async def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        """As Backend.verify_worker."""
        return self._gate.verify_worker(worker_id, proof)

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        """As Backend.join."""
        return await self._gate.join(hello, proof, token=token, peer=peer)

    # Tokens and the audit.

    async def create_token(self, actor: Actor, name: str, *, role: Role, lasts_ms: int) -> str:
        """As Master.create_token."""
        return await self._gate.create_token(name, role=role, lasts_ms=lasts_ms, by=actor)

    async def list_tokens(self) -> tuple[TokenInfo, ...]:
        """As Master.list_tokens."""
        return self._gate.list_tokens()

    async def revoke_token(self, actor: Actor, name: str) -> None:
        """As Master.revoke_token."""
        await self._gate.revoke_token(name, by=actor)

    async def list_audit(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """As Master.list_audit."""
        return await self._authority.audit_entries(limit=page_size(limit), before=before)

    async def verify_audit(self) -> AuditVerdict:
        """As Master.verify_audit."""
        return await self._authority.verify_audit()
