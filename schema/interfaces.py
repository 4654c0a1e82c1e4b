"""The protocols through which the processes meet; the wire (`schema.rpc`) and the services implement them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from schema.assignment import Seen, SignedAssignment
from schema.generation import Publish, PublishReceipt
from schema.status import (
    ClusterStatus,
    ConnectionInfo,
    Cursor,
    Event,
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


Credential = PeerCredential | TokenCredential


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is behind a session, as the server found out: `subject` is `uid:0` or `token:<name>`."""

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


class Vm(Protocol):
    """One instance on its worker."""

    async def read(self) -> RunningVm:
        """What the worker sees of it now."""

    async def get_logs(self, *, follow: bool, tail_lines: int, sink: LogSink) -> None:
        """Feed the last `tail_lines` lines (0: all that is kept) and, with `follow`, what comes; ends with the VM."""

    async def exec(self, command: str, args: tuple[str, ...]) -> ExecResult:
        """Run a command in the guest. Raises Unimplemented where there is no guest channel."""

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
        """One of them. Raises NotFound."""

    async def drain(self, *, deadline_ms: int, reason: str) -> None:
        """Stop taking new VMs. Raises Unimplemented until it can."""

    async def get_config(self) -> dict[str, str]:
        """Its settings by their full keys; no secret is among them."""

    async def update_config(self, key: str, value: str) -> str:
        """Change one setting; answers the old value."""

    async def shutdown(self) -> None:
        """End the agent; its VMs go on."""


class Master(Protocol):
    """The control plane as a session of any role but worker sees it, attenuated by role."""

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        """Accept a generation, atomically and idempotently; returns when it is on disk.

        Raises Conflict, Stale, HashMismatch, BadSignature, WrongOrigin, InvalidInput.
        """

    async def get_assignment(self, worker_id: str, last_seen: Seen | None) -> SignedAssignment | None:
        """The worker's assignment once it differs from `last_seen`, or None after LONG_POLL_SECONDS."""

    async def push_data(self, report: WorkerReport) -> PushReply:
        """Take a worker's report."""

    async def get_cluster_status(self) -> ClusterStatus:
        """The whole cluster now."""

    async def get_worker(self, worker_id: str) -> Worker:
        """A connected worker. Raises NotFound, Unavailable."""

    async def get_vm(self, vm_id: str) -> Vm:
        """An instance on its connected worker. Raises NotFound, Unavailable."""

    async def watch(self, sink: EventSink, cursor: Cursor | None) -> None:
        """Feed `sink` until the caller cancels or the sink fails."""

    async def live_closures(self) -> LiveClosures:
        """What must be kept by caches and workers."""


class WorkerSession(Protocol):
    """`Master` attenuated to one worker: it cannot name another."""

    async def get_assignment(self, last_seen: Seen | None) -> SignedAssignment | None:
        """As Master.get_assignment, for this worker."""

    async def push_data(self, report: WorkerReport) -> PushReply:
        """As Master.push_data. Raises PermissionDenied for another worker's id."""

    async def live_closures(self) -> LiveClosures:
        """As Master.live_closures."""


class Backend(Protocol):
    """What a control plane gives `schema.rpc.server` to serve; rights are the server's, not its."""

    def master(self, identity: Identity) -> Master:
        """The operations on behalf of `identity`; the server attenuates them by its role."""

    async def attach_worker(self, identity: Identity, hello: WorkerHello, worker: Worker) -> WorkerSession:
        """A worker has logged in; `worker` is its own capability, valid while its connection lives."""

    async def detach_worker(self, worker_id: str, worker: Worker) -> None:
        """That connection has ended."""

    async def verify_token(self, token: str) -> Identity | None:
        """Who a token belongs to, with the highest role that it allows; None for an unknown or revoked one."""

    def is_valid(self, identity: Identity) -> bool:
        """Whether a session of `identity` may go on; asked before every call."""
