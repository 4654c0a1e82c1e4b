"""Clocks follow what is wanted, reports, silence and time, although only those are judged that can have changed."""

from typing import Any

from control_plane.rollout.clocks import take_report, tick
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World
from schema.blueprint import CheckType, Health, HealthCheck
from schema.status import RolloutState, WorkerReport

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)
LOST_AFTER = {"lost_after_ms": 40_000}


def a_world(**fields: Any) -> World:
    world = World(a_snapshot(w0=some_facts()))
    for worker in world.workers.values():
        worker.pull_ms = fields.get("pull_ms", 0)
    world.publish(a_generation(1, a_spec("web", replicas=2, health=CHECKED)))
    return world


def a_healthy_world() -> World:
    world = a_world()
    assert world.run() is RolloutState.SUCCEEDED
    world.look()
    return world


def test_where_nothing_can_have_changed_the_observations_stay_the_same_object() -> None:
    world = a_healthy_world()
    before = tick(world.snapshot, world.observations, now_ms=world.now_ms, **LOST_AFTER)
    assert tick(world.snapshot, before, now_ms=world.now_ms + 1000, **LOST_AFTER) is before
    report = world.workers["w0"].report()
    after = take_report(world.snapshot, before, report, now_ms=world.now_ms + 1000, **LOST_AFTER)
    assert after.clocks is before.clocks


def test_silence_alone_ends_the_health_of_a_workers_vms_and_its_next_report_begins_it_anew() -> None:
    world = a_healthy_world()
    later = world.now_ms + 60_000
    silent = tick(world.snapshot, world.observations, now_ms=later, **LOST_AFTER)
    assert {name: (clock.healthy, clock.since_ms) for name, clock in silent.clocks.items()} == {
        "web-0": (False, later),
        "web-1": (False, later),
    }
    report = world.workers["w0"].report()
    back = take_report(world.snapshot, silent, report, now_ms=later + 500, **LOST_AFTER)
    back = tick(world.snapshot, back, now_ms=later + 600, **LOST_AFTER)
    assert {(clock.healthy, clock.since_ms) for clock in back.clocks.values()} == {(True, later + 500)}


def test_while_a_pull_lasts_the_start_deadline_moves_on_without_reports() -> None:
    world = a_world(pull_ms=10**6)
    for _ in range(4):
        world.look()
    later = world.now_ms + 30_000
    moved = tick(world.snapshot, world.observations, now_ms=later, **LOST_AFTER)
    assert {clock.since_ms for clock in moved.clocks.values()} == {later}


def test_a_vm_that_vanishes_from_a_report_is_not_healthy_any_more() -> None:
    world = a_healthy_world()
    before = world.workers["w0"].report()
    fewer = before.model_copy(update={"running_vms": before.running_vms[:1]})
    assert isinstance(fewer, WorkerReport)
    after = take_report(world.snapshot, world.observations, fewer, now_ms=world.now_ms, **LOST_AFTER)
    assert {name: clock.healthy for name, clock in after.clocks.items()} == {"web-0": True, "web-1": False}


def test_clocks_of_vms_that_went_are_dropped() -> None:
    world = a_healthy_world()
    world.publish(a_generation(2, a_spec("web", health=CHECKED)))
    assert world.run() is RolloutState.SUCCEEDED
    world.look()
    assert set(world.observations.clocks) == {"web-0"}
