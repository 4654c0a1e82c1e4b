"""The protocols through which the processes meet; the wire (`schema.rpc`) and the services implement them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from schema.assignment import Seen, SignedAssignment
from schema.errors import ProcuratorError
from schema.generation import Publish, PublishReceipt
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
from schema.status import (
    ClusterStatus,
    ConnectionInfo,
    Cursor,
    Event,
    GenerationStatus,
    LiveClosures,
    PushReply,
    RunningVm,
    WorkerFacts,
    WorkerReport,
)

LONG_POLL_SECONDS = 25.0
"""How long `getAssignment` holds when there is nothing new."""
SINK_DEADLINE_SECONDS = 5.0
"""How long one call of a sink may take before its stream is ended."""


MAX_STDIN_BYTES = 1024 * 1024
"""What a command inside a guest can be fed with."""


class Role(StrEnum):
    """What a session may do; each is attenuated in one table (`schema.rpc.rights`)."""

    VIEWER = "viewer"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    ADMIN = "admin"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class PeerCredential:
    """The uid of the process at the other end of a unix socket, which the server reads for itself."""


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """A secret that the server knows the hash of."""

    token: str

    def __repr__(self) -> str:
        return "TokenCredential(…)"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a worker signs to log in: a nonce that is good once, and the server's time (Unix milliseconds)."""

    nonce: str
    server_time_ms: int


@dataclass(frozen=True, slots=True)
class WorkerProof:
    """A worker's key and its signature over `schema.signing.login_message`. `public_key` is `name:base64`."""

    public_key: str
    nonce: str
    time_ms: int
    signature: str


Credential = PeerCredential | TokenCredential | WorkerProof


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is behind a session, as the server found out: `subject` is `uid:0`, `token:<name>` or `worker:<id>`."""

    subject: str
    role: Role
    peer: str = ""


@dataclass(frozen=True, slots=True)
class WorkerHello:
    """What a worker says of itself at login."""

    worker_id: str
    facts: WorkerFacts


class LogSink(Protocol):
    """Takes a VM's log; each call is awaited before the next."""

    async def write(self, data: bytes) -> None:
        """Take a piece (at most 64 KiB) of what the guest wrote: untrusted bytes."""


class EventSink(Protocol):
    """Takes the stream of `watch`; each call is awaited before the next."""

    async def event(self, event: Event, cursor: Cursor) -> None:
        """Take the next event."""

    async def resync(self, snapshot: ClusterStatus, cursor: Cursor) -> None:
        """Begin again from `snapshot`: at the start, and when events were missed."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command inside a guest ended; output is bounded and untrusted."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Console(Protocol):
    """The keyboard side of an attached console. Calls raise Unavailable once it is closed or its VM is gone."""

    async def write(self, data: bytes) -> None:
        """Type `data` (at most 64 KiB)."""

    async def resize(self, *, columns: int, rows: int) -> None:
        """The terminal has another size; both at least 1."""

    async def close(self) -> None:
        """Detach; twice is harmless. A caller that drops it or its connection detaches too."""


class Vm(Protocol):
    """One instance on its worker."""

    async def read(self) -> RunningVm:
        """What the worker sees of it now."""

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink, hypervisor: bool = False) -> None:
        """Feed the last `tail_lines` lines (0: all that is kept) and, with `follow`, what comes; ends with the VM.

        Of the guest's console, or with `hypervisor` of what the hypervisor itself said.
        """

    async def exec(
        self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0
    ) -> ExecResult:
        """Run a command in the guest, fed with `stdin` (at most MAX_STDIN_BYTES).

        `deadline_ms` 0: the worker's own limit. Raises Unimplemented where there is no guest channel, DeadlineExceeded.
        """

    async def console(self, output: LogSink, *, columns: int, rows: int) -> Console:
        """Attach to the serial console: `output` gets what it shows until the answer is closed or the VM is gone.

        `columns` and `rows` of the terminal; 0: unknown. Raises Unimplemented where there is no console.
        """

    async def get_connection_info(self) -> ConnectionInfo:
        """How to reach it."""

    async def restart(self) -> None:
        """Stop it and start it again; returns when the stop has begun."""


class Worker(Protocol):
    """A machine's agent."""

    async def read(self) -> WorkerReport:
        """What it would report now."""

    async def list_vms(self) -> tuple[str, ...]:
        """The instances that it has."""

    async def get_vm(self, instance: str) -> Vm:
        """One of them; of one that left, its log for a while. Raises NotFound."""

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """Take no new VMs; stop those that are left after `deadline_ms` (0: never). Until the agent starts again."""

    async def get_config(self) -> dict[str, str]:
        """Its settings by their full keys; no secret is among them."""

    async def update_config(self, key: str, value: str) -> str:
        """Change one setting; answers the old value."""

    async def shutdown(self) -> None:
        """End the agent; its VMs go on."""

    async def delete_volume(self, instance: str, volume: str) -> None:
        """Delete a volume kept of an instance that left. Raises NotFound, Conflict (it is assigned or runs here)."""


class Master(Protocol):
    """The control plane as a session of any role but worker sees it, attenuated by role."""

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        """Accept a generation, atomically and idempotently; returns when it is on disk.

        Raises Conflict, Stale, HashMismatch, BadSignature, WrongOrigin, InvalidInput.
        """

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """The worker's assignment once it differs from `last_seen`, or None within LONG_POLL_SECONDS."""

    async def push_data(self, report: WorkerReport) -> PushReply:
        """Take a worker's report."""

    async def get_cluster_status(self) -> ClusterStatus:
        """The whole cluster now."""

    async def get_worker(self, worker_id: str) -> Worker:
        """A connected worker. Raises NotFound, Unavailable."""

    async def get_vm(self, vm_id: str) -> Vm:
        """An instance on its connected worker. Raises NotFound, Unavailable."""

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        """Feed `sink` until the caller cancels or the sink fails.

        `cursor`: where to go on; None: from a snapshot of now; one without an epoch: from the oldest event still kept.
        """

    async def live_closures(self) -> LiveClosures:
        """What must be kept by caches and workers."""

    async def explain(self, vm_id: str) -> Explanation:
        """Why an instance is where it is, or nowhere. Raises NotFound."""

    async def list_generations(self, *, limit: int, before: int) -> tuple[GenerationStatus, ...]:
        """The newest first; at most `limit` (0: 100), only numbers below `before` (0: all)."""

    async def get_generation(self, number: int) -> GenerationContent:
        """One generation as it was published. Raises NotFound."""

    async def list_rollouts(self, *, limit: int, before: int) -> tuple[RolloutStatus, ...]:
        """The newest first, as `list_generations`."""

    async def pause_rollout(self, generation: int, *, reason: str) -> None:
        """Begin nothing more of it. Raises NotFound, and Conflict when it has ended."""

    async def resume_rollout(self, generation: int) -> None:
        """Go on with a paused one; what had failed gets another start deadline. Raises NotFound, Conflict."""

    async def promote_rollout(self, generation: int) -> None:
        """Open the next wave that waits for approval. Raises NotFound, and Conflict when none waits."""

    async def abort_rollout(self, generation: int, *, reason: str) -> None:
        """End it where it is: nothing goes on and nothing goes back. Raises NotFound, Conflict."""

    async def hold(self, vms: tuple[str, ...], generation: int, *, reason: str) -> Hold:
        """Pin VMs (none: all) to an earlier generation. Raises NotFound, and Conflict when its closures are gone."""

    async def lift_hold(self, hold_id: str) -> None:
        """End a hold: its VMs follow the newest generation again. Raises NotFound."""

    async def list_holds(self) -> tuple[Hold, ...]:
        """Those in force."""

    async def cordon_worker(self, worker_id: str, *, cordoned: bool, reason: str) -> None:
        """Whether it takes new VMs; `cordoned=False` ends a drain too. Raises NotFound."""

    async def drain_worker(self, worker_id: str, *, deadline_ms: int, reason: str) -> None:
        """Move its VMs elsewhere. `deadline_ms`: how long that may take, 0 for as long as it needs. Raises NotFound."""

    async def release_volume(self, instance: str, *, volume: str) -> None:
        """Give up a volume that is bound to its worker (empty: all of the instance). Raises NotFound, Conflict."""

    async def list_workers(self) -> tuple[WorkerAdmission, ...]:
        """All that ever asked to join, pending ones first."""

    async def approve_worker(self, worker_id: str) -> None:
        """Let a pending or rejected worker in. Raises NotFound, and Conflict for a retired one."""

    async def reject_worker(self, worker_id: str, *, reason: str) -> None:
        """Refuse a pending worker. Raises NotFound, Conflict."""

    async def retire_worker(self, worker_id: str, *, reason: str) -> None:
        """Take a worker out for good: its key is worth nothing any more. Raises NotFound, Conflict while it has VMs."""

    async def create_join_token(self, *, worker_id: str) -> str:
        """A one-use secret, good for 15 minutes, that lets a worker in (empty id: any). It is shown only here."""

    async def create_token(self, name: str, *, role: Role, lasts_ms: int) -> str:
        """A new token's secret, shown only here. `lasts_ms` 0: until revoked. Raises Conflict, InvalidInput."""

    async def list_tokens(self) -> tuple[TokenInfo, ...]:
        """All tokens, the revoked ones too, without their secrets."""

    async def revoke_token(self, name: str) -> None:
        """End a token and every session that it holds. Raises NotFound, and Conflict for a configured one."""

    async def list_audit(self, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """The newest first; at most `limit` (0: 100), only sequences below `before` (0: all)."""

    async def verify_audit(self) -> AuditVerdict:
        """Follow the chain from its first row to its last."""


class WorkerSession(Protocol):
    """`Master` attenuated to one worker: it cannot name another."""

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        """As Master.get_assignment, for this worker."""

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As Master.push_data. Raises PermissionDenied for another worker's id."""

    async def live_closures(self) -> LiveClosures:
        """As Master.live_closures."""


@runtime_checkable
class PolledSession(WorkerSession, Protocol):
    """A session whose assignment is waited for without a task: in a fleet thousands do so all the time."""

    def wait_for_assignment(self, last_seen: Seen | None, wake: Callable[[], None]) -> Callable[[], None] | None:
        """None when `get_assignment` is to be asked. Else `wake` is called once `assignment_now` has its answer.

        What is returned forgets it.
        """

    def assignment_now(self, last_seen: Seen | None) -> SignedAssignment | None:
        """What `get_assignment` answers one who waited until now."""


class Backend(Protocol):
    """What a control plane gives `schema.rpc.server` to serve; rights are the server's, not its."""

    def master(self, identity: Identity) -> Master:
        """The operations on behalf of `identity`; the server attenuates them by its role."""

    async def challenge(self, worker_id: str) -> Challenge:
        """A nonce for a worker's login or join."""

    async def verify_worker(self, worker_id: str, proof: WorkerProof) -> Identity:
        """Who a worker's proof belongs to.

        Raises Unauthenticated, each told apart: unknown or retired worker, another key, bad signature, a nonce that was
        used or never given, a clock that is too far off; and PermissionDenied while it is pending or when rejected.
        """

    async def join(self, hello: WorkerHello, proof: WorkerProof, *, token: str, peer: str) -> JoinAnswer:
        """A worker asks to be let in; asking again is harmless. Raises as `verify_worker`, Conflict for another key."""

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> WorkerSession:
        """A worker has logged in; `worker` is its own capability, valid while its connection lives."""

    async def detach_worker(self, worker_id: str, worker: Worker) -> None:
        """That connection has ended."""

    async def verify_token(self, token: str) -> Identity | None:
        """Who a token belongs to, with the highest role that it allows; None for an unknown or revoked one."""

    def is_valid(self, identity: Identity) -> bool:
        """Whether a session of `identity` may go on; asked before every call."""

    def refused(self, identity: Identity, method: str, error: ProcuratorError) -> None:
        """A login or call of `identity` (as far as it is known) was refused; noted without waiting."""
