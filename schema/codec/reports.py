"""The tables of what workers report and what people see of the cluster."""

from schema.codec.fields import Choice, Choices, ListOf, Nested, Nullable, PlainList, Struct
from schema.codec.specs import COUNTS, LABELS
from schema.codec.wire import common
from schema.origin import Origin
from schema.status import (
    ClusterStatus,
    ConnectionInfo,
    Convergence,
    Cursor,
    Directive,
    Event,
    EventKind,
    GenerationStatus,
    LiveClosures,
    PullProgress,
    PushReply,
    Reverted,
    RolloutState,
    RunningVm,
    View,
    VmPhase,
    VmStatus,
    WorkerFacts,
    WorkerMetrics,
    WorkerReport,
    WorkerState,
    WorkerStatus,
)

PHASE = Choice(VmPhase, unknown=VmPhase.WAITING)
VIEW = Choice(View, unknown=View.UNKNOWN)
ROLLOUT_STATE = Choice(RolloutState, unknown=RolloutState.RUNNING)

ORIGIN = Struct(Origin, common.Origin)
REVERTED = Struct(Reverted, common.Reverted)
PULL_PROGRESS = Struct(PullProgress, common.PullProgress)
RUNNING_VM = Struct(
    RunningVm,
    common.RunningVm,
    phase=PHASE,
    guest_view=VIEW,
    host_view=VIEW,
    phase_ms=COUNTS,
    reverted=Nullable(Nested(REVERTED)),
    volumes=PlainList(),
    pull=Nullable(Nested(PULL_PROGRESS)),
)
WORKER_FACTS = Struct(WorkerFacts, common.WorkerFacts, labels=LABELS, extras=COUNTS)
WORKER_METRICS = Struct(WorkerMetrics, common.WorkerMetrics)
WORKER_REPORT = Struct(
    WorkerReport,
    common.WorkerReport,
    running_vms=ListOf(RUNNING_VM),
    metrics=Nested(WORKER_METRICS),
    kept_volumes=PlainList(),
)
PUSH_REPLY = Struct(PushReply, common.PushReply, directives=Choices(Directive))
GENERATION_STATUS = Struct(
    GenerationStatus,
    common.GenerationStatus,
    origin=Nested(ORIGIN),
    state=ROLLOUT_STATE,
)
WORKER_STATUS = Struct(
    WorkerStatus,
    common.WorkerStatus,
    state=Choice(WorkerState, unknown=WorkerState.LOST),
    facts=Nested(WORKER_FACTS),
    metrics=Nested(WORKER_METRICS),
)
VM_STATUS = Struct(
    VmStatus,
    common.VmStatus,
    phase=PHASE,
    guest_view=VIEW,
    host_view=VIEW,
    control_plane_view=VIEW,
    phase_ms=COUNTS,
    ports=PlainList(),
    pull=Nullable(Nested(PULL_PROGRESS)),
)
CLUSTER_STATUS = Struct(
    ClusterStatus,
    common.ClusterStatus,
    origin=Nullable(Nested(ORIGIN)),
    convergence=Choice(Convergence, unknown=Convergence.PROGRESSING),
    generations=ListOf(GENERATION_STATUS),
    workers=ListOf(WORKER_STATUS),
    vms=ListOf(VM_STATUS),
)
EVENT = Struct(Event, common.Event, kind=Choice(EventKind, unknown=EventKind.GENERATION))
CURSOR = Struct(Cursor, common.Cursor)
LIVE_CLOSURES = Struct(LiveClosures, common.LiveClosures, paths=PlainList())
CONNECTION_INFO = Struct(ConnectionInfo, common.ConnectionInfo, ports=PlainList())
