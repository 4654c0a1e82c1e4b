"""CI's builds as others see them, and the httpx client of its `/v1/builds`; it runs nothing."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

import httpx
from pydantic import Field, StringConstraints, ValidationError

from schema.errors import NotFound, ProcuratorError, Unavailable
from schema.names import CommitSha, RepositoryName, StrictModel, WireModel

ZERO_SHA = "0" * 40
Page = TypeVar("Page", "BuildPage", "Build", "LogPage")


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


@dataclass(frozen=True, slots=True)
class BuildsClient:
    """A reader of CI's builds. Every call raises Unavailable when CI cannot be reached and NotFound for no such build.

    `http` has CI's address as its base_url and a deadline of its own.
    """

    http: httpx.AsyncClient

    async def recent(
        self,
        *,
        repository: str | None = None,
        commit: str | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> BuildPage:
        """The newest builds, of one repository or commit where named, with ids below `before`."""
        named = {"repository": repository, "commit": commit, "before": before, "limit": limit}
        text = await self._get("/v1/builds", {key: str(value) for key, value in named.items() if value is not None})
        return _parsed(BuildPage, text)

    async def build(self, build_id: int) -> Build:
        """One build."""
        return _parsed(Build, await self._get(f"/v1/builds/{build_id}", {}))

    async def log(self, build_id: int, *, offset: int = 0) -> LogPage:
        """At most 256 KiB of its log from byte `offset`."""
        return _parsed(LogPage, await self._get(f"/v1/builds/{build_id}/log", {"offset": str(offset)}))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AsyncIterator[Build]]:
        """`GET /v1/builds/events` (server-sent): every build as it changes; ends when CI goes away."""
        try:
            async with (
                self.http.stream("GET", "/v1/builds/events", timeout=httpx.Timeout(5, read=60)) as response,
                aclosing(_builds_of(response)) as builds,
            ):
                yield builds
        except httpx.HTTPError as error:
            raise Unavailable(f"CI at {self.http.base_url} went away: {error}") from error

    async def _get(self, path: str, params: dict[str, str]) -> bytes:
        try:
            response = await self.http.get(path, params=params)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"CI at {self.http.base_url} cannot be reached: {error or type(error).__name__}"
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"CI has no {path}")
        if response.status_code != httpx.codes.OK:
            raise Unavailable(f"CI answered {response.status_code} to {path}")
        return response.content


async def _builds_of(response: httpx.Response) -> AsyncGenerator[Build, None]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield _parsed(Build, line.removeprefix("data:").strip().encode())


def _parsed(model: type[Page], data: bytes) -> Page:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise ProcuratorError(f"CI's answer is not a {model.__name__}: {error.error_count()} wrong fields") from error
