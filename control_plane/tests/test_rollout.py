"""Rollouts from publish to outcome, on the real core and workers in memory."""

from dataclasses import replace
from typing import Any

import pytest

from control_plane.rollout.changes import RolloutMoved
from control_plane.rollout.clocks import take_report
from control_plane.rollout.order import dependency_order
from control_plane.rollout.table import TRANSITIONS, Signal
from control_plane.state import ChangeKind, Rollout
from control_plane.tests.builders import EPOCH, a_generation, a_snapshot, a_spec, assignment_for, some_facts
from control_plane.tests.world import World
from schema.blueprint import (
    CheckType,
    Health,
    HealthCheck,
    LabelExpression,
    PlacementPolicy,
    RolloutPolicy,
    UpdatePolicy,
    Volume,
)
from schema.canonical import Sealed
from schema.status import Convergence, RolloutState, RunningVm, View, VmPhase, WorkerReport
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)


def web(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("web", content, **{"replicas": 2, "health": CHECKED, **fields})


def db(content: str = "1", **fields: Any) -> VmSpec:
    volumes = {"data": Volume(size_mb=64, mount="/data")}
    return a_spec("db", content, **{"health": CHECKED, "volumes": volumes, **fields})


def a_running_world() -> World:
    world = World()
    world.publish(a_generation(1, web(), db()))
    assert world.run() is RolloutState.SUCCEEDED
    return world


def newest(world: World) -> Rollout:
    rollout = world.snapshot.rollout
    assert rollout is not None
    return rollout


def test_a_first_generation_gets_healthy_and_becomes_the_last_good_one() -> None:
    world = a_running_world()
    assert world.snapshot.last_good == {"web-0": 1, "web-1": 1, "db-0": 1}
    status = world.status()
    assert status.convergence is Convergence.CONVERGED
    assert all(vm.healthy and vm.control_plane_view is View.OK for vm in status.vms)
    assert len({vm.address for vm in status.vms}) == 3


def test_new_vms_are_booted_together() -> None:
    world = World()
    world.publish(a_generation(1, web(), db()))
    world.look()
    world.report()
    assert sorted(instance for instance, _ in world.started) == ["db-0", "web-0", "web-1"]


def test_changed_vms_change_one_at_a_time_and_each_waits_for_the_health_of_the_one_before() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), db()))
    most = 0
    while newest(world).state is RolloutState.RUNNING:
        world.look()
        unhealthy = [vm for vm in world.status().vms if not vm.healthy]
        most = max(most, len(unhealthy))
    assert newest(world).state is RolloutState.SUCCEEDED
    assert most == 1


def test_a_vm_with_equal_content_is_never_started_again() -> None:
    world = a_running_world()
    before = [start for start in world.started if start[0] == "db-0"]
    world.publish(a_generation(2, web("2"), db(labels={"tier": "data"})))
    assert world.run() is RolloutState.SUCCEEDED
    assert [start for start in world.started if start[0] == "db-0"] == before
    assert world.wanted() == {"web-0": 2, "web-1": 2, "db-0": 2}


def test_what_gets_not_healthy_goes_back_and_is_told_as_rolled_back_with_the_reason() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    before = world.wanted()
    world.publish(a_generation(2, broken, db(), a_spec("batch", health=CHECKED)))
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == before
    assert world.snapshot.last_good == before
    status = world.status()
    assert status.convergence is Convergence.FAILED
    assert "web-0" in status.reason
    assert "port 80" in status.reason
    assert {vm.instance: vm.running_generation for vm in status.vms} == before
    assert all(vm.healthy for vm in status.vms)


def test_a_worker_that_says_nothing_of_its_failure_is_not_waited_for_beyond_the_margin() -> None:
    world = a_running_world()
    broken = web("2", update=UpdatePolicy(auto_rollback=True))
    world.publish(a_generation(2, broken, db()))
    world.look()
    for worker in world.workers.values():
        worker.boot_ms = 10**9
    begun = world.now_ms
    while newest(world).state is RolloutState.RUNNING:
        world.look()
    assert newest(world).state is RolloutState.ROLLING_BACK
    assert world.now_ms - begun < 10_000 + 5_000 + 4 * world.pace_ms


def test_a_long_pull_does_not_count_against_the_start_deadline() -> None:
    world = World()
    for worker in world.workers.values():
        worker.pull_ms = 60_000
    world.publish(a_generation(1, web(), db()))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.now_ms > 60_000
    world.publish(a_generation(2, web("2"), db()))
    assert world.run() is RolloutState.SUCCEEDED


def a_report(phase: VmPhase, *, restarts: int = 0) -> WorkerReport:
    spec = Sealed.of(web())
    vm = RunningVm(
        instance="web-0",
        generation=1,
        content_hash=spec.value.content_hash,
        spec_hash=spec.sha256,
        phase=phase,
        restarts=restarts,
        reason="the hypervisor ended with 1",
    )
    return WorkerReport(worker_id="w0", epoch=EPOCH, revision=9, running_vms=(vm,))


@pytest.mark.parametrize(("report", "after_ms"), [(a_report(VmPhase.FAILED), 10_000), (None, 15_000)])
def test_one_that_crashes_over_and_over_fails_at_its_start_deadline(report: WorkerReport | None, after_ms: int) -> None:
    """While it waits to be tried again it is not on its way to a first boot, so its clock goes on."""
    world = World(a_snapshot(w0=some_facts()))
    world.workers.clear()
    world.observations = world.observations.with_connection("w0", connected=True)
    world.publish(a_generation(1, a_spec("web", health=CHECKED, replicas=2)))
    while world.now_ms < after_ms:
        crashed = a_report(VmPhase.WAITING, restarts=3)
        world.observations = take_report(
            world.snapshot, world.observations, crashed, now_ms=world.now_ms, lost_after_ms=40_000
        )
        world.look()
        assert newest(world).state is RolloutState.RUNNING
    world.observations = take_report(
        world.snapshot, world.observations, report or crashed, now_ms=world.now_ms, lost_after_ms=40_000
    )
    world.look()
    assert newest(world).state is not RolloutState.RUNNING
    assert newest(world).reason.startswith("web-0: not healthy within 10 s: the hypervisor ended with 1")


def test_without_auto_rollback_the_rollout_pauses_and_nothing_goes_back() -> None:
    world = a_running_world()
    broken = web("2", update=UpdatePolicy(auto_rollback=False))
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    assert world.run() is RolloutState.PAUSED
    world.look()
    assert world.wanted() == {"web-0": 2, "web-1": 1, "db-0": 2}
    assert world.status().convergence is Convergence.PROGRESSING
    assert "paused" in world.status().reason


def test_a_newer_generation_supersedes_and_inherits_what_was_last_good() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    for _ in range(4):
        world.look()
    worse = web("3")
    world.bad.add(worse.content_hash)
    world.publish(a_generation(3, worse, db()))
    assert world.snapshot.rollouts[2].state is RolloutState.SUPERSEDED
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 1}


def test_removals_come_last_and_success_waits_until_the_removed_ones_are_gone() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2")))
    while newest(world).state is RolloutState.RUNNING:
        world.look()
        changed = [vm for vm in world.status().vms if vm.vm == "web" and vm.healthy and vm.generation == 2]
        assert "db-0" in world.wanted() or len(changed) == 2
    assert newest(world).state is RolloutState.SUCCEEDED
    assert "db-0" not in world.snapshot.placements
    assert world.snapshot.volume_bindings["db-0"]


def test_a_vm_that_was_removed_comes_back_to_the_worker_that_has_its_volume() -> None:
    world = a_running_world()
    home = world.snapshot.placements["db-0"].worker_id
    world.publish(a_generation(2, web()))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(3, web(), a_spec("aa", replicas=3), db()))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.snapshot.placements["db-0"].worker_id == home
    assert str(world.snapshot.placements["db-0"].reason) == f"volume on {home}"


def test_a_failed_first_generation_leaves_nothing_behind() -> None:
    world = World()
    broken = web()
    world.bad = {broken.content_hash}
    world.publish(a_generation(1, broken, db()))
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {}
    assert world.snapshot.last_good == {}


def test_a_rolled_back_generation_is_not_tried_again_but_a_new_commit_with_equal_paths_is() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    assert world.run() is RolloutState.ROLLED_BACK
    for _ in range(20):
        world.look()
    assert newest(world).state is RolloutState.ROLLED_BACK
    world.bad = set()
    world.publish(a_generation(3, broken, db()))
    assert world.run() is RolloutState.SUCCEEDED


def test_a_vm_that_does_not_fit_is_refused_with_what_was_missing_and_what_runs_is_left_alone() -> None:
    world = a_running_world()
    started = list(world.started)
    world.publish(a_generation(2, web(memory_mb=100_000), db()))
    assert world.run() is RolloutState.ROLLED_BACK
    assert "MiB of memory needs 100000" in newest(world).reason
    assert world.started == started


def test_a_vm_that_outgrows_its_worker_stops_there_before_it_starts_elsewhere() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=600), w1=some_facts(memory_mb=4096)))
    world.publish(a_generation(1, a_spec("web", health=CHECKED, memory_mb=512)))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.snapshot.placements["web-0"].worker_id == "w0"
    world.publish(a_generation(2, a_spec("web", "2", health=CHECKED, memory_mb=1024)))
    while newest(world).state is RolloutState.RUNNING:
        world.look()
        assert sum("web-0" in worker.vms for worker in world.workers.values()) <= 1
    assert newest(world).state is RolloutState.SUCCEEDED
    assert world.snapshot.placements["web-0"].worker_id == "w1"


def test_health_checks_of_a_vm_that_is_not_rebooted_are_waited_for_too() -> None:
    world = a_running_world()
    harder = db(health=Health(checks=(HealthCheck(type=CheckType.TCP, port=81),), start_deadline_ms=10_000))
    world.publish(a_generation(2, web(), harder))
    world.bad = {harder.content_hash}
    assert world.run() in (RolloutState.ROLLED_BACK, RolloutState.FAILED)
    assert world.wanted()["db-0"] == 1


def test_going_back_to_what_does_not_get_healthy_again_is_failed_and_not_rolled_back() -> None:
    world = a_running_world()
    world.bad = {web("2").content_hash, web("1").content_hash}
    world.publish(a_generation(2, web("2"), db()))
    assert world.run() is RolloutState.FAILED
    assert "did not get healthy again" in newest(world).reason


def test_a_lost_worker_makes_its_vms_unknown_and_moves_nothing() -> None:
    world = a_running_world()
    before = world.snapshot
    for worker in world.workers.values():
        worker.silent = True
    world.now_ms += 60_000
    world.look()
    assert world.snapshot == before
    assert {vm.control_plane_view for vm in world.status().vms} == {View.UNKNOWN}
    assert {worker.state.value for worker in world.status().workers} == {"lost"}


def test_a_restart_of_the_control_plane_expires_and_moves_nothing() -> None:
    world = a_running_world()
    before, started = world.snapshot, list(world.started)
    world.now_ms += 3_600_000
    world.restart()
    for _ in range(10):
        world.decide()
    assert world.snapshot == before
    assert {worker.state.value for worker in world.status().workers} == {"ready"}
    world.look()
    assert world.started == started
    assert world.status().convergence is Convergence.CONVERGED


def test_without_checks_a_vm_is_healthy_when_it_has_run_for_min_healthy_ms() -> None:
    world = World()
    world.publish(a_generation(1, a_spec("batch"), rollout=RolloutPolicy(min_healthy_ms=4000)))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.now_ms >= 4000


def test_old_generations_are_forgotten_but_never_one_that_is_placed_or_last_good() -> None:
    world = a_running_world()
    for number in range(2, 12):
        broken = web(str(number))
        world.bad.add(broken.content_hash)
        world.publish(a_generation(number, broken, db()))
        world.run()
    world.look()
    assert sorted(world.snapshot.generations) == [1, 7, 8, 9, 10, 11]


def test_the_table_has_no_way_out_of_an_outcome() -> None:
    assert not [state for state, _ in TRANSITIONS if state.is_outcome]
    reached = set(TRANSITIONS.values())
    assert reached == set(RolloutState)


def test_a_rollback_is_never_told_as_a_success() -> None:
    assert [key for key, state in TRANSITIONS.items() if state is RolloutState.SUCCEEDED] == [
        (RolloutState.RUNNING, Signal.COMPLETED)
    ]
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    world.run()
    signals = [event.signal for event in world.history if isinstance(event, RolloutMoved) and event.generation == 2]
    assert signals == [Signal.UNHEALTHY, Signal.RESTORED]


def test_an_old_report_of_going_back_does_not_fail_a_new_commit_with_equal_paths() -> None:
    world = World(a_snapshot(w0=some_facts()))
    world.publish(a_generation(1, web(), db()))
    assert world.run() is RolloutState.SUCCEEDED
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    while newest(world).state is not RolloutState.ROLLING_BACK:
        world.look_once()
    stale = world.workers["w0"].report()
    assert any(vm.reverted for vm in stale.running_vms)
    world.publish(a_generation(3, broken, db()))
    world.observations = take_report(
        world.snapshot, world.observations, stale, now_ms=world.now_ms, lost_after_ms=40_000
    )
    while world.decide():
        pass
    assert newest(world).state is RolloutState.RUNNING
    world.bad = set()
    assert world.run() is RolloutState.SUCCEEDED


def test_each_changed_vm_carries_the_last_good_one_as_its_fallback_and_an_unchanged_one_none() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), db(), a_spec("fresh", health=CHECKED)))
    world.look()
    entries = {
        entry.instance: entry
        for worker_id in world.snapshot.workers
        for entry in assignment_for(world.snapshot, worker_id).entries
    }
    fallback = entries["web-0"].fallback
    assert fallback is not None
    assert (fallback.generation, fallback.spec) == (1, Sealed.of(web()).text)
    assert entries["db-0"].fallback is None
    assert entries["fresh-0"].fallback is None
    assert entries["web-1"].generation == 1


def test_a_vm_without_auto_rollback_has_no_fallback_for_its_worker_to_boot() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2", update=UpdatePolicy(auto_rollback=False)), db()))
    world.look()
    home = world.snapshot.placements["web-0"].worker_id
    entries = {entry.instance: entry for entry in assignment_for(world.snapshot, home).entries}
    assert entries["web-0"].generation == 2
    assert entries["web-0"].fallback is None


def test_what_a_superseded_rollout_left_unproven_is_waited_for_although_it_is_not_changed_again() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db()))
    world.look()
    world.look()
    assert world.wanted()["web-0"] == 2
    world.publish(a_generation(3, broken, db(labels={"tier": "data"})))
    assert newest(world).kinds["web-0"] is ChangeKind.LIVE
    assert world.run() is RolloutState.ROLLED_BACK
    assert set(world.wanted().values()) == {1}


def test_last_good_generations_are_kept_while_many_newer_ones_supersede_each_other() -> None:
    world = World()
    world.publish(a_generation(1, web(replicas=1)))
    assert world.run() is RolloutState.SUCCEEDED
    for number in range(2, 12):
        worse = web(str(number), replicas=1)
        world.bad.add(worse.content_hash)
        world.publish(a_generation(number, worse))
        world.look()
        assert world.wanted() == {"web-0": number}
    assert sorted(world.snapshot.generations) == [1, 7, 8, 9, 10, 11]
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {"web-0": 1}


def test_what_others_depend_on_changes_first_and_a_cycle_does_not_hang() -> None:
    generation = a_generation(1, a_spec("a", depends_on=("c",)), a_spec("b"), a_spec("c", depends_on=("b",)))
    assert dependency_order(generation) == ("b-0", "c-0", "a-0")
    round_and_round = a_generation(1, a_spec("a", depends_on=("b",)), a_spec("b", depends_on=("a",)))
    assert set(dependency_order(round_and_round)) == {"a-0", "b-0"}


def test_a_vm_whose_volume_is_on_a_full_worker_is_refused_and_goes_nowhere_else() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=512), w1=some_facts(memory_mb=8192)))
    world.publish(a_generation(1, db(memory_mb=512)))
    assert world.run() is RolloutState.SUCCEEDED
    home = world.snapshot.placements["db-0"].worker_id
    assert home == "w0"
    world.publish(a_generation(2, a_spec("other", memory_mb=512, health=CHECKED)))
    assert world.run() is RolloutState.SUCCEEDED
    other = world.snapshot.placements["other-0"]
    in_its_place = {"other-0": replace(other, worker_id=home, address="10.77.0.9/24")}
    world.snapshot = replace(world.snapshot, placements=in_its_place)
    world.publish(a_generation(3, a_spec("other", memory_mb=512, health=CHECKED), db(memory_mb=512)))
    world.look()
    placement = world.snapshot.placements["db-0"]
    assert placement.worker_id == ""
    assert f"volume on {home}" in str(placement.reason)


def test_a_withdrawn_vm_keeps_its_room_until_its_worker_knows_and_reports_it_gone() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=512)))
    world.publish(a_generation(1, a_spec("old", memory_mb=512, health=CHECKED)))
    world.look()
    world.workers["w0"].deaf = True
    world.workers["w0"].vms.clear()
    world.publish(a_generation(2, a_spec("new", memory_mb=64, health=CHECKED)))
    world.publish(a_generation(3))
    for _ in range(6):
        world.look_once()
        assert "old-0" in world.snapshot.placements
    assert world.snapshot.placements["old-0"].leaving
    world.workers["w0"].deaf = False
    assert world.run() is RolloutState.SUCCEEDED
    assert world.snapshot.placements == {}


def test_a_vm_that_was_not_touched_and_is_not_heard_of_does_not_fail_the_walk_back() -> None:
    def zone(value: str) -> PlacementPolicy:
        return PlacementPolicy(require=(LabelExpression(key="zone", values=(value,)),))

    world = World(a_snapshot(w0=some_facts(labels={"zone": "a"}), w1=some_facts(labels={"zone": "b"})))
    world.publish(a_generation(1, web(placement=zone("a")), db(placement=zone("b"))))
    assert world.run() is RolloutState.SUCCEEDED
    world.workers["w1"].silent = True
    broken = web("2", placement=zone("a"))
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, db(placement=zone("b"))))
    world.now_ms += 60_000
    assert world.run() is RolloutState.ROLLED_BACK
