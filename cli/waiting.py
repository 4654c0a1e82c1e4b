"""Whether a rollout, or a commit's way to it, is over and how: pure verdicts over a build and a cluster status.

Exit codes are DESIGN §6's: 0 converged, 1 failed, 3 rolled back, 4 aborted, 6 held.
"""

from dataclasses import dataclass
from enum import Enum

from schema.builds import Build, BuildState, StageName, StageState
from schema.status import ClusterStatus, Convergence, GenerationStatus, RolloutState


class Outcome(Enum):
    """How it ended: the word, and the exit code."""

    CONVERGED = ("converged", 0)
    FAILED = ("failed", 1)
    ROLLED_BACK = ("rolled-back", 3)
    ABORTED = ("aborted", 4)
    HELD = ("held", 6)

    @property
    def word(self) -> str:
        """For people and JSON."""
        return self.value[0]

    @property
    def exit_code(self) -> int:
        """Of `pcr rollout wait`."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """It is over."""

    outcome: Outcome
    reason: str
    generation: int | None = None
    commit: str = ""
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not; `stage` is one line that changes when something happens."""

    stage: str


_OUTCOMES = {
    RolloutState.ROLLED_BACK: Outcome.ROLLED_BACK,
    RolloutState.FAILED: Outcome.FAILED,
    RolloutState.ABORTED: Outcome.ABORTED,
    RolloutState.SUPERSEDED: Outcome.FAILED,
}
"""What an outcome other than success means for who waits for exactly this generation."""


def newest_verdict(status: ClusterStatus | None) -> Verdict | Waiting:
    """Of the newest generation."""
    if status is None:
        return Waiting("the control plane cannot be reached")
    newest = status.newest
    if newest is None:
        return Waiting("nothing has been published yet")
    return _of_newest(newest, status)


def commit_verdict(commit: str, *, build: Build | None, status: ClusterStatus | None) -> Verdict | Waiting:
    """Of the generation that `commit` (or a prefix of it) became; before there is one, of its build."""
    generation = _generation_of(commit, build=build, status=status)
    if generation is not None and status is not None:
        if generation == status.newest:
            return _of_newest(generation, status)
        return _of_an_earlier(generation)
    if build is None:
        return Waiting(f"no build of {commit} is known yet")
    return _of_build(build, status)


def _generation_of(commit: str, *, build: Build | None, status: ClusterStatus | None) -> GenerationStatus | None:
    if status is None:
        return None
    if build is not None:
        return next((known for known in status.generations if known.number == build.generation), None)
    return next((known for known in status.generations if known.commit.startswith(commit)), None)


def _of_newest(newest: GenerationStatus, status: ClusterStatus) -> Verdict | Waiting:
    named = f"generation {newest.number}"
    match status.convergence:
        case Convergence.CONVERGED:
            return _verdict(Outcome.CONVERGED, newest, status.reason)
        case Convergence.HELD:
            return _verdict(Outcome.HELD, newest, status.reason)
        case Convergence.FAILED:
            outcome = _OUTCOMES.get(newest.state, Outcome.FAILED)
            return _verdict(outcome, newest, newest.reason or status.reason)
        case Convergence.PROGRESSING:
            reason = status.reason or newest.state.value
            return Waiting(reason if reason.startswith(f"{named} ") else f"{named}: {reason}")


def _of_an_earlier(generation: GenerationStatus) -> Verdict | Waiting:
    if generation.state is RolloutState.SUCCEEDED:
        return _verdict(Outcome.CONVERGED, generation, "it converged; a newer generation has followed")
    outcome = _OUTCOMES.get(generation.state)
    if outcome is None:
        return Waiting(f"generation {generation.number}: {generation.state.value}")
    reason = generation.reason or f"{generation.state.value} by a newer generation"
    return _verdict(outcome, generation, reason)


def _verdict(outcome: Outcome, generation: GenerationStatus, reason: str) -> Verdict:
    return Verdict(outcome, reason, generation.number, generation.commit)


def _why_not_published(build: Build) -> str:
    detail = next((stage.detail for stage in build.stages if stage.name is StageName.PUBLISH), "")
    return f"built, and not to be published: {detail}" if detail else "built, and not to be published"


def _of_build(build: Build, status: ClusterStatus | None) -> Verdict | Waiting:
    """Of a build whose generation the control plane does not show."""
    match build.state:
        case BuildState.FAILED:
            return _of_failed(Outcome.FAILED, build, "the build failed")
        case BuildState.SUPERSEDED:
            return _of_failed(Outcome.FAILED, build, "a newer push superseded it before it was published")
        case BuildState.ROLLED_BACK:
            return _of_failed(Outcome.ROLLED_BACK, build, "the rollout was rolled back")
        case BuildState.SUCCEEDED:
            reason = "its rollout succeeded" if build.generation else _why_not_published(build)
            return Verdict(Outcome.CONVERGED, reason, build.generation, build.commit)
        case BuildState.UNCHANGED:
            return newest_verdict(status)  # what it asks for is what the newest generation is
    running = next((stage for stage in build.stages if stage.state is StageState.RUNNING), None)
    return Waiting(f"build {build.id}: {running.name.value if running else build.state.value}")


def _of_failed(outcome: Outcome, build: Build, otherwise: str) -> Verdict:
    return Verdict(outcome, build.error or otherwise, build.generation, build.commit, build.log_tail)
