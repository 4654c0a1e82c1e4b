"""What people and workers ask of a control plane beside the path, and what it answers: values only, no decisions."""

from enum import StrEnum

from schema.names import WireModel
from schema.status import GenerationStatus, RolloutState, WorkerFacts


class WorkerFit(WireModel):
    """One worker as a place for an instance: what it lacks (nothing: it fits), or the score by which it was compared.

    The lower `score` wins; it is 0 where it lacks something.
    """

    worker_id: str
    lacks: tuple[str, ...] = ()
    score: float = 0.0


class Explanation(WireModel):
    """Why an instance is where it is, why not elsewhere, or why nowhere; the deciding reason first.

    `workers` holds at most 100, the fitting ones first; `more` says how many were left out.
    """

    instance: str
    worker_id: str = ""
    reasons: tuple[str, ...]
    workers: tuple[WorkerFit, ...] = ()
    more: int = 0


class WaveState(StrEnum):
    """Where in its life a wave of a rollout is."""

    WAITING = "waiting"
    OPEN = "open"
    DONE = "done"
    ABANDONED = "abandoned"


class WaveStatus(WireModel):
    """A part of the fleet that changes together. `waits_for`: what keeps it from opening, if anything."""

    number: int
    state: WaveState
    instances: tuple[str, ...] = ()
    healthy: int = 0
    failed: int = 0
    gate: str = "auto"
    waits_for: str = ""


class RolloutStatus(WireModel):
    """The walk to one generation. `failed` are the instances that did not get healthy, with the reason of each."""

    generation: int
    state: RolloutState
    reason: str = ""
    started_at_ms: int = 0
    ended_at_ms: int = 0
    waves: tuple[WaveStatus, ...] = ()
    failed: dict[str, str] = {}


class Hold(WireModel):
    """An operator's pin of VMs to an earlier generation. It lifts itself; `created_at_ms` is Unix milliseconds."""

    id: str
    vms: tuple[str, ...]
    generation: int
    reason: str = ""
    actor: str = ""
    created_at_ms: int = 0


class Admission(StrEnum):
    """Whether a worker may work."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETIRED = "retired"


class WorkerAdmission(WireModel):
    """A worker that asked to join. `fingerprint` is the hexadecimal SHA-256 of its public key; times are Unix ms."""

    worker_id: str
    admission: Admission
    fingerprint: str
    facts: WorkerFacts
    asked_at_ms: int = 0
    decided_at_ms: int = 0
    decided_by: str = ""
    reason: str = ""
    peer: str = ""


class JoinAnswer(WireModel):
    """What became of a worker's request to join; with `pending` it asks again later."""

    admission: Admission
    reason: str = ""


class TokenInfo(WireModel):
    """A person's or program's token; the secret itself is shown once, when it is made. Times are Unix milliseconds.

    `expires_at_ms` 0: never. `configured`: it comes from the settings and cannot be revoked here. `expired`: it was
    seen to be over by its time, and stays so.
    """

    name: str
    role: str
    created_at_ms: int = 0
    expires_at_ms: int = 0
    created_by: str = ""
    revoked: bool = False
    configured: bool = False
    expired: bool = False


class AuditEntry(WireModel):
    """One row of the audit: who did what, from where, to what, and how it ended.

    `hash` is the hexadecimal SHA-256 over the row before and this one, so that a changed or missing row shows.
    """

    sequence: int
    at_ms: int
    actor: str
    peer: str = ""
    action: str
    subject: str = ""
    old: str = ""
    new: str = ""
    result: str = "ok"
    hash: str = ""


class AuditVerdict(WireModel):
    """Whether the chain of the audit holds; else the first row at which it does not."""

    holds: bool
    rows: int
    broken_at: int = 0
    reason: str = ""


class GenerationContent(WireModel):
    """A generation for people: its status, and the hash of each VmSpec by which two are compared.

    `specs` maps VM names to their VmSpec's canonical JSON, `content` to the contentHash of each.
    """

    status: GenerationStatus
    specs: dict[str, str]
    content: dict[str, str]
    rollout: str = "{}"
