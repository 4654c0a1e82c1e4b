"""What people are told of rollouts and holds: events in order, and the four words with their reasons."""

from typing import Any

from control_plane.events import StateEvent
from control_plane.holds import decide_hold, decide_lift
from control_plane.narrate import state_events
from control_plane.rollout.commands import decide_pause, decide_promote
from control_plane.rollout.waves import waits_for_approval
from control_plane.store.rows import snapshot_of
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.kept import Kept, rows_by_column
from control_plane.tests.world import World
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, Wave
from schema.status import Convergence, EventKind, RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=3_000)
CANARY = RolloutPolicy(
    min_healthy_ms=500, max_failures=1, waves=(Wave(percent=30), Wave(percent=100, gate=Gate.APPROVE))
)


def web(content: str = "1", **fields: Any) -> VmSpec:
    return a_spec("web", content, **{"replicas": 3, "health": CHECKED, **fields})


class Telling(World):
    """Keeps what is told of each change, of rollouts alone."""

    def __init__(self) -> None:
        super().__init__(a_snapshot(w0=some_facts(16, 16384)))
        self.told: list[tuple[str, str]] = []

    def change(self, event: StateEvent) -> None:
        before = self.snapshot
        super().change(event)
        events = state_events(before, self.snapshot, wall_ms=self.now_ms)
        self.told += [(one.subject, one.message) for one in events if one.kind is EventKind.ROLLOUT]


def a_world_at_1() -> Telling:
    world = Telling()
    world.publish(a_generation(1, web()))
    assert world.run() is RolloutState.SUCCEEDED
    assert world.told == [("1", "running"), ("1", "succeeded: generation 1 is healthy")]
    world.told.clear()
    return world


def test_the_waves_of_a_canary_and_who_approved_it_are_told_in_order() -> None:
    world = a_world_at_1()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    while world.snapshot.rollout is None or waits_for_approval(world.snapshot.rollout) is None:
        world.look()
    for event in decide_promote(world.snapshot, 2, actor="token:ann"):
        world.change(event)
    assert world.run() is RolloutState.SUCCEEDED
    assert world.told == [
        ("2", "running"),
        ("2", "wave 1 of 2 opens: 1 VMs"),
        ("2", "wave 1 of 2 is done"),
        ("2", "wave 2 of 2 is approved by token:ann"),
        ("2", "wave 2 of 2 opens: 2 VMs"),
        ("2", "wave 2 of 2 is done"),
        ("2", "succeeded: generation 2 is healthy"),
    ]


def test_a_failure_within_the_budget_is_told_and_shown_while_the_rollout_goes_on() -> None:
    world = a_world_at_1()
    broken = a_spec("fresh", health=CHECKED)
    world.bad = {broken.content_hash}
    world.publish(a_generation(2, web("2"), broken, rollout=CANARY))
    while not any("fresh-0 failed" in message for _, message in world.told):
        world.look()
    status = world.status()
    assert status.convergence is Convergence.PROGRESSING
    assert "failed within maxFailures: fresh-0: not healthy within 3 s" in status.reason


def test_the_open_wave_is_named_while_it_is_waited_for() -> None:
    world = a_world_at_1()
    world.publish(a_generation(2, web("2"), rollout=CANARY))
    world.look()
    assert world.status().reason.startswith("generation 2 is being rolled out, wave 1 of 2: web-0: ")


def test_a_hold_is_told_with_its_author_and_reason_and_so_is_its_end() -> None:
    world = a_world_at_1()
    world.publish(a_generation(2, web("2")))
    assert world.run() is RolloutState.SUCCEEDED
    world.told.clear()
    held = decide_hold(world.snapshot, vms=(), generation=1, reason="leaks", actor="uid:0", wall_ms=world.now_ms)
    for event in held:
        world.change(event)
    name = held[0].hold.id
    assert world.told == [("1", f"hold {name} by uid:0 keeps web here: leaks")]
    world.told.clear()
    for lifted in decide_lift(world.snapshot, name, wall_ms=world.now_ms):
        world.change(lifted)
    assert world.told == [("2", "running"), ("1", f"hold {name} has ended for web")]


def test_a_pause_is_told_with_who_and_why() -> None:
    world = a_world_at_1()
    world.publish(a_generation(2, web("2")))
    world.look()
    for event in decide_pause(world.snapshot, 2, actor="uid:0", reason="lunch", wall_ms=0):
        world.change(event)
    assert world.told[-1] == ("2", "paused by uid:0: lunch")


def test_a_rollout_from_before_there_were_waves_goes_on_and_is_not_taken_for_done() -> None:
    world = a_world_at_1()
    world.publish(a_generation(2, web("2")))
    world.look()
    rows = rows_by_column(Kept(world.snapshot).rows)
    rows["rollouts"] = [{**row, "waves": "[]", "started_ms": 0} for row in rows["rollouts"]]
    world.snapshot = snapshot_of(epoch=world.snapshot.epoch, realm="default", rows=rows)
    assert world.snapshot.rollouts[2].waves[0].instances == ("web-0", "web-1", "web-2")
    assert world.run() is RolloutState.SUCCEEDED
    assert set(world.wanted().values()) == {2}
