"""The demo's steps, from what CI and the control plane say."""

import pytest

from cli.demo.progress import Done, Failure, Step, done_steps, failure, is_converged
from schema.builds import Build, BuildState, Stage, StageName, StageState
from schema.origin import Origin
from schema.status import ClusterStatus, Convergence, GenerationStatus, RolloutState, VmPhase, VmStatus

COMMIT = "a" * 40
STAGES = (StageName.EVALUATE, StageName.CHECKS, StageName.BUILD, StageName.PUSH, StageName.PUBLISH)


def a_build(*, done: int = 5, state: BuildState = BuildState.PUBLISHED, error: str = "") -> Build:
    return Build(
        id=1,
        repository="demo/example",
        ref="refs/heads/main",
        commit=COMMIT,
        state=state,
        generation=3,
        created_at_ms=0,
        error=error,
        log_tail=("last words",),
        stages=tuple(
            Stage(
                name=name,
                state=StageState.SUCCEEDED if number < done else StageState.RUNNING,
                duration_ms=100 * (number + 1) if number < done else None,
                detail=name,
            )
            for number, name in enumerate(STAGES)
        ),
    )


def a_vm(
    instance: str, phase: VmPhase, *, healthy: bool = False, worker: str = "worker-0", old: bool = False
) -> VmStatus:
    return VmStatus(
        instance=instance,
        vm=instance[:-2],
        generation=3,
        content_hash="new",
        running_content_hash="old" if old else "new",
        worker_id=worker,
        phase=phase,
        healthy=healthy,
        phase_ms={"pulling": 40, "preparing": 10, "booting": 500, "running": 300 if healthy else 0},
    )


def a_status(*vms: VmStatus, convergence: Convergence = Convergence.PROGRESSING) -> ClusterStatus:
    generation = GenerationStatus(
        number=3,
        commit=COMMIT,
        origin=Origin(repository="demo/example", branch="main", path="."),
        intent_hash="b" * 64,
        published_at_ms=0,
        state=RolloutState.RUNNING,
        placed_ms=7,
    )
    return ClusterStatus(
        time_ms=0, epoch="c" * 32, convergence=convergence, reason="why", generations=(generation,), vms=vms
    )


def steps(build: Build | None, status: ClusterStatus | None) -> list[Step]:
    return [done.step for done in done_steps(build, status)]


def test_nothing_is_done_before_there_is_a_build() -> None:
    assert done_steps(None, None) == ()
    assert failure(None, None) is None
    assert not is_converged(None, None)


@pytest.mark.parametrize("done", range(6))
def test_the_builds_stages_come_first_each_with_its_time(done: int) -> None:
    found = done_steps(a_build(done=done), None)
    assert [step.step for step in found] == list(Step)[:done]
    assert [step.duration_ms for step in found] == [100 * (number + 1) for number in range(done)]


def test_a_step_of_the_vms_is_over_when_the_last_vm_is_through() -> None:
    build = a_build()
    slow = a_vm("db-0", VmPhase.WAITING, worker="")
    for phase, worker, last in (
        (VmPhase.WAITING, "", Step.PUBLISH),
        (VmPhase.PULLING, "worker-1", Step.PLACE),
        (VmPhase.PREPARING, "worker-1", Step.PULL),
        (VmPhase.BOOTING, "worker-1", Step.PULL),
        (VmPhase.RUNNING, "worker-1", Step.BOOT),
    ):
        slow = a_vm("db-0", phase, worker=worker)
        assert steps(build, a_status(a_vm("web-0", VmPhase.HEALTHY, healthy=True), slow))[-1] is last
    healthy = a_status(a_vm("web-0", VmPhase.HEALTHY, healthy=True), a_vm("db-0", VmPhase.HEALTHY, healthy=True))
    assert done_steps(build, healthy)[-4:] == (
        Done(Step.PLACE, 7, "2 on worker-0"),
        Done(Step.PULL, 40, "2 VMs"),
        Done(Step.BOOT, 510, "2 VMs"),
        Done(Step.HEALTHY, 300, "db-0, web-0"),
    )


def test_an_old_process_that_still_runs_is_not_taken_for_the_new_one() -> None:
    status = a_status(a_vm("web-0", VmPhase.HEALTHY, old=True))
    assert steps(a_build(), status)[-1] is Step.PLACE


def test_converged_needs_every_step_and_the_control_planes_word() -> None:
    healthy = a_vm("web-0", VmPhase.HEALTHY, healthy=True)
    assert not is_converged(a_build(), a_status(healthy))
    assert is_converged(a_build(), a_status(healthy, convergence=Convergence.CONVERGED))
    waiting = a_vm("web-0", VmPhase.RUNNING)
    assert not is_converged(a_build(), a_status(waiting, convergence=Convergence.CONVERGED))


def test_a_failure_is_told_with_its_reason() -> None:
    failed = a_build(state=BuildState.FAILED, error="evaluate: no such attribute")
    assert failure(failed, None) == Failure("evaluate: no such attribute", ("last words",))
    assert failure(a_build(), a_status(convergence=Convergence.FAILED)) == Failure("why")
    rolled_back = a_build(state=BuildState.ROLLED_BACK, error="web-0: no answer")
    assert failure(rolled_back, None) == Failure("web-0: no answer", ("last words",))
    assert failure(a_build(), a_status()) is None
