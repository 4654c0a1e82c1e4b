"""Rollouts of every shape, cut off before and after every single write, come to the end that they come to undisturbed.

Each event of a transaction is written by itself here, so that the cuts lie closer than they can in the real store.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from control_plane.events import GenerationPublished, StateEvent
from control_plane.holds import decide_hold, decide_lift
from control_plane.rollout.commands import decide_pause, decide_promote, decide_resume
from control_plane.rollout.waves import waits_for_approval
from control_plane.state import Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.kept import Kept
from control_plane.tests.world import World
from schema.blueprint import CheckType, Gate, Health, HealthCheck, RolloutPolicy, UpdatePolicy, Volume, Wave
from schema.status import RolloutState
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=3_000)


class Killed(Exception):  # it is no error
    pass


@dataclass
class Story:
    """Generations one after the other, and an operator who does things as soon as they can be done, each once."""

    publishes: list[tuple[tuple[VmSpec, ...], RolloutPolicy]]
    bad: set[str] = field(default_factory=set)
    operator: list[Callable[[World], Iterator[StateEvent]]] = field(default_factory=list)


def promoting(world: World) -> Iterator[StateEvent]:
    rollout = world.snapshot.rollout
    if rollout and rollout.state is RolloutState.RUNNING and waits_for_approval(rollout) is not None:
        yield from decide_promote(world.snapshot, rollout.generation, actor="uid:0")


def pausing_the_second(world: World) -> Iterator[StateEvent]:
    rollout = world.snapshot.rollout
    if rollout and rollout.generation == 2 and rollout.waves[0].opened_ms is not None and not rollout.state.is_outcome:
        yield from decide_pause(world.snapshot, 2, actor="uid:0", reason="a look", wall_ms=world.now_ms)


def resuming(world: World) -> Iterator[StateEvent]:
    rollout = world.snapshot.rollout
    if rollout and rollout.state is RolloutState.PAUSED:
        yield from decide_resume(world.snapshot, rollout.generation, wall_ms=world.now_ms)


def holding_web_at_1(world: World) -> Iterator[StateEvent]:
    if (rollout := world.snapshot.rollout) and rollout.generation == 2 and len(world.wanted()) > 2:
        yield from decide_hold(
            world.snapshot, vms=("web",), generation=1, reason="", actor="uid:0", wall_ms=world.now_ms
        )


def lifting(world: World) -> Iterator[StateEvent]:
    web = {number for name, number in world.wanted().items() if name.startswith("web")}
    for name in list(world.snapshot.holds) if web == {1} else ():
        yield from decide_lift(world.snapshot, name, wall_ms=world.now_ms)


def web(content: str, **fields: Any) -> VmSpec:
    return a_spec("web", content, **{"replicas": 3, "health": CHECKED, **fields})


def db(content: str = "1", **fields: Any) -> VmSpec:
    volumes = {"data": Volume(size_mb=64, mount="/data")}
    return a_spec("db", content, **{"health": CHECKED, "volumes": volumes, **fields})


def old() -> VmSpec:
    return a_spec("old", health=CHECKED)


def fresh(content: str = "1") -> VmSpec:
    return a_spec("fresh", content, health=CHECKED)


WAVES = (Wave(percent=20), Wave(percent=40, delay_ms=1500), Wave(percent=100, gate=Gate.APPROVE))
PLAIN = RolloutPolicy(min_healthy_ms=500)
FIRST = ((web("1"), db(), old()), PLAIN)
STORIES = {
    "waves with a delay, a gate and jitter": (
        Story(
            [
                FIRST,
                (
                    (web("2"), db("2"), fresh()),
                    RolloutPolicy(waves=WAVES, min_healthy_ms=500, max_parallel=2, jitter_ms=1500),
                ),
            ],
            operator=[promoting],
        ),
        RolloutState.SUCCEEDED,
    ),
    "a failure within the budget": (
        Story(
            [FIRST, ((web("2"), db("bad"), fresh()), RolloutPolicy(waves=WAVES, min_healthy_ms=500, max_failures=1))],
            bad={db("bad").content_hash},
            operator=[promoting],
        ),
        RolloutState.SUCCEEDED,
    ),
    "failures beyond the budget, in the last wave": (
        Story(
            [
                FIRST,
                (
                    (web("2"), db("2"), fresh("bad"), a_spec("last", "bad", health=CHECKED, depends_on=("web",))),
                    RolloutPolicy(waves=WAVES, min_healthy_ms=500, max_failures=1),
                ),
            ],
            bad={fresh("bad").content_hash, a_spec("last", "bad").content_hash},
            operator=[promoting],
        ),
        RolloutState.ROLLED_BACK,
    ),
    "a pause for one without autoRollback, resumed once": (
        Story(
            [FIRST, ((web("2"), db("bad", update=UpdatePolicy(auto_rollback=False))), PLAIN)],
            bad={db("bad").content_hash},
            operator=[resuming],
        ),
        RolloutState.PAUSED,
    ),
    "an operator's pause": (
        Story([FIRST, ((web("2"), db("2")), PLAIN)], operator=[pausing_the_second, resuming]),
        RolloutState.SUCCEEDED,
    ),
    "a hold in the middle, lifted": (
        Story([FIRST, ((web("2"), db("2"), fresh()), PLAIN)], operator=[holding_web_at_1, lifting]),
        RolloutState.SUCCEEDED,
    ),
    "a hold that another commit lifts": (
        Story(
            [FIRST, ((web("2"), db("2")), PLAIN), ((web("3"), db("2")), PLAIN)],
            operator=[holding_web_at_1],
        ),
        RolloutState.SUCCEEDED,
    ),
}


class Teller:
    """Tells a story on a world that is killed before or after its write of number `cut`."""

    def __init__(self, story: Story, *, cut: int, before: bool) -> None:
        self.world = World(a_snapshot(w0=some_facts(16, 16384), w1=some_facts(16, 16384)))
        self.world.bad = story.bad
        self.world.commit = self._commit
        self.kept = Kept(self.world.snapshot)
        self.todo = list(story.operator)
        self.cut, self.before = cut, before
        self.writes = self.written = 0
        for number, (specs, policy) in enumerate(story.publishes, start=1):
            generation = a_generation(number, *specs, rollout=policy)
            while number not in self.world.snapshot.generations:
                self._surviving(GenerationPublished(generation))
            self._to_rest()

    def _commit(self, was: Snapshot, now: Snapshot) -> Snapshot:
        self.writes += 1
        if self.writes == self.cut and self.before:
            raise Killed
        self.kept.write(was, now)
        self.written += 1
        if self.writes == self.cut:
            assert self.kept.load() == now
            raise Killed
        return now

    def _surviving(self, *events: StateEvent) -> bool:
        """Make these changes, or have a look; whether all of them are kept."""
        wanted = self.written + len(events)
        try:
            for event in events:
                self.world.change(event)
            if not events:
                self.world.look_once()
        except Killed:
            self.world.snapshot = self.kept.load()
            self.world.restart()
        return self.written >= wanted

    def _to_rest(self) -> None:
        quiet = 0
        for _ in range(2000):
            had = self.world.snapshot
            self._surviving()
            events = list(self.todo[0](self.world)) if self.todo else []
            if events and self._surviving(*events):
                self.todo.pop(0)
            rollout = self.world.snapshot.rollout
            assert rollout is not None
            rests = rollout.state.is_outcome or rollout.state is RolloutState.PAUSED
            quiet = quiet + 1 if rests and self.world.snapshot is had else 0
            if quiet > 6:
                return
        raise AssertionError(f"it comes to no rest: {self.world.snapshot.rollout}")


def the_end(world: World) -> tuple[object, ...]:
    snapshot, rollout = world.snapshot, world.snapshot.rollout
    assert rollout is not None
    vms = {name: vm.content_hash for worker in world.workers.values() for name, vm in worker.vms.items()}
    return (
        rollout.state,
        sorted(rollout.failed),
        [wave.instances for wave in rollout.waves],
        world.wanted(),
        {name: one.reserved for name, one in snapshot.placements.items()},
        dict(snapshot.last_good),
        sorted(hold.vms for hold in snapshot.holds.values()),
        vms,
    )


@pytest.mark.parametrize("name", STORIES)
def test_cut_off_at_any_write_it_comes_to_the_same_end(name: str) -> None:
    story, expected = STORIES[name]
    end = the_end(Teller(story, cut=0, before=False).world)
    assert end[0] is expected
    for cut in range(1, 200):
        for before in (True, False):
            teller = Teller(story, cut=cut, before=before)
            assert the_end(teller.world) == end, f"cut {'before' if before else 'after'} write {cut}"
        if teller.writes < cut:
            return
    raise AssertionError("the story has 200 writes")
