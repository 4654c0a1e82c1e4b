"""From a push to healthy VMs as nine steps with their times; it asks nobody and prints nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schema.builds import Build, BuildState, StageName, StageState
from schema.status import ClusterStatus, Convergence, GenerationStatus, VmPhase, VmStatus


class Step(StrEnum):
    """The steps in their order."""

    EVALUATE = "evaluate"
    CHECKS = "checks"
    BUILD = "build"
    PUSH = "push"
    PUBLISH = "publish"
    PLACE = "place"
    PULL = "pull"
    BOOT = "boot"
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is over: how long it took, in milliseconds, and one line about it."""

    step: Step
    duration_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why it will not get further, with the last log lines of the step that failed."""

    reason: str
    log_tail: tuple[str, ...] = ()


_STAGES = {
    Step.EVALUATE: StageName.EVALUATE,
    Step.CHECKS: StageName.CHECKS,
    Step.BUILD: StageName.BUILD,
    Step.PUSH: StageName.PUSH,
    Step.PUBLISH: StageName.PUBLISH,
}

_BEFORE = {
    Step.PULL: frozenset({VmPhase.WAITING, VmPhase.PULLING}),
    Step.BOOT: frozenset({VmPhase.WAITING, VmPhase.PULLING, VmPhase.PREPARING, VmPhase.BOOTING}),
}
"""The phases in which a VM has not got through the step."""

_COUNTED = {
    Step.PULL: (VmPhase.PULLING,),
    Step.BOOT: (VmPhase.PREPARING, VmPhase.BOOTING),
    Step.HEALTHY: (VmPhase.RUNNING,),
}
"""The phases whose times add up to the step's."""


def done_steps(build: Build | None, status: ClusterStatus | None) -> tuple[Done, ...]:
    """The steps that are over, in their order, up to the first that is not."""
    found: list[Done] = []
    for step in Step:
        done = _done(step, build, status)
        if done is None:
            break
        found.append(done)
    return tuple(found)


def failure(build: Build | None, status: ClusterStatus | None) -> Failure | None:
    """Why the commit of `build` will not get healthy, once that is known."""
    if build is None:
        return None
    if build.state.published_nothing:
        return Failure(build.error or f"the build was {build.state}", build.log_tail)
    generation = _generation(build, status)
    if status is not None and generation is not None and status.convergence is Convergence.FAILED:
        return Failure(status.reason or generation.reason)
    if build.state is BuildState.ROLLED_BACK:
        return Failure(build.error or "the rollout was rolled back", build.log_tail)
    return None


def is_converged(build: Build | None, status: ClusterStatus | None) -> bool:
    """Whether every VM is healthy on the generation of `build`, and the rollout over."""
    return (
        status is not None
        and _generation(build, status) is not None
        and status.convergence is Convergence.CONVERGED
        and len(done_steps(build, status)) == len(Step)
    )


def _generation(build: Build | None, status: ClusterStatus | None) -> GenerationStatus | None:
    if build is None or status is None:
        return None
    return next((known for known in status.generations if known.number == build.generation), None)


def _done(step: Step, build: Build | None, status: ClusterStatus | None) -> Done | None:
    if step in _STAGES:
        return _stage_done(step, build)
    generation = _generation(build, status)
    if generation is None or status is None:
        return None
    vms = [vm for vm in status.vms if vm.generation == generation.number]
    if not vms:
        return None
    if step is Step.PLACE:
        return _placed(vms, generation)
    if step is Step.HEALTHY:
        names = ", ".join(sorted(vm.instance for vm in vms))
        return Done(step, _longest(step, vms), names) if all(vm.healthy for vm in vms) else None
    if any(_is_before(vm, step) for vm in vms):
        return None
    return Done(step, _longest(step, vms), f"{len(vms)} VMs")


def _stage_done(step: Step, build: Build | None) -> Done | None:
    stage = build.stage(_STAGES[step]) if build is not None else None
    if stage is None or stage.state not in {StageState.SUCCEEDED, StageState.SKIPPED}:
        return None
    return Done(step, stage.duration_ms or 0, stage.detail)


def _placed(vms: list[VmStatus], generation: GenerationStatus) -> Done | None:
    if not all(vm.worker_id for vm in vms):
        return None
    workers: Mapping[str, int] = {
        worker: sum(vm.worker_id == worker for vm in vms) for worker in sorted({vm.worker_id for vm in vms})
    }
    detail = ", ".join(f"{count} on {worker}" for worker, count in workers.items())
    return Done(Step.PLACE, generation.placed_ms, detail)


def _is_before(vm: VmStatus, step: Step) -> bool:
    """An older process that still runs says nothing of the new one."""
    return vm.phase in _BEFORE[step] or vm.running_content_hash != vm.content_hash


def _longest(step: Step, vms: list[VmStatus]) -> int:
    return max(sum(vm.phase_ms.get(phase, 0) for phase in _COUNTED[step]) for vm in vms)
