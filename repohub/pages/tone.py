"""Which of five tones a state is shown in; the stylesheet has their colours, and each state also has its word."""

from enum import StrEnum

from schema.builds import BuildState, StageState
from schema.status import Convergence, RolloutState, View, VmPhase, WorkerState


class Tone(StrEnum):
    """How something stands, at a glance."""

    GOOD = "good"
    BUSY = "busy"
    BAD = "bad"
    WARN = "warn"
    QUIET = "quiet"


BUILD = {
    BuildState.QUEUED: Tone.QUIET,
    BuildState.RUNNING: Tone.BUSY,
    BuildState.PUBLISHED: Tone.BUSY,
    BuildState.SUCCEEDED: Tone.GOOD,
    BuildState.FAILED: Tone.BAD,
    BuildState.ROLLED_BACK: Tone.BAD,
    BuildState.SUPERSEDED: Tone.QUIET,
    BuildState.UNCHANGED: Tone.GOOD,
}
STAGE = {
    StageState.WAITING: Tone.QUIET,
    StageState.RUNNING: Tone.BUSY,
    StageState.SUCCEEDED: Tone.GOOD,
    StageState.FAILED: Tone.BAD,
    StageState.SKIPPED: Tone.QUIET,
}
CONVERGENCE = {
    Convergence.CONVERGED: Tone.GOOD,
    Convergence.PROGRESSING: Tone.BUSY,
    Convergence.FAILED: Tone.BAD,
    Convergence.HELD: Tone.WARN,
}
ROLLOUT = {
    RolloutState.RUNNING: Tone.BUSY,
    RolloutState.PAUSED: Tone.WARN,
    RolloutState.ROLLING_BACK: Tone.WARN,
    RolloutState.SUCCEEDED: Tone.GOOD,
    RolloutState.ROLLED_BACK: Tone.BAD,
    RolloutState.FAILED: Tone.BAD,
    RolloutState.ABORTED: Tone.BAD,
    RolloutState.SUPERSEDED: Tone.QUIET,
}
PHASE = {
    VmPhase.WAITING: Tone.QUIET,
    VmPhase.PULLING: Tone.BUSY,
    VmPhase.PREPARING: Tone.BUSY,
    VmPhase.BOOTING: Tone.BUSY,
    VmPhase.RUNNING: Tone.BUSY,
    VmPhase.HEALTHY: Tone.GOOD,
    VmPhase.UNHEALTHY: Tone.BAD,
    VmPhase.FAILED: Tone.BAD,
    VmPhase.STOPPING: Tone.QUIET,
    VmPhase.GONE: Tone.QUIET,
}
WORKER = {
    WorkerState.READY: Tone.GOOD,
    WorkerState.CORDONED: Tone.WARN,
    WorkerState.DRAINING: Tone.WARN,
    WorkerState.LOST: Tone.BAD,
}
VIEW = {View.OK: Tone.GOOD, View.FAILING: Tone.BAD, View.UNKNOWN: Tone.QUIET}
