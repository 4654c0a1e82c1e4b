"""Operations in memory, for tests of the wire: each call is kept, and answered with a filled example."""

from typing import Any

from schema.blueprint import RolloutPolicy, Volume
from schema.canonical import Sealed
from schema.errors import Conflict, NotFound
from schema.interfaces import Role
from schema.operations import (
    Admission,
    AuditEntry,
    AuditVerdict,
    Explanation,
    GenerationContent,
    Hold,
    RolloutStatus,
    TokenInfo,
    WaveState,
    WaveStatus,
    WorkerAdmission,
    WorkerFit,
)
from schema.status import GenerationStatus, RolloutState, WorkerFacts
from schema.tests.builders import COMMIT, a_vm_spec, an_origin

EXPLANATION = Explanation(
    instance="web-0",
    worker_id="worker-0",
    reasons=("it was there before", "it fits"),
    workers=(WorkerFit(worker_id="worker-0", score=0.5), WorkerFit(worker_id="worker-1", lacks=("memory", "gpu"))),
    more=7,
)
GENERATION = GenerationStatus(
    number=3,
    commit=COMMIT,
    origin=an_origin(),
    intent_hash="a" * 64,
    published_at_ms=5,
    state=RolloutState.PAUSED,
    reason="an operator said so",
)
WEB = a_vm_spec(volumes={"data": Volume(size_mb=64, mount="/data")})
CONTENT = GenerationContent(
    status=GENERATION,
    specs={"web": Sealed.of(WEB).text},
    content={"web": WEB.content_hash},
    rollout=Sealed.of(RolloutPolicy()).text,
)
ROLLOUT = RolloutStatus(
    generation=3,
    state=RolloutState.RUNNING,
    reason="the first wave",
    started_at_ms=5,
    ended_at_ms=0,
    waves=(
        WaveStatus(number=0, state=WaveState.DONE, instances=("web-0",), healthy=1),
        WaveStatus(number=1, state=WaveState.WAITING, gate="approve", waits_for="an operator"),
    ),
    failed={"web-1": "it did not start"},
)
HOLD = Hold(id="hold-1", vms=("web",), generation=2, reason="3 leaks", actor="uid:0", created_at_ms=6)
ADMISSION = WorkerAdmission(
    worker_id="worker-0",
    admission=Admission.REJECTED,
    fingerprint="f" * 64,
    facts=WorkerFacts(cpu=4, memory_mb=8192),
    asked_at_ms=1,
    decided_at_ms=2,
    decided_by="token:ada",
    reason="unknown machine",
    peer="192.0.2.1:999",
)
TOKEN = TokenInfo(
    name="ada",
    role="operator",
    created_at_ms=1,
    expires_at_ms=9,
    created_by="uid:0",
    revoked=True,
    configured=True,
)
AUDIT = AuditEntry(
    sequence=7,
    at_ms=8,
    actor="uid:0",
    peer="unix:pid 1",
    action="cordon",
    subject="worker-0",
    old="ready",
    new="cordoned",
    result="conflict: no",
    hash="b" * 64,
)
VERDICT = AuditVerdict(holds=False, rows=9, broken_at=4, reason="row 4 was changed")


class MemoryOperations:
    """Remembers in `did` what it was asked to do: the operation's name, then its arguments."""

    def __init__(self, did: list[tuple[Any, ...]]) -> None:
        self.did = did

    async def explain(self, vm_id: str) -> Explanation:
        if vm_id != EXPLANATION.instance:
            raise NotFound(f"no instance {vm_id!r}")
        return EXPLANATION

    async def list_generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        self.did.append(("list_generations", limit, before))
        return (GENERATION,)

    async def get_generation(self, number: int) -> GenerationContent:
        if number != CONTENT.status.number:
            raise NotFound(f"no generation {number}")
        return CONTENT

    async def list_rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        self.did.append(("list_rollouts", limit, before))
        return (ROLLOUT, ROLLOUT)

    async def pause_rollout(self, generation: int, *, reason: str) -> None:
        self.did.append(("pause_rollout", generation, reason))

    async def resume_rollout(self, generation: int) -> None:
        self.did.append(("resume_rollout", generation))

    async def promote_rollout(self, generation: int) -> None:
        raise Conflict("no wave waits")

    async def abort_rollout(self, generation: int, *, reason: str) -> None:
        self.did.append(("abort_rollout", generation, reason))

    async def hold(self, vms: tuple[str, ...], generation: int, *, reason: str) -> Hold:
        self.did.append(("hold", vms, generation, reason))
        return HOLD

    async def lift_hold(self, hold_id: str) -> None:
        self.did.append(("lift_hold", hold_id))

    async def list_holds(self) -> tuple[Hold, ...]:
        return (HOLD,)

    async def cordon_worker(self, worker_id: str, *, cordoned: bool, reason: str) -> None:
        self.did.append(("cordon_worker", worker_id, cordoned, reason))

    async def drain_worker(self, worker_id: str, *, deadline_ms: int, reason: str) -> None:
        self.did.append(("drain_worker", worker_id, deadline_ms, reason))

    async def release_volume(self, instance: str, *, volume: str) -> None:
        self.did.append(("release_volume", instance, volume))

    async def list_workers(self) -> tuple[WorkerAdmission, ...]:
        return (ADMISSION,)

    async def approve_worker(self, worker_id: str) -> None:
        self.did.append(("approve_worker", worker_id))

    async def reject_worker(self, worker_id: str, *, reason: str) -> None:
        self.did.append(("reject_worker", worker_id, reason))

    async def retire_worker(self, worker_id: str, *, reason: str) -> None:
        self.did.append(("retire_worker", worker_id, reason))

    async def create_join_token(self, *, worker_id: str) -> str:
        return f"join-{worker_id}"

    async def create_token(self, name: str, *, role: Role, lasts_ms: int) -> str:
        self.did.append(("create_token", name, role, lasts_ms))
        return f"secret-of-{name}"

    async def list_tokens(self) -> tuple[TokenInfo, ...]:
        return (TOKEN,)

    async def revoke_token(self, name: str) -> None:
        self.did.append(("revoke_token", name))

    async def list_audit(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        self.did.append(("list_audit", limit, before))
        return (AUDIT,)

    async def verify_audit(self) -> AuditVerdict:
        return VERDICT
