"""Holds: VMs pinned to an earlier generation, tried again by other commits, lifted by hand, kept alive and told."""

from typing import Any

import pytest

from control_plane.closures import live_closures
from control_plane.holds import decide_hold, decide_lift, list_holds
from control_plane.rollout.commands import decide_abort, decide_pause
from control_plane.state import ChangeKind, HoldRecord, Rollout
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, assignment_for, some_facts, used_on
from control_plane.tests.world import World
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, Wave
from schema.errors import Conflict, InvalidInput, NotFound
from schema.status import Convergence, RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)


def web(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("web", content, **{"replicas": 2, "health": CHECKED, **fields})


def db(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("db", content, **{"health": CHECKED, **fields})


def a_world_at_2() -> World:
    """Generation 1, then 2 with other contents; both got healthy."""
    world = World(a_snapshot(w0=some_facts(16, 16384), w1=some_facts(16, 16384)))
    world.publish(a_generation(1, web(), db()))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(2, web("2"), db("2")))
    assert world.run() is RolloutState.SUCCEEDED
    return world


def hold(world: World, generation: int, *vms: str, reason: str = "it leaks") -> HoldRecord:
    events = decide_hold(
        world.snapshot, vms=vms, generation=generation, reason=reason, actor="token:ann", wall_ms=world.now_ms
    )
    for event in events:
        world.change(event)
    return events[0].hold


def lift(world: World, found: HoldRecord) -> None:
    for event in decide_lift(world.snapshot, found.id, wall_ms=world.now_ms):
        world.change(event)


def for_a_while(world: World, looks: int = 30) -> None:
    for _ in range(looks):
        world.look()


def rollout_of(world: World) -> Rollout:
    rollout = world.snapshot.rollout
    assert rollout is not None
    return rollout


def test_a_held_vm_goes_back_to_the_generation_and_the_others_stay() -> None:
    world = a_world_at_2()
    hold(world, 1, "web")
    assert world.status().convergence is Convergence.PROGRESSING
    for_a_while(world)
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 2}
    assert world.snapshot.last_good == dict.fromkeys(world.wanted(), 2)
    status = world.status()
    assert status.convergence is Convergence.HELD
    assert status.reason == "web is held at generation 1 by token:ann: it leaks"
    assert all(vm.healthy for vm in status.vms)


def test_held_vms_change_one_at_a_time() -> None:
    world = a_world_at_2()
    hold(world, 1, "web")
    most = 0
    for _ in range(30):
        world.look()
        most = max(most, sum(not vm.healthy for vm in world.status().vms))
    assert most == 1


def test_a_hold_without_names_is_of_all_that_the_generation_has() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3")))
    assert world.run() is RolloutState.SUCCEEDED
    assert "db-0" not in world.wanted()
    found = hold(world, 2)
    assert found.against == {"web": web("3").content_hash, "db": ""}
    for_a_while(world)
    assert world.wanted() == {"web-0": 2, "web-1": 2, "db-0": 2}
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 3, "web-1": 3}


def test_replicas_that_the_generation_did_not_have_go_away_while_it_is_held() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3", replicas=3), db("2")))
    assert world.run() is RolloutState.SUCCEEDED
    found = hold(world, 2, "web")
    for_a_while(world)
    assert world.wanted() == {"web-0": 2, "web-1": 2, "db-0": 3}
    assert world.status().convergence is Convergence.HELD
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 3, "web-1": 3, "web-2": 3, "db-0": 3}


def test_a_commit_with_the_same_content_leaves_it_held_and_rolls_out_the_rest() -> None:
    world = a_world_at_2()
    hold(world, 1, "web")
    for_a_while(world)
    world.publish(a_generation(3, web("2", labels={"x": "y"}), db("3")))
    assert rollout_of(world).kinds == {
        "web-0": ChangeKind.HELD,
        "web-1": ChangeKind.HELD,
        "db-0": ChangeKind.CHANGED,
    }
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 3}
    assert rollout_of(world).reason == "generation 3 is healthy; held back: web"
    assert world.status().convergence is Convergence.HELD
    assert world.snapshot.last_good == {"web-0": 2, "web-1": 2, "db-0": 3}


def test_a_commit_with_another_content_that_gets_healthy_lifts_the_hold() -> None:
    world = a_world_at_2()
    found = hold(world, 1)
    for_a_while(world)
    world.publish(a_generation(3, web("3"), db("2")))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 3, "web-1": 3, "db-0": 1}
    assert world.snapshot.holds[found.id].vms == ("db",)
    world.publish(a_generation(4, web("3"), db("1")))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.snapshot.holds == {}
    assert world.status().convergence is Convergence.CONVERGED
    assert world.started.count(("db-0", db("1").content_hash)) == 2


def test_another_content_that_does_not_get_healthy_goes_back_to_the_hold() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    broken = web("3")
    world.bad = {broken.content_hash}
    world.publish(a_generation(3, broken, db("2")))
    world.look()
    entries = {
        entry.instance: entry
        for worker_id in world.workers
        for entry in assignment_for(world.snapshot, worker_id).entries
    }
    fallback = entries["web-0"].fallback
    assert fallback is not None
    assert fallback.generation == 1
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 2}
    assert world.snapshot.holds[found.id].vms == ("web",)
    status = world.status()
    assert status.convergence is Convergence.FAILED
    assert "web is held at generation 1" in status.reason


def test_a_held_vm_that_a_commit_drops_stays_until_the_hold_is_lifted() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "db")
    for_a_while(world)
    world.publish(a_generation(3, web("2")))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 3, "web-1": 3, "db-0": 1}
    assert world.status().convergence is Convergence.HELD
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 3, "web-1": 3}


def test_a_held_vm_has_no_other_generation_to_fall_back_to() -> None:
    world = a_world_at_2()
    hold(world, 1, "web")
    for_a_while(world)
    entries = [entry for name in world.workers for entry in assignment_for(world.snapshot, name).entries]
    assert {entry.instance: entry.fallback for entry in entries} == {"web-0": None, "web-1": None, "db-0": None}


def test_lifting_begins_the_newest_rollout_anew_gated_by_health() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    lift(world, found)
    assert rollout_of(world).state is RolloutState.RUNNING
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == dict.fromkeys(world.wanted(), 2)
    assert world.status().convergence is Convergence.CONVERGED
    hold(world, 1, "web")
    for_a_while(world)
    world.bad = {web("2").content_hash}
    lift(world, next(iter(world.snapshot.holds.values())))
    assert world.run() is RolloutState.FAILED


def test_lifting_after_a_rollback_goes_to_the_last_good_generation_and_not_to_the_bad_one() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    broken = db("3")
    world.bad = {broken.content_hash}
    world.publish(a_generation(3, web("2"), broken))
    assert world.run() is RolloutState.ROLLED_BACK
    reason = rollout_of(world).reason
    lift(world, found)
    assert world.run() is RolloutState.ROLLED_BACK
    assert rollout_of(world).reason == reason
    assert world.wanted() == dict.fromkeys(world.wanted(), 2)


def test_lifting_after_an_abort_by_an_operator_moves_nothing() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    world.publish(a_generation(3, web("2"), db("3")))
    for event in decide_abort(world.snapshot, 3, actor="uid:0", reason="", wall_ms=world.now_ms):
        world.change(event)
    wanted = world.wanted()
    home = world.snapshot.placements["web-0"].worker_id
    before = assignment_for(world.snapshot, home)
    lift(world, found)
    for_a_while(world)
    assert world.wanted() == wanted
    assert rollout_of(world).state is RolloutState.ABORTED
    after = assignment_for(world.snapshot, home)
    fallbacks = {entry.instance: entry.fallback for entry in after.entries}
    assert fallbacks["web-0"] is not None
    assert fallbacks["web-0"].generation == 2
    assert after.revision == before.revision + 1


# A hold while a rollout goes on.


def test_a_running_rollout_goes_on_without_the_vms_that_are_held() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3"), db("3"), rollout=RolloutPolicy(max_parallel=3)))
    world.look()
    assert set(world.wanted().values()) == {3}
    found = hold(world, 2, "web")
    assert world.run() is RolloutState.SUCCEEDED
    for_a_while(world)
    assert world.wanted() == {"web-0": 2, "web-1": 2, "db-0": 3}
    assert world.snapshot.last_good == {"web-0": 2, "web-1": 2, "db-0": 3}
    assert world.status().convergence is Convergence.HELD
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert set(world.wanted().values()) == {3}


def test_a_rollout_of_which_nothing_is_left_is_aborted_by_the_hold() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3"), db("2")))
    world.look()
    found = hold(world, 2)
    rollout = rollout_of(world)
    assert (rollout.state, rollout.actor) == (RolloutState.ABORTED, "token:ann")
    assert rollout.reason == "all that it changes is held at generation 2: it leaks"
    for_a_while(world)
    assert set(world.wanted().values()) == {2}
    assert world.status().convergence is Convergence.HELD
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert set(world.wanted().values()) == {3}


def test_a_hold_that_is_lifted_during_a_rollout_joins_it_as_its_last_wave() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    policy = RolloutPolicy(waves=(Wave(percent=100, gate=Gate.APPROVE),))
    world.publish(a_generation(3, web("2"), db("3"), rollout=policy))
    world.look()
    lift(world, found)
    waves = rollout_of(world).waves
    assert [(wave.instances, wave.gate) for wave in waves] == [
        (("db-0",), Gate.APPROVE),
        (("web-0", "web-1"), Gate.APPROVE),
    ]


def test_a_paused_rollout_stays_paused_when_one_of_its_vms_is_held() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3"), db("3")))
    world.look()
    for event in decide_pause(world.snapshot, 3, actor="uid:0", reason="", wall_ms=world.now_ms):
        world.change(event)
    hold(world, 1, "db")
    for_a_while(world)
    assert rollout_of(world).state is RolloutState.PAUSED
    assert world.wanted()["db-0"] == 1


def test_a_hold_during_a_walk_back_changes_where_its_vms_go_back_to() -> None:
    world = a_world_at_2()
    broken = web("3")
    world.bad = {broken.content_hash}
    world.publish(a_generation(3, broken, db("2")))
    while rollout_of(world).state is not RolloutState.ROLLING_BACK:
        world.look_once()
    hold(world, 1, "web")
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 2}


def test_a_newer_hold_takes_over_the_vms_of_an_older_one() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3"), db("3")))
    assert world.run() is RolloutState.SUCCEEDED
    older, newer = hold(world, 2), hold(world, 1, "web")
    assert world.snapshot.holds[older.id].vms == ("db",)
    assert older.id != newer.id
    for_a_while(world)
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 2}
    assert [one.id for one in list_holds(world.snapshot)] == sorted(
        (older.id, newer.id), key=(older.id, newer.id).index
    )
    hold(world, 2, "web")
    assert newer.id not in world.snapshot.holds


def test_a_hold_keeps_its_generation_and_its_closures_while_many_newer_ones_come() -> None:
    world = a_world_at_2()
    hold(world, 1, "web")
    for_a_while(world)
    for number in range(3, 10):
        world.publish(a_generation(number, web("2"), db(str(number))))
        assert world.run() is RolloutState.SUCCEEDED
    world.look()
    assert 1 in world.snapshot.generations
    assert set(web("1").closure_paths) <= set(live_closures(world.snapshot, world.observations).paths)


def test_a_hold_that_nothing_runs_yet_keeps_its_generation_too() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=1024)))
    world.publish(a_generation(1, db(memory_mb=1024)))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(2, db("2", memory_mb=512)))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(3, db("2", memory_mb=512), web(replicas=1, memory_mb=512)))
    assert world.run() is RolloutState.SUCCEEDED
    hold(world, 1, "db")
    for_a_while(world, 4)
    assert world.wanted() == {"db-0": 3, "web-0": 3}
    status = world.status()
    assert status.convergence is Convergence.PROGRESSING
    assert status.reason.endswith("; db-0 not there yet")
    for number in range(4, 12):
        world.publish(a_generation(number, db("2", memory_mb=512), web(str(number), replicas=1, memory_mb=512)))
        assert world.run() is RolloutState.SUCCEEDED
    world.look()
    assert 1 in world.snapshot.generations


def test_a_hold_leaves_no_spare_room_reserved() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=2048)))
    world.publish(a_generation(1, db(memory_mb=256)))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(2, db("2", memory_mb=1024)))
    assert world.run() is RolloutState.SUCCEEDED
    hold(world, 1, "db")
    for_a_while(world)
    assert used_on(world.snapshot, "w0").memory_mb == 256


def test_holds_that_cannot_be_are_refused_with_what_is_kept() -> None:
    world = a_world_at_2()
    for number in range(3, 9):
        world.publish(a_generation(number, web(str(number)), db(str(number))))
        assert world.run() is RolloutState.SUCCEEDED
    world.look()
    with pytest.raises(Conflict, match=r"closures of generation 2 are not kept any more; kept are 4, 5, 6, 7$"):
        hold(world, 2)
    with pytest.raises(Conflict, match="is the newest"):
        hold(world, 8)
    with pytest.raises(NotFound, match="the newest is 8"):
        hold(world, 99)
    with pytest.raises(NotFound, match="has no VM 'nobody'"):
        hold(world, 7, "web", "nobody")
    with pytest.raises(InvalidInput, match="at most 500"):
        hold(world, 7, reason="x" * 501)
    with pytest.raises(NotFound, match="in force: none"):
        decide_lift(world.snapshot, "h1", wall_ms=0)
    with pytest.raises(NotFound, match="nothing has been published"):
        decide_hold(a_snapshot(), vms=(), generation=1, reason="", actor="", wall_ms=0)


def test_what_fails_within_the_budget_on_its_own_last_good_generation_stays_there_and_is_told() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("3"), db("2"), rollout=RolloutPolicy(max_failures=2)))
    assert world.run() is RolloutState.SUCCEEDED
    found = hold(world, 1, "web")
    for_a_while(world)
    world.bad = {web("3").content_hash}
    lift(world, found)
    assert world.run() is RolloutState.SUCCEEDED
    assert set(rollout_of(world).failed) == {"web-0", "web-1"}
    assert world.wanted() == {"web-0": 3, "web-1": 3, "db-0": 3}
    assert world.status().convergence is Convergence.FAILED


def test_another_content_that_fails_within_the_budget_leaves_its_vm_held() -> None:
    world = a_world_at_2()
    found = hold(world, 1, "web")
    for_a_while(world)
    broken = web("3")
    world.bad = {broken.content_hash}
    world.publish(a_generation(3, broken, db("3"), rollout=RolloutPolicy(max_failures=2)))
    assert world.run() is RolloutState.SUCCEEDED
    for_a_while(world)
    assert world.snapshot.holds[found.id].vms == ("web",)
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 3}
    assert "web is held at generation 1" in world.status().reason


def test_a_hold_does_not_abort_a_rollout_that_had_nothing_to_do_anyway() -> None:
    world = a_world_at_2()
    world.publish(a_generation(3, web("2"), db("2")))
    hold(world, 1, "web")
    assert world.run() is RolloutState.SUCCEEDED
    for_a_while(world)
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 3}
