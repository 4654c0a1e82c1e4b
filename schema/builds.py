"""CI's builds as others see them, values only; `schema.builds_client` reads them over HTTP."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from schema.names import CommitSha, RepositoryName, StrictModel, WireModel

ZERO_SHA = "0" * 40


class PushNotice(StrictModel):
    """`POST /v1/pushes`: what the post-receive hook saw; `new` is all zeroes for a deleted ref.

    `delivery` is a UUID; the same one again is accepted and does nothing.
    """

    delivery: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
    repository: RepositoryName
    ref: Annotated[str, StringConstraints(max_length=1024)]
    old: CommitSha
    new: CommitSha
    default_branch: Annotated[str, StringConstraints(max_length=255)] = "main"


class StageName(StrEnum):
    """The steps of a build, in their order."""

    EVALUATE = "evaluate"
    CHECKS = "checks"
    BUILD = "build"
    PUSH = "push"
    PUBLISH = "publish"
    ROLLOUT = "rollout"


class StageState(StrEnum):
    """How a stage stands."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class BuildState(StrEnum):
    """How a build stands. `published` means that its generation is on the control plane and its rollout not over."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more."""
        return self not in (BuildState.QUEUED, BuildState.RUNNING, BuildState.PUBLISHED)

    @property
    def published_nothing(self) -> bool:
        """Whether it ended before a generation came of it, and not because there was nothing to do."""
        return self in (BuildState.FAILED, BuildState.SUPERSEDED)


class Stage(WireModel):
    """One step. Times are Unix milliseconds and milliseconds; `detail` is one line for people."""

    name: StageName
    state: StageState = StageState.WAITING
    started_at_ms: int | None = None
    duration_ms: int | None = None
    detail: str = ""


class CheckResult(WireModel):
    """One flake check of a build."""

    name: str
    passed: bool
    detail: str = ""
    duration_ms: int = 0


class Build(WireModel):
    """One run of the pipeline for one pushed commit.

    `error` says what failed, `log_tail` holds the last log lines of the step that did (escapes stripped).
    """

    id: int
    repository: str
    ref: str
    commit: str
    subject: str = ""
    author: str = ""
    state: BuildState
    stages: tuple[Stage, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    generation: int | None = None
    error: str = ""
    log_tail: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    created_at_ms: int
    finished_at_ms: int | None = None

    def stage(self, name: StageName) -> Stage:
        """The named step; one that has not been reached is waiting."""
        return next((stage for stage in self.stages if stage.name is name), Stage(name=name))


class BuildPage(WireModel):
    """`GET /v1/builds`: the newest first; `next_before` is the `before` of the next page, or None on the last."""

    builds: tuple[Build, ...]
    next_before: int | None = None


class LogPage(WireModel):
    """A piece of a build's log from a byte offset; `complete` when nothing will follow `next_offset`."""

    text: str
    next_offset: Annotated[int, Field(ge=0)]
    complete: bool
