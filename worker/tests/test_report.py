"""What is reported follows from the states."""

from dataclasses import replace

from schema.assignment import Seen
from schema.status import View, VmPhase, WorkerMetrics
from worker import lifecycle
from worker.adoption import Adopt, Clear, Found, decide
from worker.report import worker_report
from worker.tests.builders import a_content, a_desired, a_spec, an_attachment
from worker.vm_state import GivenUp, HealthState, Memory, Process, Step, VmState


def a_healthy(instance: str = "web-0", generation: int = 1, text: str = "one") -> VmState:
    content = a_content(generation, a_spec(instance.rpartition("-")[0], text=text))
    state = lifecycle.begun(VmState(instance), Step.BOOT, content=content, now=1.0)
    state = lifecycle.booted(state, Process(42, 2.0, an_attachment()), now=2.0)
    return lifecycle.judged(replace(state, health=HealthState(View.OK, passed_once=True)), healthy=True, now=5.0)


def report(desired: dict, vms: dict, volumes: dict | None = None):  # type: ignore[no-untyped-def, type-arg]
    return worker_report(
        "w-0",
        seen=Seen("a" * 32, 9),
        desired=desired,
        vms=vms,
        volumes=volumes or {},
        metrics=WorkerMetrics(),
        now=10.0,
    )


def test_a_healthy_vm_is_told_with_what_runs_and_for_how_long() -> None:
    state = a_healthy()
    told = report({"web-0": a_desired()}, {"web-0": state})
    (vm,) = told.running_vms
    assert (told.epoch, told.revision, told.observed_generation) == ("a" * 32, 9, 1)
    assert (vm.phase, vm.host_view, vm.guest_view) == (VmPhase.HEALTHY, View.OK, View.UNKNOWN)
    assert (vm.pid, vm.running_ms, vm.healthy_ms, vm.address) == (42, 8000, 5000, "10.77.0.2")
    assert state.content and vm.content_hash == state.content.content_hash


def test_beside_a_running_content_the_next_one_is_not_told_as_running() -> None:
    old = a_healthy()
    wanted = a_desired(content=a_content(2, a_spec(text="two")))
    assert wanted.content.content_hash
    busy = lifecycle.begun(old, Step.PULL, content=wanted.content, now=9.0, reason="generation 2")
    (vm,) = report({"web-0": wanted}, {"web-0": busy}).running_vms
    assert (vm.generation, vm.phase, vm.reason) == (1, VmPhase.HEALTHY, "generation 2")


def test_an_entry_that_waits_is_told_with_what_it_waits_for() -> None:
    (vm,) = report({"web-0": a_desired(content=a_content(4))}, {}).running_vms
    assert (vm.generation, vm.phase, vm.pid) == (4, VmPhase.WAITING, 0)


def test_a_given_up_content_is_told_as_reverted_with_its_reason() -> None:
    bad = a_content(2, a_spec(text="bad"))
    state = replace(a_healthy(), memory=Memory(given_up=GivenUp(bad.key, "port 80 is closed")))
    wanted = a_desired(content=bad, fallback=a_content(1))
    (vm,) = report({"web-0": wanted}, {"web-0": state}).running_vms
    assert vm.reverted and (vm.reverted.content_hash, vm.reverted.reason) == (bad.content_hash, "port 80 is closed")
    assert vm.generation == 1


def test_volumes_of_instances_that_left_are_told_as_kept() -> None:
    told = report({"web-0": a_desired()}, {}, {"db-0": ("data",), "web-0": ("cache",)})
    assert told.kept_volumes == ("db-0/data",)
    assert told.running_vms[0].volumes == ("cache",)


def test_only_a_living_recorded_process_is_adopted() -> None:
    content, attachment = a_content(), an_attachment()
    found = {
        "a-0": Found("a-0", content, attachment, pid=7, started_at=3.0),
        "b-0": Found("b-0", content, attachment, pid=0, remains="killed by signal 9"),
        "c-0": Found("c-0", None, None, pid=9),
    }
    assert decide(found) == (
        Adopt("a-0", content, attachment, 7, 3.0),
        Clear("b-0", "killed by signal 9"),
        Clear("c-0", "what was booted there is not recorded"),
    )
