import pytest

from cli.tests.builders import COMMIT, a_build, a_generation, a_status
from cli.waiting import Outcome, Verdict, Waiting, commit_verdict, newest_verdict
from schema.builds import BuildState, Stage, StageName, StageState
from schema.status import ClusterStatus, Convergence, RolloutState

OTHER = "d" * 40


def outcome_of(found: Verdict | Waiting) -> Outcome | None:
    return found.outcome if isinstance(found, Verdict) else None


def test_the_exit_codes_are_the_designs() -> None:
    codes = {outcome.word: outcome.exit_code for outcome in Outcome}
    assert codes == {"converged": 0, "failed": 1, "rolled-back": 3, "aborted": 4, "held": 6}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("generation 3 is being rolled out", "generation 3 is being rolled out"),
        ("generation 30 is another", "generation 3: generation 30 is another"),
        ("web-0 boots", "generation 3: web-0 boots"),
        ("", "generation 3: running"),
    ],
)
def test_what_it_waits_for_names_the_generation_once(reason: str, said: str) -> None:
    status = a_status(Convergence.PROGRESSING, a_generation(3, RolloutState.RUNNING), reason=reason)
    found = newest_verdict(status)
    assert isinstance(found, Waiting)
    assert found == Waiting(said)


ENDS = [
    (Convergence.CONVERGED, RolloutState.SUCCEEDED, Outcome.CONVERGED),
    (Convergence.HELD, RolloutState.SUCCEEDED, Outcome.HELD),
    (Convergence.FAILED, RolloutState.ROLLED_BACK, Outcome.ROLLED_BACK),
    (Convergence.FAILED, RolloutState.FAILED, Outcome.FAILED),
    (Convergence.FAILED, RolloutState.ABORTED, Outcome.ABORTED),
    (Convergence.FAILED, RolloutState.SUPERSEDED, Outcome.FAILED),
    (Convergence.PROGRESSING, RolloutState.RUNNING, None),
    (Convergence.PROGRESSING, RolloutState.PAUSED, None),
    (Convergence.PROGRESSING, RolloutState.ROLLING_BACK, None),
    (Convergence.PROGRESSING, RolloutState.SUCCEEDED, None),
]


@pytest.mark.parametrize(("convergence", "state", "expected"), ENDS)
def test_the_newest_generation_ends_as_its_rollout_did(
    convergence: Convergence, state: RolloutState, expected: Outcome | None
) -> None:
    status = a_status(convergence, a_generation(3, state))
    assert outcome_of(newest_verdict(status)) is expected
    assert outcome_of(commit_verdict(COMMIT, build=None, status=status)) is expected
    assert outcome_of(commit_verdict(COMMIT[:7], build=None, status=status)) is expected
    build = a_build(BuildState.PUBLISHED, generation=3)
    assert outcome_of(commit_verdict(COMMIT, build=build, status=status)) is expected


def test_nothing_published_and_nothing_reachable_is_waited_for() -> None:
    empty = ClusterStatus(time_ms=1, epoch="e" * 32, convergence=Convergence.CONVERGED, reason="")
    for status in (empty, None):
        assert isinstance(newest_verdict(status), Waiting)
        assert isinstance(commit_verdict(COMMIT, build=None, status=status), Waiting)


EARLIER = [
    (RolloutState.SUCCEEDED, Outcome.CONVERGED),
    (RolloutState.SUPERSEDED, Outcome.FAILED),
    (RolloutState.ROLLED_BACK, Outcome.ROLLED_BACK),
    (RolloutState.ABORTED, Outcome.ABORTED),
    (RolloutState.ROLLING_BACK, None),
]


@pytest.mark.parametrize(("state", "expected"), EARLIER)
def test_a_generation_that_a_newer_one_followed_keeps_its_own_end(
    state: RolloutState, expected: Outcome | None
) -> None:
    newer = a_generation(4, RolloutState.FAILED, commit=OTHER)
    status = a_status(Convergence.FAILED, newer, a_generation(3, state))
    assert outcome_of(commit_verdict(COMMIT, build=None, status=status)) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (BuildState.QUEUED, None),
        (BuildState.RUNNING, None),
        (BuildState.PUBLISHED, None),
        (BuildState.FAILED, Outcome.FAILED),
        (BuildState.SUPERSEDED, Outcome.FAILED),
        (BuildState.ROLLED_BACK, Outcome.ROLLED_BACK),
        (BuildState.SUCCEEDED, Outcome.CONVERGED),
    ],
)
def test_before_its_generation_is_seen_a_commit_is_its_build(state: BuildState, expected: Outcome | None) -> None:
    status = a_status(Convergence.CONVERGED, a_generation(2, commit=OTHER))
    for seen in (status, None):
        assert outcome_of(commit_verdict(COMMIT, build=a_build(state), status=seen)) is expected


def test_a_build_that_failed_says_why_with_its_last_lines() -> None:
    build = a_build(BuildState.FAILED, error="evaluate: attribute missing", log_tail=("one", "two"))
    found = commit_verdict(COMMIT, build=build, status=None)
    assert found == Verdict(Outcome.FAILED, "evaluate: attribute missing", None, COMMIT, ("one", "two"))


def test_a_push_that_changes_nothing_waits_for_what_is_the_same() -> None:
    status = a_status(Convergence.CONVERGED, a_generation(2, commit=OTHER))
    found = commit_verdict(COMMIT, build=a_build(BuildState.UNCHANGED), status=status)
    assert outcome_of(found) is Outcome.CONVERGED
    assert isinstance(commit_verdict(COMMIT, build=a_build(BuildState.UNCHANGED), status=None), Waiting)


def test_an_old_generation_of_the_same_commit_is_not_taken_for_the_new_build() -> None:
    status = a_status(Convergence.CONVERGED, a_generation(2))
    assert isinstance(commit_verdict(COMMIT, build=a_build(BuildState.RUNNING), status=status), Waiting)


def test_waiting_names_the_stage() -> None:
    over = Stage(name=StageName.EVALUATE, state=StageState.SUCCEEDED)
    stages = (over, Stage(name=StageName.BUILD, state=StageState.RUNNING))
    found = commit_verdict(COMMIT, build=a_build(BuildState.RUNNING, stages=stages), status=None)
    assert found == Waiting("build 7: build")


def test_a_branch_that_is_not_tracked_is_told_as_built_and_not_as_rolled_out() -> None:
    skipped = Stage(name=StageName.PUBLISH, state=StageState.SKIPPED, detail="the realm tracks demo/example main")
    found = commit_verdict(COMMIT, build=a_build(BuildState.SUCCEEDED, stages=(skipped,)), status=None)
    assert isinstance(found, Verdict)
    assert found.reason == "built, and not to be published: the realm tracks demo/example main"
