"""What people are shown: views, drift, reasons and the closures that must be kept."""

import pytest

from control_plane.closures import live_closures
from control_plane.convergence import Moment, cluster_status
from control_plane.observations import Observations
from control_plane.rollout.clocks import take_report, tick
from control_plane.rollout.table import Signal, after, diagram
from control_plane.state import Snapshot
from control_plane.tests.builders import EPOCH, a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.errors import Conflict
from schema.status import Convergence, RolloutState, RunningVm, View, VmPhase, VmStatus, WorkerReport
from schema.vmspec import VmSpec

SPEC = a_spec("web", replicas=1)


def a_placed_snapshot(spec: VmSpec = SPEC) -> Snapshot:
    world = World(a_snapshot(w0=some_facts()))
    world.publish(a_generation(1, spec, rollout=RolloutPolicy(min_healthy_ms=1000)))
    world.look()
    return world.snapshot


def shown(vm: RunningVm, *, now_ms: int = 100) -> VmStatus:
    """`web-0` as it is shown when its worker reports `vm`."""
    snapshot = a_placed_snapshot()
    report = WorkerReport(worker_id="w0", epoch=EPOCH, revision=9, running_vms=(vm,))
    observations = take_report(snapshot, Observations(), report, now_ms=100, lost_after_ms=40_000)
    observations = tick(snapshot, observations, now_ms=100, lost_after_ms=40_000)
    moment = Moment(now_ms=now_ms, wall_ms=0)
    return cluster_status(snapshot, observations, moment).vms[0]


def a_vm(**fields: object) -> RunningVm:
    known = {
        "instance": "web-0",
        "generation": 1,
        "content_hash": SPEC.content_hash,
        "spec_hash": Sealed.of(SPEC).sha256,
        "phase": VmPhase.HEALTHY,
    }
    return RunningVm.model_validate({**known, **fields})


def test_unknown_views_do_not_count_against_a_vm() -> None:
    vm = shown(a_vm())
    assert vm.healthy
    assert (vm.guest_view, vm.host_view, vm.control_plane_view) == (View.UNKNOWN, View.UNKNOWN, View.OK)


@pytest.mark.parametrize(("view", "whose"), [("guest_view", "the guest"), ("host_view", "the worker")])
def test_one_failing_view_is_enough_to_be_unhealthy(view: str, whose: str) -> None:
    vm = shown(a_vm(**{view: View.FAILING, "reason": "disk full"}))
    assert not vm.healthy
    assert vm.reason == f"{whose} finds it failing: disk full"


def test_what_the_worker_notes_of_a_healthy_vm_is_shown() -> None:
    vm = shown(a_vm(reason="user-mode network: port 80 is 127.0.0.1:4080"))
    assert (vm.healthy, vm.reason) == (True, "user-mode network: port 80 is 127.0.0.1:4080")


def test_another_content_than_assigned_is_drift() -> None:
    vm = shown(a_vm(content_hash="0" * 64, spec_hash="0" * 64))
    assert vm.drift
    assert not vm.healthy
    assert vm.control_plane_view is View.FAILING


def test_what_is_not_booted_yet_has_not_drifted() -> None:
    assert not shown(a_vm(content_hash="0" * 64, phase=VmPhase.PULLING)).drift


def test_running_without_a_check_is_healthy_after_min_healthy_ms_only() -> None:
    assert shown(a_vm(phase=VmPhase.RUNNING)).reason == "running, healthy after 1000 ms"
    assert shown(a_vm(phase=VmPhase.RUNNING), now_ms=1200).healthy
    assert shown(a_vm(phase=VmPhase.RUNNING, running_ms=5000)).healthy


def test_views_of_a_lost_worker_are_unknown() -> None:
    vm = shown(a_vm(host_view=View.OK), now_ms=60_000)
    assert (vm.host_view, vm.control_plane_view, vm.healthy) == (View.UNKNOWN, View.UNKNOWN, False)
    assert vm.reason == "w0 has not been heard of for 59 s"


def test_an_empty_cluster_has_nothing_to_wait_for() -> None:
    status = cluster_status(Snapshot(epoch=EPOCH), Observations(), Moment(now_ms=0, wall_ms=0))
    assert (status.convergence, status.generations) == (Convergence.CONVERGED, ())


def test_all_closures_of_kept_generations_are_live_and_a_stranger_stops_all_collecting() -> None:
    snapshot = a_placed_snapshot()
    assert live_closures(snapshot, Observations()).paths == SPEC.closure_paths
    assert live_closures(snapshot, Observations()).complete
    report = WorkerReport(worker_id="w0", running_vms=(a_vm(content_hash="0" * 64),))
    assert not live_closures(snapshot, Observations().with_report(report, now_ms=0)).complete


def test_a_signal_that_came_too_late_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="succeeded"):
        after(RolloutState.SUCCEEDED, Signal.UNHEALTHY)
    assert "running --> succeeded" in diagram()
