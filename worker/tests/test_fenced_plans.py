"""What is done next with fenced singletons follows from the lease too."""

from dataclasses import replace

from schema.blueprint import OnLoss, Volume
from schema.status import VmPhase
from worker.reconcile import Cancel, Fence, Stop
from worker.tests.builders import a_content, a_desired, a_spec
from worker.tests.test_reconcile import GOOD, SimulatedWorker
from worker.vm_state import Step, StopFor

FENCED = a_content(1, a_spec(text="good", singleton=True))
UNFENCED = a_content(2, a_spec(text="good"))


def a_running_singleton() -> SimulatedWorker:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=FENCED))
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY}
    return worker


def test_a_fenced_singleton_is_made_ready_but_booted_only_under_a_lease() -> None:
    worker = SimulatedWorker()
    worker.leased_until = worker.now
    worker.assign(a_desired(content=FENCED), a_desired("db-0", content=UNFENCED, number=3))
    worker.settle()
    assert [instance for instance, _ in worker.booted] == ["db-0"]
    state = worker.vms["web-0"]
    assert state.prepared and state.reason == "it waits for a lease of the control plane"
    worker.leased_until = worker.now + 10
    worker.settle()
    assert [instance for instance, _ in worker.booted] == ["db-0", "web-0"]


def test_a_fenced_singleton_is_ended_with_the_lease_and_only_a_fresh_one_starts_it_again() -> None:
    worker = a_running_singleton()
    worker.leased_until = worker.now + 5
    assert worker.look().wake_at == worker.leased_until
    worker.now += 5
    assert worker.look().actions == (Stop("web-0", StopFor.FENCE, "the worker's lease has run out"),)
    worker.finish("web-0")
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.WAITING} and len(worker.booted) == 1
    worker.now += 3600
    worker.leased_until = worker.now + 5
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY} and worker.vms["web-0"].restarts == 0


def test_a_boot_under_way_is_given_up_when_the_lease_runs_out() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=FENCED))
    for _ in range(2):
        worker.look()
        worker.finish("web-0")
    worker.look()
    assert worker.vms["web-0"].step is Step.BOOT
    worker.leased_until = worker.now
    assert worker.look().actions == (Cancel("web-0", "it waits for a lease of the control plane"),)


def test_waiting_for_a_lease_is_no_failure_of_the_content() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=FENCED, fallback=GOOD))
    worker.settle(healthy=False)
    worker.leased_until = worker.now
    worker.settle(healthy=False)
    worker.now += 3600
    worker.settle(healthy=False)
    worker.leased_until = worker.now + 60
    worker.settle()
    assert worker.phases() == {"web-0": VmPhase.HEALTHY} and worker.vms["web-0"].memory.given_up is None


def test_a_running_vm_that_becomes_a_singleton_is_put_under_the_lease_without_a_restart() -> None:
    worker = SimulatedWorker()
    worker.assign(a_desired(content=UNFENCED))
    worker.settle()
    worker.assign(a_desired(content=a_content(3, a_spec(text="good", singleton=True))))
    assert worker.look().actions == (Fence("web-0", True, "it is now a singleton"),)
    worker.vms["web-0"] = replace(worker.vms["web-0"], is_fenced=True)
    assert worker.look().actions == ()
    worker.assign(a_desired(content=a_content(4, a_spec(text="good"))))
    assert worker.look().actions == (Fence("web-0", False, "it is no longer a singleton"),)


def test_a_volume_that_is_kept_binds_a_vm_and_one_that_is_made_again_fences_it() -> None:
    kept, again = ({"data": Volume(size_mb=1, mount="/data", on_loss=loss)} for loss in OnLoss)
    assert [a_spec(volumes=volumes).is_fenced for volumes in ({}, kept, again)] == [False, False, True]
    assert not a_spec(volumes={**again, "more": kept["data"]}, singleton=True).is_fenced
