"""What workers report and what people see of the cluster: values only, no decisions."""

from enum import StrEnum

from schema.names import WireModel
from schema.origin import Origin


class VmPhase(StrEnum):
    """Where in its life a VM is on its worker."""

    WAITING = "waiting"
    PULLING = "pulling"
    PREPARING = "preparing"
    BOOTING = "booting"
    RUNNING = "running"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"
    STOPPING = "stopping"
    GONE = "gone"

    @property
    def has_process(self) -> bool:
        """Whether a hypervisor runs in this phase."""
        return self in (VmPhase.BOOTING, VmPhase.RUNNING, VmPhase.HEALTHY, VmPhase.UNHEALTHY, VmPhase.STOPPING)


class View(StrEnum):
    """What one observer thinks of a VM; a view that does not exist is unknown and does not count against it."""

    OK = "ok"
    FAILING = "failing"
    UNKNOWN = "unknown"


class Reverted(WireModel):
    """The worker booted the fallback because this content did not get healthy."""

    content_hash: str
    reason: str


class PullProgress(WireModel):
    """How much of a closure has come, of what was missing; a total of 0 is not known yet."""

    paths_done: int = 0
    paths_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0


class RunningVm(WireModel):
    """One VM as its worker sees it.

    `phase_ms` says how long each phase that it has left lasted, in milliseconds; `running_ms` how long the current
    process has run. `generation`, `content_hash` and `spec_hash` are of what runs (or is being brought up). `pull` is
    there while a closure is pulled for it.
    """

    instance: str
    generation: int
    content_hash: str
    spec_hash: str
    phase: VmPhase
    reason: str = ""
    guest_view: View = View.UNKNOWN
    host_view: View = View.UNKNOWN
    address: str = ""
    pid: int = 0
    running_ms: int = 0
    healthy_ms: int = 0
    restarts: int = 0
    phase_ms: dict[str, int] = {}
    reverted: Reverted | None = None
    volumes: tuple[str, ...] = ()
    pull: PullProgress | None = None


class WorkerFacts(WireModel):
    """What a machine is. Memory and disk are MiB; `location` is for people, placement goes by `labels`."""

    arch: str = "x86_64"
    cpu: int
    memory_mb: int
    disk_mb: int = 0
    hypervisor: str = ""
    labels: dict[str, str] = {}
    extras: dict[str, int] = {}
    version: str = ""
    address: str = ""
    location: str = ""


class WorkerMetrics(WireModel):
    """How a machine is doing now. Memory and disk are MiB; load is the one-minute average.

    Pressure is the share of the last 10 s in which something waited (PSI `some avg10`), in percent from 0 to 100.
    """

    memory_free_mb: int = 0
    disk_free_mb: int = 0
    load1: float = 0.0
    uptime_ms: int = 0
    cpu_pressure: float = 0.0
    memory_pressure: float = 0.0
    io_pressure: float = 0.0


class WorkerReport(WireModel):
    """`pushData`: all VMs that the worker has, complete. `epoch` and `revision` are of the assignment it obeys."""

    worker_id: str
    observed_generation: int = 0
    epoch: str = ""
    revision: int = 0
    running_vms: tuple[RunningVm, ...] = ()
    metrics: WorkerMetrics = WorkerMetrics()
    kept_volumes: tuple[str, ...] = ()


class Directive(StrEnum):
    """What the control plane asks of a worker in its answer to a report."""

    FULL_REPORT = "full-report"
    DRAIN = "drain"
    COLLECT = "collect"


class PushReply(WireModel):
    """The answer to a report: the server's time (Unix milliseconds), when to report next at the latest, directives.

    `lease_ms`: how long after it sent the report the worker may keep its fenced singletons; 0: no lease is given.
    """

    server_time_ms: int
    interval_ms: int = 10_000
    directives: tuple[Directive, ...] = ()
    lease_ms: int = 0


class Convergence(StrEnum):
    """The four words for people (DESIGN §6)."""

    CONVERGED = "converged"
    PROGRESSING = "progressing"
    FAILED = "failed"
    HELD = "held"


class RolloutState(StrEnum):
    """Where a rollout is; the last five are its outcomes."""

    RUNNING = "running"
    PAUSED = "paused"
    ROLLING_BACK = "rolling-back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"

    @property
    def is_outcome(self) -> bool:
        """Whether the rollout has ended."""
        return self not in (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ROLLING_BACK)


class GenerationStatus(WireModel):
    """A generation and how its rollout went. `published_at_ms` is Unix milliseconds."""

    number: int
    commit: str
    origin: Origin
    intent_hash: str
    published_at_ms: int
    state: RolloutState
    reason: str = ""
    placed_ms: int = 0


class WorkerState(StrEnum):
    """What the control plane makes of a worker."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    LOST = "lost"


class WorkerStatus(WireModel):
    """One worker. `seen_ms_ago` is since its last report; used figures are of what is placed on it.

    `reason` says why it takes nothing new; empty when it does.
    """

    worker_id: str
    state: WorkerState
    subnet: str = ""
    facts: WorkerFacts
    metrics: WorkerMetrics = WorkerMetrics()
    cpu_used: int = 0
    memory_used_mb: int = 0
    vms: int = 0
    revision: int = 0
    observed_revision: int = 0
    seen_ms_ago: int = 0
    connected: bool = False
    reason: str = ""


class VmStatus(WireModel):
    """One instance: what is wanted, what runs, the three views and the verdict with its reason.

    `worker_id` is empty while it is not placed; `placement_reason` says why there or why nowhere. `ports` are
    `name:port`. `drift` is true when another content runs than is assigned.
    """

    instance: str
    vm: str
    generation: int
    content_hash: str
    worker_id: str = ""
    placement_reason: str = ""
    address: str = ""
    mac: str = ""
    phase: VmPhase = VmPhase.WAITING
    running_generation: int = 0
    running_content_hash: str = ""
    drift: bool = False
    healthy: bool = False
    reason: str = ""
    guest_view: View = View.UNKNOWN
    host_view: View = View.UNKNOWN
    control_plane_view: View = View.UNKNOWN
    pid: int = 0
    running_ms: int = 0
    restarts: int = 0
    phase_ms: dict[str, int] = {}
    ports: tuple[str, ...] = ()
    pull: PullProgress | None = None


class ClusterStatus(WireModel):
    """The whole cluster at one moment. `generations` are the newest first; `time_ms` is Unix milliseconds."""

    realm: str = "default"
    cluster: str = ""
    origin: Origin | None = None
    time_ms: int
    epoch: str
    convergence: Convergence
    reason: str
    generations: tuple[GenerationStatus, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    vms: tuple[VmStatus, ...] = ()

    @property
    def newest(self) -> GenerationStatus | None:
        """The generation with the highest number."""
        return self.generations[0] if self.generations else None


class EventKind(StrEnum):
    """What an event is about."""

    GENERATION = "generation"
    PLACEMENT = "placement"
    ROLLOUT = "rollout"
    VM = "vm"
    WORKER = "worker"
    HOLD = "hold"
    AUDIT = "audit"
    JOIN = "join"


class Event(WireModel):
    """Something that happened. `at_ms` is Unix milliseconds; `subject` the instance, worker or generation."""

    at_ms: int
    kind: EventKind
    subject: str
    message: str


class Cursor(WireModel):
    """Where in the stream of events a watcher is."""

    epoch: str
    sequence: int


class LiveClosures(WireModel):
    """The store paths whose closures must be kept; `complete` is false when nothing may be collected."""

    paths: tuple[str, ...]
    complete: bool = True


class ConnectionInfo(WireModel):
    """How to reach a VM: its address inside the cluster and the ports that it offers (`name:port`)."""

    instance: str
    address: str
    worker_id: str
    ports: tuple[str, ...] = ()
