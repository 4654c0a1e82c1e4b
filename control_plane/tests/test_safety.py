"""Safety sentences that hold for every schedule that Hypothesis can think of, and rollouts interrupted at each step."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.assign import outlines
from control_plane.scheduler.availability import READY
from control_plane.scheduler.capacity import ledger
from control_plane.scheduler.fleet import Overcommit
from control_plane.scheduler.place import Decision
from control_plane.settling import Conditions, settle
from control_plane.state import Placement, Resources, Snapshot
from control_plane.store.database import open_database
from control_plane.tests.builders import (
    CI_KEY,
    EPOCH,
    MASTER_KEY,
    a_generation,
    a_snapshot,
    a_spec,
    assignment_for,
    some_facts,
    used_on,
)
from control_plane.tests.world import LIMITS, World
from schema.assignment import open_assignment
from schema.blueprint import CheckType, Health, HealthCheck, Network, RolloutPolicy, Volume
from schema.status import RolloutState
from schema.tests.builders import as_signed
from schema.vmspec import VmSpec

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=3_000)
slow = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[Check.too_slow, Check.data_too_large],
)


@st.composite
def fleets(draw: st.DrawFn) -> Snapshot:
    count = draw(st.integers(1, 5))
    sizes = st.tuples(st.integers(1, 8), st.integers(256, 4096))
    return a_snapshot(**{f"w{n}": some_facts(*draw(sizes)) for n in range(count)})


@st.composite
def vms(draw: st.DrawFn, *, names: str = "abcd") -> tuple[VmSpec, ...]:
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names)))
    return tuple(
        a_spec(
            name,
            draw(st.sampled_from("12")),
            cpu=draw(st.integers(1, 4)),
            memory_mb=draw(st.sampled_from((128, 512, 1024, 2048))),
            replicas=1 if (kept := draw(st.booleans())) else draw(st.integers(0, 3)),
            volumes={"data": Volume(size_mb=64, mount="/data")} if kept else {},
            health=CHECKED,
            network=Network(connect=(f"{draw(st.sampled_from(chosen))}:80",) if draw(st.booleans()) else ()),
        )
        for name in chosen
    )


def over_capacity(snapshot: Snapshot) -> list[str]:
    found = []
    for worker_id, worker in snapshot.workers.items():
        used = used_on(snapshot, worker_id)
        room = (int(worker.facts.cpu * LIMITS.cpu_overcommit), worker.facts.memory_mb)
        if used.cpu > room[0] or used.memory_mb > room[1]:
            found.append(worker_id)
    return found


def placed(snapshot: Snapshot, wanting: list[Placement]) -> dict[str, Placement]:
    rooms = ledger(snapshot, Overcommit(LIMITS.cpu_overcommit))
    decision = Decision(snapshot, rooms, dict.fromkeys(snapshot.workers, READY))
    return {one.instance: one for one in decision.place(wanting)}


@given(fleets(), vms(), st.randoms())
@slow
def test_placement_is_deterministic_and_the_order_of_the_input_does_not_matter(
    snapshot: Snapshot,
    specs: tuple[VmSpec, ...],
    random: "st.randoms",  # type: ignore[valid-type]
) -> None:
    snapshot = replace(snapshot, generations={1: a_generation(1, *specs)})
    wanting = [Placement(instance, 1) for instance in snapshot.generations[1].instances]
    shuffled = list(wanting)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    names = list(snapshot.workers)
    random.shuffle(names)  # type: ignore[attr-defined]
    other = replace(snapshot, workers={name: snapshot.workers[name] for name in names})
    assert placed(snapshot, wanting) == placed(other, shuffled)


@given(fleets(), vms())
@slow
def test_a_refusal_lists_what_was_missing_on_every_worker(snapshot: Snapshot, specs: tuple[VmSpec, ...]) -> None:
    snapshot = replace(snapshot, generations={1: a_generation(1, *specs)})
    for one in placed(snapshot, [Placement(name, 1) for name in snapshot.generations[1].instances]).values():
        if not one.worker_id:
            assert {missing.worker_id for missing in one.reason.missing} == set(snapshot.workers)


@given(
    fleets(), st.lists(st.tuples(vms(), st.booleans(), st.integers(0, 25)), min_size=1, max_size=4), st.integers(1, 3)
)
@slow
def test_no_schedule_of_publishes_breaks_a_safety_sentence(
    snapshot: Snapshot, publishes: list[tuple[tuple[VmSpec, ...], bool, int]], max_parallel: int
) -> None:
    world = World(snapshot)
    watched = Watched(world)
    policy = RolloutPolicy(max_parallel=max_parallel, min_healthy_ms=1000)
    for number, (specs, is_bad, looks) in enumerate(publishes, start=1):
        generation = a_generation(number, *specs, rollout=policy)
        known = {spec.content_hash for old in world.snapshot.generations.values() for spec in old.vms.values()}
        if is_bad:
            world.bad |= {spec.content_hash for spec in generation.vms.values()} - known
        world.publish(generation)
        for look in range(looks):
            for worker in world.workers.values():
                worker.deaf = look % 3 != number % 3
                worker.silent = look % 7 == 6
            if look % 5 == 4:
                world.restart()
            world.look()
            watched.check()
    for worker in world.workers.values():
        worker.deaf = worker.silent = False
    final = world.run(most=600)
    watched.check()
    if final is RolloutState.SUCCEEDED:
        assert world.wanted() == dict.fromkeys(world.snapshot.generations[len(publishes)].instances, len(publishes))
    if final is RolloutState.ROLLED_BACK:
        assert world.wanted() == dict(world.snapshot.last_good)


class Watched:
    """Checks after each look what must hold at every moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.good = dict(world.snapshot.last_good)
        self.processes: dict[str, tuple[str, int]] = {}

    def check(self) -> None:
        snapshot = self.world.snapshot
        assert not over_capacity(snapshot)
        self.never_twice()
        self.last_good_only_by_success()
        self.addresses_are_unique()
        self.assignments_open(snapshot)

    def never_twice(self) -> None:
        running = [instance for worker in self.world.workers.values() for instance in worker.vms]
        assert len(running) == len(set(running))
        entries = [line.instance for outline in outlines(self.world.snapshot).values() for line in outline.lines]
        assert len(entries) == len(set(entries))

    def last_good_only_by_success(self) -> None:
        good = dict(self.world.snapshot.last_good)
        if good != self.good:
            numbers = set(good.values())
            assert len(numbers) <= 1
            for number in numbers:
                assert self.world.snapshot.rollouts[number].state is RolloutState.SUCCEEDED
            self.good = good

    def addresses_are_unique(self) -> None:
        addresses = [one.address for one in self.world.snapshot.placements.values() if one.worker_id]
        assert len(addresses) == len(set(addresses))
        for one in self.world.snapshot.placements.values():
            if one.worker_id:
                subnet = self.world.snapshot.workers[one.worker_id].subnet
                assert one.address.rpartition(".")[0] == subnet.rpartition(".")[0]

    def assignments_open(self, snapshot: Snapshot) -> None:
        for worker_id in snapshot.workers:
            open_assignment(
                as_signed(assignment_for(snapshot, worker_id), MASTER_KEY),
                worker_id=worker_id,
                last_seen=None,
                control_plane_keys=(MASTER_KEY.public,),
                publisher_keys=(CI_KEY.public,),
            )


@given(fleets(), vms(), vms())
@slow
def test_a_vm_whose_content_is_equal_is_never_started_again(
    snapshot: Snapshot, first: tuple[VmSpec, ...], second: tuple[VmSpec, ...]
) -> None:
    world = World(snapshot)
    world.publish(a_generation(1, *first))
    if world.run(most=600) is not RolloutState.SUCCEEDED:
        return
    before = {name: spec.content_hash for name, spec in world.snapshot.generations[1].instances.items()}
    world.publish(a_generation(2, *second))
    world.run(most=600)
    after = {name: spec.content_hash for name, spec in world.snapshot.generations[2].instances.items()}
    same = {name for name in before if before[name] == after.get(name)}
    assert not [start for start in world.started[len(before) :] if start[0] in same and world.started.count(start) > 1]


@given(fleets(), vms())
@slow
def test_a_second_look_at_a_settled_cluster_changes_nothing(snapshot: Snapshot, specs: tuple[VmSpec, ...]) -> None:
    world = World(snapshot)
    world.publish(a_generation(1, *specs))
    world.run(most=600)
    world.look()
    before = world.snapshot
    world.look()
    assert world.snapshot is before
    assert settle(before, under=Conditions(dict.fromkeys(before.workers, READY))) == ((), ())


def a_story(world: World) -> None:
    """New, changed, dropped, moved and broken ones in one: the base of the interruptions below."""
    world.publish(a_generation(1, web("1"), a_spec("db", health=CHECKED), a_spec("old", health=CHECKED)))
    assert world.run() is RolloutState.SUCCEEDED


def web(content: str, **fields: int) -> VmSpec:
    return a_spec("web", content, replicas=2, health=CHECKED, **fields)


GOOD = (web("2", memory_mb=512), a_spec("db", health=CHECKED), a_spec("fresh", health=CHECKED))
BROKEN = (web("2"), a_spec("db", "broken", health=CHECKED), a_spec("fresh", health=CHECKED))


def interrupted_at(step: int, specs: tuple[VmSpec, ...], path: Path) -> tuple[World, bool]:
    """The story with the control plane killed after its `step`th commit; whether there was such a step."""
    database = open_database(f"sqlite:///{path}", new_epoch=lambda: EPOCH)
    world = World()
    database.write(None, world.snapshot)
    world.commit = writing(database.write)
    a_story(world)
    world.bad = {a_spec("db", "broken").content_hash}
    world.publish(a_generation(2, *specs))
    reached = False
    commits = len(world.history)
    for _ in range(400):
        world.look_once()
        if not reached and len(world.history) - commits >= step:
            reached = True
            database.close()
            database = open_database(f"sqlite:///{path}", new_epoch=lambda: "f" * 32)
            loaded = database.load("default")
            assert loaded == world.snapshot
            world.snapshot = loaded
            world.restart()
            world.commit = writing(database.write)
        rollout = world.snapshot.rollout
        if rollout and rollout.state.is_outcome:
            break
    for _ in range(3):
        world.look()
    database.close()
    return world, reached


def writing(write: Callable[[Snapshot, Snapshot], None]) -> Callable[[Snapshot, Snapshot], Snapshot]:
    def commit(before: Snapshot, after: Snapshot) -> Snapshot:
        write(before, after)
        return after

    return commit


def the_end(world: World) -> tuple[object, ...]:
    snapshot = world.snapshot
    rollout = snapshot.rollout
    assert rollout is not None
    placements = {name: (one.generation, one.worker_id, one.address) for name, one in snapshot.placements.items()}
    vms = {name: vm.content_hash for worker in world.workers.values() for name, vm in worker.vms.items()}
    return rollout.state, rollout.reason, placements, dict(snapshot.last_good), vms, sorted(world.started)


def every_interruption_ends_the_same(specs: tuple[VmSpec, ...], expected: RolloutState, tmp_path: Path) -> None:
    end = None
    for step in range(40):
        world, reached = interrupted_at(step if step else 10**6, specs, tmp_path / str(step))
        assert world.snapshot.rollout is not None
        assert world.snapshot.rollout.state is expected
        end = end or the_end(world)
        assert the_end(world) == end
        if step and not reached:
            return
    raise AssertionError("the rollout has more than 40 steps")


def test_a_rollout_interrupted_after_any_step_comes_to_the_same_end(tmp_path: Path) -> None:
    every_interruption_ends_the_same(GOOD, RolloutState.SUCCEEDED, tmp_path)


def test_a_rollback_interrupted_after_any_step_comes_to_the_same_end(tmp_path: Path) -> None:
    every_interruption_ends_the_same(BROKEN, RolloutState.ROLLED_BACK, tmp_path)


def test_room_for_going_back_stays_reserved_until_the_rollout_is_over() -> None:
    world = World(a_snapshot(w0=some_facts(memory_mb=1024)))
    world.publish(a_generation(1, a_spec("web", memory_mb=1024, health=CHECKED)))
    assert world.run() is RolloutState.SUCCEEDED
    smaller = a_spec("web", "2", memory_mb=128, health=CHECKED)
    world.bad = {smaller.content_hash}
    world.publish(a_generation(2, smaller, a_spec("greedy", memory_mb=512, health=CHECKED)))
    world.look()
    assert used_on(world.snapshot, "w0") == Resources(1, 1024)
    assert world.run() is RolloutState.ROLLED_BACK
    assert used_on(world.snapshot, "w0") == Resources(1, 1024)
