"""Waves, gates, delays, jitter, budgets of failures, pauses and aborts, on the real core and workers in memory."""

from dataclasses import replace
from typing import Any

import pytest

from control_plane.rollout.commands import decide_abort, decide_pause, decide_promote, decide_resume
from control_plane.rollout.kinds import kinds_of
from control_plane.rollout.status import list_rollouts, rollout_status
from control_plane.rollout.waves import jitter_ms, waves_of
from control_plane.state import ChangeKind, Rollout
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, UpdatePolicy, Wave
from schema.errors import Conflict, InvalidInput, NotFound
from schema.operations import RolloutStatus, WaveState
from schema.status import Convergence, RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)


def web(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("web", content, **{"replicas": 4, "health": CHECKED, **fields})


def db(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("db", content, **{"health": CHECKED, **fields})


def in_waves(*waves: Wave, **fields: Any) -> RolloutPolicy:
    return RolloutPolicy(waves=waves, **{"min_healthy_ms": 1000, **fields})


CANARY = in_waves(Wave(percent=25), Wave(percent=100, gate=Gate.APPROVE))


def a_running_world(*specs: VmSpec) -> World:
    world = World(a_snapshot(w0=some_facts(16, 16384), w1=some_facts(16, 16384)))
    world.publish(a_generation(1, *(specs or (web(),))))
    assert world.run() is RolloutState.SUCCEEDED
    return world


def rollout_of(world: World) -> Rollout:
    rollout = world.snapshot.rollout
    assert rollout is not None
    return rollout


def status_of(world: World) -> RolloutStatus:
    return rollout_status(
        world.snapshot, world.observations, rollout_of(world), now_ms=world.now_ms, wall_ms=world.now_ms
    )


def for_a_while(world: World, looks: int = 20) -> None:
    for _ in range(looks):
        world.look()


def do(world: World, events: Any) -> None:
    for event in events:
        world.change(event)


# Who is in which wave.


def divided(policy: RolloutPolicy, *specs: VmSpec) -> list[tuple[str, ...]]:
    generation = a_generation(2, *specs, rollout=policy)
    return [wave.instances for wave in waves_of(generation, dict.fromkeys(generation.instances, ChangeKind.CHANGED))]


def test_a_percentage_is_of_all_that_changes_and_replicas_stay_in_order() -> None:
    policy = in_waves(Wave(percent=10), Wave(percent=50), Wave(percent=100))
    assert divided(policy, web(replicas=10)) == [
        ("web-0",),
        ("web-1", "web-2", "web-3", "web-4", "web-5"),
        ("web-6", "web-7", "web-8", "web-9"),
    ]


def test_a_percentage_is_not_of_what_is_left() -> None:
    policy = in_waves(Wave(percent=50), Wave(percent=50))
    assert [len(wave) for wave in divided(policy, web(replicas=10))] == [5, 5]


def test_a_selector_takes_the_vms_with_its_labels_and_the_rest_is_a_last_wave() -> None:
    staging = a_spec("staging", labels={"env": "staging", "tier": "web"})
    prod = a_spec("prod", labels={"env": "prod"})
    policy = in_waves(Wave(selector={"env": "staging"}), Wave(selector={"env": "prod"}, gate=Gate.APPROVE))
    assert divided(policy, prod, staging, a_spec("other")) == [("staging-0",), ("prod-0",), ("other-0",)]


def test_what_others_depend_on_is_in_the_earlier_wave() -> None:
    policy = in_waves(Wave(percent=50))
    assert divided(policy, a_spec("app", depends_on=("db",)), a_spec("db")) == [("db-0",), ("app-0",)]


def test_a_wave_with_nothing_in_it_is_left_out_with_its_gate() -> None:
    policy = in_waves(Wave(selector={"env": "none"}, gate=Gate.APPROVE), Wave(percent=100))
    assert divided(policy, web(replicas=1)) == [("web-0",)]
    assert divided(policy) == []


def test_without_waves_all_that_changes_is_one() -> None:
    assert divided(RolloutPolicy(), web(replicas=2), db()) == [("db-0", "web-0", "web-1")]


def test_what_is_the_same_is_in_no_wave() -> None:
    world = a_running_world(web(), db())
    generation = a_generation(2, web(), db("2"), rollout=CANARY)
    assert [wave.instances for wave in waves_of(generation, kinds_of(world.snapshot, generation))] == [("db-0",)]


# One after the other.


def test_a_wave_begins_when_the_one_before_it_is_healthy_for_long_enough() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=in_waves(Wave(percent=25), Wave(percent=75), max_parallel=4)))
    world.look()
    assert world.wanted() == {"web-0": 2, "web-1": 1, "web-2": 1, "web-3": 1}
    while world.wanted()["web-1"] == 1:
        first = next(vm for vm in world.status().vms if vm.instance == "web-0")
        world.look()
    assert first.healthy
    assert world.wanted() == dict.fromkeys(world.wanted(), 2)
    assert world.run() is RolloutState.SUCCEEDED
    assert [wave.finished_ms is not None for wave in rollout_of(world).waves] == [True, True]


def test_new_vms_keep_to_their_wave_too() -> None:
    world = a_running_world(db())
    prod = a_spec("prod", labels={"env": "prod"}, health=CHECKED)
    policy = in_waves(Wave(selector={"env": "test"}), Wave(selector={"env": "prod"}, gate=Gate.APPROVE))
    world.publish(a_generation(2, db(), prod, a_spec("test", labels={"env": "test"}, health=CHECKED), rollout=policy))
    for_a_while(world)
    assert world.wanted() == {"db-0": 2, "test-0": 2}
    do(world, decide_promote(world.snapshot, 2, actor="uid:0"))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"db-0": 2, "test-0": 2, "prod-0": 2}


def test_a_gate_waits_for_an_operator_and_says_so() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    for_a_while(world, 100)
    assert world.wanted() == {"web-0": 2, "web-1": 1, "web-2": 1, "web-3": 1}
    status = world.status()
    assert status.convergence is Convergence.PROGRESSING
    assert status.reason == "generation 2 is being rolled out: waiting for approval of wave 2 of 2"
    first, second = status_of(world).waves
    assert (first.state, first.healthy, first.instances) == (WaveState.DONE, 1, ("web-0",))
    assert (second.state, second.gate, second.waits_for) == (
        WaveState.WAITING,
        "approve",
        "waiting for approval of wave 2 of 2",
    )
    do(world, decide_promote(world.snapshot, 2, actor="token:ann"))
    assert world.run() is RolloutState.SUCCEEDED
    assert rollout_of(world).waves[1].promoted_by == "token:ann"


def test_a_wave_that_is_not_next_says_which_one_it_waits_for() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    world.look()
    assert [wave.waits_for for wave in status_of(world).waves] == ["", "wave 1 has not finished"]


def test_nothing_changes_before_the_approval_of_a_first_wave() -> None:
    world = a_running_world()
    before = world.wanted()
    world.publish(a_generation(2, web("2"), db(), rollout=in_waves(Wave(percent=100, gate=Gate.APPROVE))))
    for_a_while(world)
    assert world.wanted() == before


def test_a_delay_counts_from_the_end_of_the_wave_before_it_and_survives_a_restart() -> None:
    world = a_running_world()
    policy = in_waves(Wave(percent=25), Wave(percent=75, delay_ms=60_000), max_parallel=4)
    world.publish(a_generation(2, web("2"), rollout=policy))
    while rollout_of(world).waves[0].finished_ms is None:
        world.look()
    finished = rollout_of(world).waves[0].finished_ms
    assert finished is not None
    world.now_ms += 20_000
    world.restart()
    world.look()
    assert world.status().reason == "generation 2 is being rolled out: wave 2 of 2 opens in 39 s"
    while rollout_of(world).waves[1].opened_ms is None:
        world.look()
    opened = rollout_of(world).waves[1].opened_ms
    assert opened is not None
    assert 60_000 <= opened - finished < 60_000 + 2 * world.pace_ms
    assert world.run() is RolloutState.SUCCEEDED


def test_a_clock_that_was_set_back_by_a_day_does_not_make_a_delay_a_day_longer() -> None:
    world = a_running_world()
    policy = in_waves(Wave(percent=25), Wave(percent=75, delay_ms=60_000), max_parallel=4)
    world.publish(a_generation(2, web("2"), rollout=policy))
    while rollout_of(world).waves[0].finished_ms is None:
        world.look()
    first, second = rollout_of(world).waves
    ahead = replace(first, finished_ms=world.now_ms + 86_400_000)
    rollout = replace(rollout_of(world), waves=(ahead, second))
    world.snapshot = replace(world.snapshot, rollouts={**world.snapshot.rollouts, 2: rollout})
    assert "opens in 60 s" in status_of(world).waves[1].waits_for
    since = world.now_ms
    while rollout_of(world).waves[1].opened_ms is None:
        world.look()
    assert 60_000 <= world.now_ms - since <= 70_000
    assert world.run() is RolloutState.SUCCEEDED


def test_the_reconciler_asks_to_be_woken_when_a_delay_is_over() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=in_waves(Wave(percent=100, delay_ms=7_000))))
    world.look()
    assert world.plan().recheck_ms == 7_000 - (world.now_ms - rollout_of(world).started_ms)


# Jitter.


def test_jitter_is_the_same_for_an_instance_and_a_generation_and_spread_over_others() -> None:
    drawn = [jitter_ms(f"web-{n}", "0" * 64, most=1000) for n in range(200)]
    assert drawn == [jitter_ms(f"web-{n}", "0" * 64, most=1000) for n in range(200)]
    assert min(drawn) >= 0
    assert max(drawn) <= 1000
    assert len(set(drawn)) > 100
    assert jitter_ms("web-0", "1" * 64, most=1000) != drawn[0]


def test_new_vms_start_when_their_jitter_says_and_a_restart_does_not_change_it() -> None:
    ends = []
    for restarts in (False, True):
        world = World(a_snapshot(w0=some_facts(16, 16384)))
        world.publish(a_generation(1, web(), rollout=in_waves(jitter_ms=20_000)))
        wanted_at: dict[str, int] = {}
        for _ in range(60):
            if restarts:
                world.restart()
            for instance in world.wanted():
                wanted_at.setdefault(instance, world.now_ms)
            world.look()
        ends.append(wanted_at)
    assert ends[0] == ends[1]
    assert len(set(ends[0].values())) > 1
    assert world.run() is RolloutState.SUCCEEDED


def test_with_jitter_replicas_still_change_in_order() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=in_waves(jitter_ms=10_000, max_parallel=4)))
    order: list[str] = []
    while rollout_of(world).state is RolloutState.RUNNING:
        order += [name for name, number in world.wanted().items() if number == 2 and name not in order]
        world.look()
    assert rollout_of(world).state is RolloutState.SUCCEEDED
    assert order == ["web-0", "web-1", "web-2", "web-3"]


def test_a_clock_that_was_set_back_does_not_stop_a_wave() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=in_waves(jitter_ms=10_000, max_parallel=4)))
    world.look()
    opened = rollout_of(world).waves[0]
    early = replace(opened, opened_ms=world.now_ms + 86_400_000)
    world.snapshot = replace(
        world.snapshot, rollouts={**world.snapshot.rollouts, 2: replace(rollout_of(world), waves=(early,))}
    )
    world.look()
    assert world.wanted() == dict.fromkeys(world.wanted(), 2)


# The budget of failures.


def one_bad_of_two(world: World, *, max_failures: int, **fields: Any) -> None:
    """Generation 2 changes db and web; only web's new content is bad, and web has two replicas."""
    broken = web("2", replicas=2, **fields)
    world.bad = {broken.content_hash}
    policy = in_waves(max_failures=max_failures, max_parallel=3)
    world.publish(a_generation(2, broken, db("2"), rollout=policy))


def test_within_the_budget_what_failed_goes_back_by_itself_and_the_rollout_goes_on_and_says_so() -> None:
    world = a_running_world(web(replicas=2), db())
    one_bad_of_two(world, max_failures=2)
    assert world.run() is RolloutState.SUCCEEDED
    for_a_while(world, 4)
    assert world.wanted() == {"web-0": 1, "web-1": 1, "db-0": 2}
    assert world.snapshot.last_good == {"web-0": 1, "web-1": 1, "db-0": 2}
    rollout = rollout_of(world)
    assert set(rollout.failed) == {"web-0", "web-1"}
    assert rollout.reason.startswith("generation 2 is healthy but for 2 of 3 VMs (maxFailures is 2): web-")
    assert "port 80" in rollout.reason
    status = world.status()
    assert status.convergence is Convergence.FAILED
    assert status.reason == rollout.reason
    assert all(vm.healthy for vm in status.vms)
    assert status_of(world).waves[0].failed == 2


def test_more_failures_than_the_budget_take_everything_back() -> None:
    world = a_running_world(web(replicas=2), db())
    before = world.wanted()
    one_bad_of_two(world, max_failures=1)
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == before
    assert "2 failed, and maxFailures is 1" in rollout_of(world).reason
    assert [wave.state for wave in status_of(world).waves] == [WaveState.ABANDONED]
    assert set(status_of(world).failed) == {"web-0", "web-1"}


def test_a_new_vm_that_fails_within_the_budget_is_taken_away() -> None:
    world = a_running_world(db())
    broken = a_spec("fresh", health=CHECKED)
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, db("2"), broken, rollout=in_waves(max_failures=1)))
    assert world.run() is RolloutState.SUCCEEDED
    for_a_while(world, 4)
    assert world.wanted() == {"db-0": 2}
    assert world.snapshot.last_good == {"db-0": 2}


def test_what_failed_within_the_budget_is_tried_again_by_the_next_generation() -> None:
    world = a_running_world(web(replicas=2), db())
    one_bad_of_two(world, max_failures=2)
    assert world.run() is RolloutState.SUCCEEDED
    world.bad = set()
    world.publish(a_generation(3, web("2", replicas=2), db("2")))
    assert world.run() is RolloutState.SUCCEEDED
    assert set(world.wanted().values()) == {3}
    assert world.status().convergence is Convergence.CONVERGED


def test_one_that_fits_nowhere_is_within_the_budget_too() -> None:
    world = a_running_world(web(replicas=1), db())
    huge = web("2", replicas=1, memory_mb=100_000)
    world.publish(a_generation(2, huge, db("2"), rollout=in_waves(max_failures=1)))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 1, "db-0": 2}
    assert "no worker has room" in rollout_of(world).failed["web-0"]


def test_what_is_not_to_go_back_by_itself_stays_within_the_budget_and_pauses_beyond_it() -> None:
    world = a_running_world(web(replicas=2), db())
    one_bad_of_two(world, max_failures=2, update=UpdatePolicy(auto_rollback=False))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.wanted() == {"web-0": 2, "web-1": 2, "db-0": 2}
    assert world.status().convergence is Convergence.FAILED
    world = a_running_world(web(replicas=2), db())
    one_bad_of_two(world, max_failures=1, update=UpdatePolicy(auto_rollback=False))
    assert world.run() is RolloutState.PAUSED


def test_while_failed_ones_go_back_no_more_than_max_parallel_are_disturbed() -> None:
    world = a_running_world(web(replicas=4))
    broken = web("2", replicas=4)
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken, rollout=in_waves(max_failures=4, max_parallel=1)))
    most = 0
    while rollout_of(world).state is RolloutState.RUNNING:
        world.look()
        most = max(most, sum(not vm.healthy for vm in world.status().vms))
    assert rollout_of(world).state is RolloutState.SUCCEEDED
    assert most == 1


# Pause, resume, promote, abort.


def test_a_paused_rollout_begins_nothing_and_says_by_whom_and_why() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2")))
    world.look()
    do(world, decide_pause(world.snapshot, 2, actor="token:ann", reason="looks slow\x1b[31m", wall_ms=world.now_ms))
    wanted = world.wanted()
    for_a_while(world, 60)
    assert world.wanted() == wanted
    assert world.status().reason == "the rollout of generation 2 is paused by token:ann: looks slow"
    assert world.status().convergence is Convergence.PROGRESSING
    assert status_of(world).reason == "by token:ann: looks slow"
    assert decide_pause(world.snapshot, 2, actor="x", reason="", wall_ms=0) == ()
    do(world, decide_resume(world.snapshot, 2, wall_ms=world.now_ms))
    assert rollout_of(world).reason == ""
    assert world.run() is RolloutState.SUCCEEDED


def test_what_fails_during_a_pause_is_told_and_gets_another_try_when_it_is_resumed() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken))
    world.look()
    do(world, decide_pause(world.snapshot, 2, actor="uid:0", reason="", wall_ms=world.now_ms))
    for_a_while(world, 60)
    assert set(rollout_of(world).failed) == {"web-0"}
    assert rollout_of(world).state is RolloutState.PAUSED
    boots = world.started.count(("web-0", broken.content_hash))
    world.bad = set()
    do(world, decide_resume(world.snapshot, 2, wall_ms=world.now_ms))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.started.count(("web-0", broken.content_hash)) == boots + 1


def test_one_without_auto_rollback_is_tried_again_with_a_whole_start_deadline() -> None:
    world = a_running_world()
    broken = web("2", update=UpdatePolicy(auto_rollback=False))
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken))
    assert world.run() is RolloutState.PAUSED
    assert set(rollout_of(world).failed) == {"web-0"}
    do(world, decide_resume(world.snapshot, 2, wall_ms=world.now_ms))
    assert rollout_of(world).failed == {}
    resumed = world.now_ms
    assert world.run() is RolloutState.PAUSED
    assert world.now_ms - resumed >= CHECKED.start_deadline_ms
    world.bad = set()
    do(world, decide_resume(world.snapshot, 2, wall_ms=world.now_ms))
    assert world.run() is RolloutState.SUCCEEDED


def test_aborting_ends_it_where_it_is() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    for_a_while(world)
    do(world, decide_abort(world.snapshot, 2, actor="uid:0", reason="not now", wall_ms=world.now_ms))
    wanted = world.wanted()
    assert wanted == {"web-0": 2, "web-1": 1, "web-2": 1, "web-3": 1}
    for_a_while(world)
    assert world.wanted() == wanted
    assert world.snapshot.last_good == dict.fromkeys(wanted, 1)
    assert (rollout_of(world).state, rollout_of(world).ended_ms > 0) == (RolloutState.ABORTED, True)
    status = world.status()
    assert status.convergence is Convergence.FAILED
    assert status.reason == "generation 2 was aborted by uid:0: not now"
    world.publish(a_generation(3, web("2")))
    assert rollout_of(world).kinds["web-0"] is ChangeKind.LIVE
    assert world.run() is RolloutState.SUCCEEDED


def test_a_walk_back_can_be_aborted_but_not_paused() -> None:
    world = a_running_world()
    broken = web("2")
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, broken))
    while rollout_of(world).state is not RolloutState.ROLLING_BACK:
        world.look_once()
    with pytest.raises(Conflict, match="cannot be paused"):
        decide_pause(world.snapshot, 2, actor="uid:0", reason="", wall_ms=0)
    do(world, decide_abort(world.snapshot, 2, actor="uid:0", reason="", wall_ms=world.now_ms))
    assert rollout_of(world).state is RolloutState.ABORTED


def test_a_newer_generation_supersedes_a_paused_one_and_one_that_waits() -> None:
    world = a_running_world()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    for_a_while(world)
    world.publish(a_generation(3, web("3"), rollout=CANARY))
    assert world.snapshot.rollouts[2].state is RolloutState.SUPERSEDED
    assert world.snapshot.rollouts[2].ended_ms == world.snapshot.generations[3].published_at_ms
    do(world, decide_pause(world.snapshot, 3, actor="uid:0", reason="", wall_ms=world.now_ms))
    world.publish(a_generation(4, web("4")))
    assert world.snapshot.rollouts[3].state is RolloutState.SUPERSEDED
    assert world.run() is RolloutState.SUCCEEDED


def test_commands_that_do_not_fit_are_refused_with_what_is() -> None:
    world = a_running_world()
    with pytest.raises(Conflict, match="has ended, succeeded"):
        decide_pause(world.snapshot, 1, actor="", reason="", wall_ms=0)
    with pytest.raises(Conflict, match="has ended"):
        decide_abort(world.snapshot, 1, actor="", reason="", wall_ms=0)
    with pytest.raises(NotFound, match="the newest is 1"):
        decide_resume(world.snapshot, 7, wall_ms=0)
    with pytest.raises(NotFound, match="nothing has been published"):
        decide_resume(a_snapshot(), 7, wall_ms=0)
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    world.look()
    with pytest.raises(Conflict, match="not paused"):
        decide_resume(world.snapshot, 2, wall_ms=0)
    with pytest.raises(Conflict, match="no wave of generation 2 waits for approval: wave 1 of 2 is open"):
        decide_promote(world.snapshot, 2, actor="")
    with pytest.raises(InvalidInput, match="at most 500"):
        decide_pause(world.snapshot, 2, actor="", reason="x" * 501, wall_ms=0)
    do(world, decide_pause(world.snapshot, 2, actor="", reason="", wall_ms=0))
    with pytest.raises(Conflict, match="paused: no wave opens"):
        decide_promote(world.snapshot, 2, actor="")


def test_rollouts_are_listed_the_newest_first_and_in_pages() -> None:
    world = a_running_world()
    for number in (2, 3):
        world.publish(a_generation(number, web(str(number))))
        world.run()

    def listed(*, limit: int, before: int) -> list[int]:
        moment = {"now_ms": world.now_ms, "wall_ms": world.now_ms}
        found = list_rollouts(world.snapshot, world.observations, limit=limit, before=before, **moment)
        return [one.generation for one in found]

    assert listed(limit=100, before=0) == [3, 2, 1]
    assert listed(limit=1, before=3) == [2]
    first = list_rollouts(world.snapshot, world.observations, limit=9, before=2, now_ms=0, wall_ms=0)[0]
    assert (first.waves[0].state, first.waves[0].healthy) == (WaveState.DONE, 4)


def test_one_that_falls_ill_while_the_dropped_ones_go_keeps_the_rollout_from_succeeding() -> None:
    """Removals come last, and come back too."""
    world = a_running_world(web(replicas=1), db())
    world.publish(a_generation(2, web("2", replicas=1)))
    while world.wanted() != {"web-0": 2}:
        world.look_once()
    for worker in world.workers.values():
        worker.deaf = True
    world.bad = {web("2").content_hash}
    for_a_while(world, 4)
    assert rollout_of(world).state is RolloutState.RUNNING
    for worker in world.workers.values():
        worker.deaf = False
    assert world.run() is RolloutState.ROLLED_BACK
    assert world.wanted() == {"web-0": 1, "db-0": 1}


def test_what_is_tried_again_holds_the_next_wave_back_until_it_is_well() -> None:
    world = a_running_world(web(replicas=2))
    broken = web("2", replicas=2)
    world.bad = {broken.content_hash}
    policy = in_waves(Wave(percent=50), Wave(percent=50, gate=Gate.APPROVE), max_failures=1)
    world.publish(a_generation(2, broken, rollout=policy))
    while rollout_of(world).waves[0].finished_ms is None:
        world.look()
    assert set(rollout_of(world).failed) == {"web-0"}
    do(world, decide_pause(world.snapshot, 2, actor="uid:0", reason="", wall_ms=world.now_ms))
    world.bad = set()
    do(world, decide_resume(world.snapshot, 2, wall_ms=world.now_ms))
    with pytest.raises(Conflict, match="wave 1 of 2 is open"):
        decide_promote(world.snapshot, 2, actor="uid:0")
    while rollout_of(world).waves[0].finished_ms is None:
        world.look()
    assert world.wanted() == {"web-0": 2, "web-1": 1}
    do(world, decide_promote(world.snapshot, 2, actor="uid:0"))
    assert world.run() is RolloutState.SUCCEEDED
    assert rollout_of(world).failed == {}
