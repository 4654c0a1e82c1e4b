"""The life of a build as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_service import pipeline
from ci_service.following import generation_of
from ci_service.publishing import directory_of, tracking_of
from ci_service.tests.builders import a_build, a_generation, a_notice, a_status, an_origin
from schema.builds import BuildState, StageName, StageState
from schema.status import RolloutState


def test_a_restarted_ci_runs_a_build_from_its_beginning() -> None:
    build = pipeline.stage_started(a_build(), StageName.BUILD, now_ms=5)
    again = pipeline.started(build)
    assert {stage.state for stage in again.stages} == {StageState.WAITING}
    assert again.state is BuildState.RUNNING


def test_a_failed_stage_ends_the_build_with_the_last_lines_of_its_log() -> None:
    build = pipeline.stage_started(a_build(), StageName.CHECKS, now_ms=5)
    failed = pipeline.failed(
        build, StageName.CHECKS, now_ms=9, error="lint\nmore", log_tail=[str(n) for n in range(99)]
    )
    assert failed.state is BuildState.FAILED
    assert failed.stage(StageName.CHECKS).duration_ms == 4
    assert failed.stage(StageName.CHECKS).detail == "lint"
    assert failed.log_tail[-1] == "98"
    assert len(failed.log_tail) == pipeline.LOG_TAIL_LINES
    assert failed.stage(StageName.PUBLISH).state is StageState.WAITING


@pytest.mark.parametrize("state", [state for state in BuildState if state.is_over])
def test_what_is_over_stays_over(state: BuildState) -> None:
    assert pipeline.FOLLOWS[state] == frozenset()
    with pytest.raises(ValueError, match="is not followed by"):
        pipeline.started(a_build(state=state))


def test_every_state_is_in_the_table_and_every_outcome_ends_a_build() -> None:
    assert set(pipeline.FOLLOWS) == set(BuildState)
    assert {state for state in RolloutState if state.is_outcome} == set(pipeline.OUTCOMES)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (RolloutState.SUCCEEDED, BuildState.SUCCEEDED),
        (RolloutState.ROLLED_BACK, BuildState.ROLLED_BACK),
        (RolloutState.ABORTED, BuildState.FAILED),
        (RolloutState.SUPERSEDED, BuildState.SUPERSEDED),
    ],
)
def test_a_rollback_is_never_told_as_success(outcome: RolloutState, state: BuildState) -> None:
    build = pipeline.published(a_build(generation=1), now_ms=3, detail="generation 1")
    after = pipeline.followed(build, a_generation(state=outcome, reason="web-0: no answer"), now_ms=9)
    assert after.state is state
    assert ("web-0: no answer" in after.error) is (state is not BuildState.SUCCEEDED)


def test_a_running_rollout_changes_nothing_yet() -> None:
    build = pipeline.published(a_build(generation=1), now_ms=3, detail="generation 1")
    assert pipeline.followed(build, a_generation(state=RolloutState.RUNNING), now_ms=9) == build


def test_a_generation_too_old_to_be_listed_counts_as_superseded() -> None:
    build = a_build(generation=1, state=BuildState.PUBLISHED)
    found = generation_of(build, a_status(a_generation(number=9)))
    assert found is not None
    assert found.state is RolloutState.SUPERSEDED
    assert generation_of(build, a_status()) is None


@given(st.lists(st.tuples(st.sampled_from(["a/a", "b/b"]), st.sampled_from(["refs/heads/x", "refs/heads/y"]))))
def test_only_the_newest_push_of_each_branch_is_left(pushes: list[tuple[str, str]]) -> None:
    queue = [pipeline.Queued(number, repository, ref) for number, (repository, ref) in enumerate(pushes)]
    gone = {old for new in queue for old in pipeline.superseded_by(new, queue)}
    left = [queued for queued in queue if queued.id not in gone]
    assert {(q.repository, q.ref) for q in left} == set(pushes)
    assert len(left) == len(set(pushes))


@pytest.mark.parametrize(("ref", "new"), [("refs/tags/v1", "a" * 40), ("refs/heads/x", "0" * 40), ("HEAD", "a" * 40)])
def test_tags_and_deleted_branches_are_not_built(ref: str, new: str) -> None:
    assert pipeline.kind_of(a_notice(ref=ref, new=new)) is pipeline.PushKind.IGNORED


def test_without_a_tracked_origin_only_the_default_branch_publishes() -> None:
    assert tracking_of(a_build(), status=a_status(), default_branch="main").reason == ""
    refused = tracking_of(a_build(ref="refs/heads/wip"), status=a_status(), default_branch="main")
    assert "'main'" in refused.reason


def test_a_realm_tracks_one_origin() -> None:
    status = a_status(origin=an_origin(repository="team/cluster", path="deploy"))
    assert "team/cluster" in tracking_of(a_build(), status=status, default_branch="main").reason
    mine = tracking_of(a_build(repository="team/cluster"), status=status, default_branch="x")
    assert mine.origin is not None
    assert (mine.reason, mine.origin.path) == ("", "deploy")
    assert directory_of(a_build(repository="team/cluster"), status) == "deploy"
    assert directory_of(a_build(), status) == directory_of(a_build(), a_status()) == "."


def test_equal_content_is_published_again_only_if_it_did_not_succeed() -> None:
    assert pipeline.is_unchanged(a_generation(), "b" * 64)
    assert not pipeline.is_unchanged(a_generation(), "c" * 64)
    assert not pipeline.is_unchanged(a_generation(state=RolloutState.ROLLED_BACK), "b" * 64)
    assert not pipeline.is_unchanged(None, "b" * 64)


@pytest.mark.parametrize("branch", ["feature#1", "fix@home", "ünï", "a'b\"c", "-h", "a;$(touch x)", "x" * 300])
def test_a_branch_by_any_name_that_git_takes_is_built_and_not_published(branch: str) -> None:
    build, tracked = a_build(ref=f"refs/heads/{branch}"), a_status(origin=an_origin())
    assert "the realm tracks" in tracking_of(build, status=tracked, default_branch="main").reason
    assert "only the default branch" in tracking_of(build, status=a_status(), default_branch="main").reason
    found = tracking_of(build, status=a_status(), default_branch=branch)
    assert found.origin is None
    assert "cannot be tracked" in found.reason
