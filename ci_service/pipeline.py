"""The life of a build as pure functions: which changes may follow which, and what is tried next; it runs nothing.

A build walks its stages in order. Each change is a function from one `Build` to the next; the store writes the result
before anybody sees it, so that a CI killed anywhere goes on from the last one that was written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schema.builds import ZERO_SHA, Build, BuildState, PushNotice, Stage, StageName, StageState
from schema.status import GenerationStatus, RolloutState

LOG_TAIL_LINES = 25

PIPELINE = (StageName.EVALUATE, StageName.CHECKS, StageName.BUILD, StageName.PUSH, StageName.PUBLISH, StageName.ROLLOUT)
"""The stages in their order; a build without `publish` and `rollout` is of a branch that the realm does not track."""

FOLLOWS: dict[BuildState, frozenset[BuildState]] = {
    BuildState.QUEUED: frozenset({BuildState.RUNNING, BuildState.SUPERSEDED, BuildState.FAILED}),
    BuildState.RUNNING: frozenset(
        {
            BuildState.RUNNING,
            BuildState.PUBLISHED,
            BuildState.SUCCEEDED,
            BuildState.UNCHANGED,
            BuildState.FAILED,
            BuildState.SUPERSEDED,
        }
    ),
    BuildState.PUBLISHED: frozenset(
        {BuildState.SUCCEEDED, BuildState.ROLLED_BACK, BuildState.FAILED, BuildState.SUPERSEDED}
    ),
    BuildState.SUCCEEDED: frozenset(),
    BuildState.UNCHANGED: frozenset(),
    BuildState.ROLLED_BACK: frozenset(),
    BuildState.FAILED: frozenset(),
    BuildState.SUPERSEDED: frozenset(),
}
"""What may follow each state. `running → running` is a CI that was started again in the middle."""

OUTCOMES: dict[RolloutState, BuildState] = {
    RolloutState.SUCCEEDED: BuildState.SUCCEEDED,
    RolloutState.ROLLED_BACK: BuildState.ROLLED_BACK,
    RolloutState.FAILED: BuildState.FAILED,
    RolloutState.ABORTED: BuildState.FAILED,
    RolloutState.SUPERSEDED: BuildState.SUPERSEDED,
}
"""How a rollout's outcome becomes its build's."""


class PushKind(StrEnum):
    """What a push asks for."""

    BRANCH = "branch"
    IGNORED = "ignored"


def kind_of(notice: PushNotice) -> PushKind:
    """Branches are built; tags, deleted refs and refs of other namespaces are not."""
    if notice.new == ZERO_SHA or not notice.ref.startswith("refs/heads/"):
        return PushKind.IGNORED
    return PushKind.BRANCH


def branch_of(ref: str) -> str:
    """`main` of `refs/heads/main`."""
    return ref.removeprefix("refs/heads/")


@dataclass(frozen=True, slots=True)
class Queued:
    """A build that waits, as the queue sees it."""

    id: int
    repository: str
    ref: str


def superseded_by(newest: Queued, waiting: Iterable[Queued]) -> tuple[int, ...]:
    """The waiting builds of the same branch that a newer push makes pointless, oldest first."""
    return tuple(
        sorted(
            old.id
            for old in waiting
            if old.id < newest.id and (old.repository, old.ref) == (newest.repository, newest.ref)
        )
    )


def _moved(build: Build, state: BuildState, **changes: object) -> Build:
    if state not in FOLLOWS[build.state]:
        raise ValueError(f"build {build.id}: {build.state} is not followed by {state}")
    return build.model_copy(update={"state": state, **changes})


def _with_stage(build: Build, stage: Stage) -> tuple[Stage, ...]:
    return tuple(stage if old.name is stage.name else old for old in build.stages)


def started(build: Build) -> Build:
    """The build begins, or begins again after CI was restarted: what had been done is done again, idempotently."""
    stages = tuple(Stage(name=name) for name in PIPELINE)
    return _moved(build, BuildState.RUNNING, stages=stages, checks=(), error="", log_tail=(), warnings=())


def superseded(build: Build, *, by: int, now_ms: int) -> Build:
    """A newer push of its branch takes its place."""
    return _moved(build, BuildState.SUPERSEDED, error=f"superseded by build {by}", finished_at_ms=now_ms)


def stage_started(build: Build, name: StageName, *, now_ms: int) -> Build:
    """A stage begins at `now_ms` (Unix milliseconds)."""
    stage = Stage(name=name, state=StageState.RUNNING, started_at_ms=now_ms)
    return build.model_copy(update={"stages": _with_stage(build, stage)})


def _ended(build: Build, name: StageName, state: StageState, *, now_ms: int, detail: str) -> tuple[Stage, ...]:
    old = build.stage(name)
    took = None if old.started_at_ms is None else max(0, now_ms - old.started_at_ms)
    return _with_stage(build, old.model_copy(update={"state": state, "duration_ms": took, "detail": detail}))


def stage_succeeded(build: Build, name: StageName, *, now_ms: int, detail: str = "") -> Build:
    """A stage has done its work."""
    return build.model_copy(update={"stages": _ended(build, name, StageState.SUCCEEDED, now_ms=now_ms, detail=detail)})


def running_stage(build: Build) -> StageName:
    """The stage that a build is in; the first where none is begun."""
    return next((stage.name for stage in build.stages if stage.state is StageState.RUNNING), PIPELINE[0])


def failed(build: Build, name: StageName, *, now_ms: int, error: str, log_tail: Sequence[str]) -> Build:
    """A stage failed and with it the build: nothing is published."""
    return _moved(
        build,
        BuildState.FAILED,
        stages=_ended(build, name, StageState.FAILED, now_ms=now_ms, detail=error.splitlines()[0] if error else ""),
        error=f"{name} failed: {error}",
        log_tail=tuple(log_tail[-LOG_TAIL_LINES:]),
        finished_at_ms=now_ms,
    )


def _skipped(build: Build, detail: str) -> tuple[Stage, ...]:
    return tuple(
        stage.model_copy(update={"state": StageState.SKIPPED, "detail": detail})
        if stage.state in (StageState.WAITING, StageState.RUNNING)
        else stage
        for stage in build.stages
    )


def not_published(build: Build, state: BuildState, *, now_ms: int, detail: str) -> Build:
    """It was built and nothing is to be published: another branch, or all equal to what runs."""
    return _moved(build, state, stages=_skipped(build, detail), finished_at_ms=now_ms)


def published(build: Build, *, now_ms: int, detail: str) -> Build:
    """Its generation is on the control plane's disk; from here on its rollout is followed."""
    ended = build.model_copy(
        update={"stages": _ended(build, StageName.PUBLISH, StageState.SUCCEEDED, now_ms=now_ms, detail=detail)}
    )
    return _moved(stage_started(ended, StageName.ROLLOUT, now_ms=now_ms), BuildState.PUBLISHED)


def followed(build: Build, generation: GenerationStatus, *, now_ms: int) -> Build:
    """The build after a look at its generation: changed only once the rollout has an outcome."""
    state = OUTCOMES.get(generation.state)
    if build.state is not BuildState.PUBLISHED or state is None:
        return build
    good = state is BuildState.SUCCEEDED
    detail = generation.reason or generation.state.value
    return _moved(
        build,
        state,
        stages=_ended(
            build, StageName.ROLLOUT, StageState.SUCCEEDED if good else StageState.FAILED, now_ms=now_ms, detail=detail
        ),
        error="" if good else f"rollout {generation.state}: {generation.reason}",
        finished_at_ms=now_ms,
    )


def is_unchanged(newest: GenerationStatus | None, intent_hash: str) -> bool:
    """Whether a publish would change nothing: the same hash as the newest generation's, and that one succeeded."""
    return newest is not None and newest.intent_hash == intent_hash and newest.state is RolloutState.SUCCEEDED
