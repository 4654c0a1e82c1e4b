"""Safety of placing for every fleet and every set of VMs that Hypothesis can think of."""

from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.events import PlacementsChanged, PlacementsReleased, apply
from control_plane.scheduler.availability import READY, Availabilities, Availability, Standing
from control_plane.scheduler.capacity import ledger
from control_plane.scheduler.demand import priority_of
from control_plane.scheduler.explain import explain
from control_plane.scheduler.fleet import DEFAULT_OVERCOMMIT, satisfies
from control_plane.scheduler.place import Decision
from control_plane.settling import Conditions, settle
from control_plane.state import NOWHERE, Memo, Placement, ReasonCode, Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.test_safety import slow
from schema.blueprint import LabelExpression, PlacementPolicy, Spread, Volume
from schema.vmspec import VmSpec

NAMES = "abcde"
many = settings(slow, max_examples=100)
ZONES = ("x", "y", "z")


@st.composite
def fleets(draw: st.DrawFn, *, least: int = 1) -> Snapshot:
    count = draw(st.integers(least, 6))
    facts = {
        f"w{number}": some_facts(
            cpu=draw(st.integers(1, 4)),
            memory_mb=draw(st.sampled_from((512, 1024, 2048))),
            disk_mb=draw(st.sampled_from((0, 100, 1000))),
            labels={"zone": draw(st.sampled_from(ZONES))} if draw(st.booleans()) else {},
            extras={"gpu": 1} if draw(st.integers(0, 3)) == 0 else {},
        )
        for number in range(count)
    }
    return a_snapshot(**facts)


@st.composite
def policies(draw: st.DrawFn) -> PlacementPolicy:
    zone = st.sampled_from(ZONES)
    others = st.lists(st.sampled_from(NAMES), max_size=1).map(tuple)
    return PlacementPolicy(
        require=(LabelExpression(key="zone", values=(draw(zone), draw(zone))),) if draw(st.integers(0, 3)) == 0 else (),
        prefer=(LabelExpression(key="zone", values=(draw(zone),)),) if draw(st.booleans()) else (),
        spread=(Spread(over="zone", max_skew=draw(st.integers(1, 2))),) if draw(st.integers(0, 2)) == 0 else (),
        affinity=draw(others) if draw(st.integers(0, 3)) == 0 else (),
        anti_affinity=draw(others) if draw(st.integers(0, 2)) == 0 else (),
        priority=draw(st.sampled_from((0, 50, 50, 90))),
    )


@st.composite
def vms(draw: st.DrawFn) -> tuple[VmSpec, ...]:
    return tuple(
        a_spec(
            name,
            cpu=draw(st.integers(1, 4)),
            memory_mb=draw(st.sampled_from((128, 256, 512))),
            replicas=1 if (kept := draw(st.integers(0, 3)) == 0) else draw(st.integers(0, 4)),
            volumes={"data": Volume(size_mb=draw(st.sampled_from((10, 90))), mount="/data")} if kept else {},
            extras={"gpu": 1} if draw(st.integers(0, 5)) == 0 else {},
            placement=draw(policies()),
        )
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=len(NAMES)))
    )


def all_ready(snapshot: Snapshot) -> Availabilities:
    return dict.fromkeys(snapshot.workers, READY)


def settled(snapshot: Snapshot, targets: dict[str, int], availability: Availabilities | None = None) -> Snapshot:
    under = Conditions(availability or all_ready(snapshot), is_healthy=lambda one: one.is_assigned)
    for event in settle(snapshot, targets, under=under)[0]:
        snapshot = apply(snapshot, event)
    return snapshot


def at_rest(snapshot: Snapshot, availability: Availabilities | None = None) -> Snapshot:
    """Settled until nothing changes; what is told to leave leaves at once."""
    for _ in range(100):
        after = settled(snapshot, {}, availability)
        leaving = tuple(name for name, one in after.placements.items() if one.leaving)
        if leaving:
            after = apply(after, PlacementsReleased(leaving))
        elif after.placements == snapshot.placements:
            return after
        snapshot = after
    raise AssertionError("it does not come to rest")


def published(snapshot: Snapshot, specs: tuple[VmSpec, ...]) -> Snapshot:
    return replace(snapshot, generations={1: a_generation(1, *specs)}, memo=Memo())


def all_wanted(snapshot: Snapshot) -> dict[str, int]:
    return dict.fromkeys(snapshot.generations[1].instances, 1)


def where(snapshot: Snapshot) -> dict[str, str]:
    return {name: one.worker_id for name, one in snapshot.placements.items()}


def assert_within_capacity(snapshot: Snapshot) -> None:
    """Summed up without the scheduler's own books."""
    for worker_id, worker in snapshot.workers.items():
        there = [one.reserved for one in snapshot.placements.values() if one.worker_id == worker_id]
        assert sum(one.cpu for one in there) <= worker.facts.cpu * DEFAULT_OVERCOMMIT.cpu
        assert sum(one.memory_mb for one in there) <= worker.facts.memory_mb
        assert sum(dict(one.extras).get("gpu", 0) for one in there) <= worker.facts.extras.get("gpu", 0)
        if worker.facts.disk_mb:
            assert sum(one.disk_mb for one in there) <= worker.facts.disk_mb
    addresses = [one.address for one in snapshot.placements.values() if one.worker_id]
    assert len(addresses) == len(set(addresses))


def assert_constraints(snapshot: Snapshot) -> None:
    placed = [one for one in snapshot.placements.values() if one.worker_id]
    on: dict[str, set[str]] = {}
    for one in placed:
        on.setdefault(one.worker_id, set()).add(one.vm)
    for one in placed:
        spec = snapshot.wanted_spec(one.instance)
        assert spec is not None
        policy, labels = spec.value.placement, snapshot.workers[one.worker_id].facts.labels
        assert all(satisfies(labels, expression) for expression in policy.require)
        for other in policy.anti_affinity:
            same = [two for two in placed if two.worker_id == one.worker_id and two.vm == other]
            assert same in ([], [one])
        assert all("zone" in labels for _ in policy.spread)


def assert_spread(snapshot: Snapshot) -> None:
    """Over the zones where some worker has the labels; holds when all were placed at once onto nothing."""
    for spec in snapshot.generations[1].vms.values():
        policy = spec.value.placement
        fitting = [
            worker.facts.labels["zone"]
            for worker in snapshot.workers.values()
            if "zone" in worker.facts.labels and all(satisfies(worker.facts.labels, one) for one in policy.require)
        ]
        counts = Counter(dict.fromkeys(fitting, 0))
        for one in snapshot.placements.values():
            if one.vm == spec.value.name and one.worker_id and policy.spread:
                counts[snapshot.workers[one.worker_id].facts.labels["zone"]] += 1
        for rule in policy.spread:
            assert not counts or max(counts.values()) - min(counts.values()) <= rule.max_skew


@given(fleets(), vms())
@many
def test_nothing_is_over_capacity_or_twice_or_against_a_constraint(
    snapshot: Snapshot, specs: tuple[VmSpec, ...]
) -> None:
    snapshot = published(snapshot, specs)
    placed = settled(snapshot, all_wanted(snapshot))
    assert_within_capacity(placed)
    assert_constraints(placed)
    assert_spread(placed)
    rested = at_rest(placed)
    assert_within_capacity(rested)
    assert_constraints(rested)


@given(fleets(), vms(), st.integers(0, 2**32))
@many
def test_the_order_of_what_comes_in_does_not_matter(snapshot: Snapshot, specs: tuple[VmSpec, ...], seed: int) -> None:
    random = Random(seed)  # noqa: S311 - Hypothesis draws the seed
    snapshot = published(snapshot, specs)
    targets, workers, vms_of = list(all_wanted(snapshot).items()), list(snapshot.workers.items()), list(specs)
    for each in (targets, workers, vms_of):
        random.shuffle(each)
    other = replace(published(snapshot, tuple(vms_of)), workers=dict(workers))
    one, two = at_rest(settled(snapshot, all_wanted(snapshot))), at_rest(settled(other, dict(targets)))
    assert where(one) == where(two)
    assert {name: str(each.reason) for name, each in one.placements.items()} == {
        name: str(each.reason) for name, each in two.placements.items()
    }


@given(fleets(), vms(), st.integers(0, 5))
@many
def test_a_lost_worker_moves_nobody_else(snapshot: Snapshot, specs: tuple[VmSpec, ...], number: int) -> None:
    snapshot = published(snapshot, specs)
    before = at_rest(settled(snapshot, all_wanted(snapshot)))
    gone = sorted(snapshot.workers)[number % len(snapshot.workers)]
    availability = {**all_ready(snapshot), gone: Availability(Standing.LOST)}
    evicted = tuple(
        replace(one, worker_id=NOWHERE, address="") for one in before.placements.values() if one.worker_id == gone
    )
    after = apply(before, PlacementsChanged(evicted)) if evicted else before
    after = settled(after, {}, availability)
    assert gone not in {after.placements[one.instance].worker_id for one in evicted}
    preempted = {name for name, one in after.placements.items() if one.reason.code is ReasonCode.PREEMPTED}
    for name, worker_id in where(before).items():
        if worker_id not in (gone, NOWHERE) and name not in preempted:
            assert after.placements[name] == before.placements[name]


@given(fleets(), vms())
@many
def test_a_worker_that_joins_moves_nobody(snapshot: Snapshot, specs: tuple[VmSpec, ...]) -> None:
    snapshot = published(snapshot, specs)
    before = at_rest(settled(snapshot, all_wanted(snapshot)))
    wider = a_snapshot(**{name: one.facts for name, one in before.workers.items()}, w9=some_facts()).workers
    after = settled(replace(before, workers={**wider, **before.workers}), {})
    for name, one in before.placements.items():
        if one.worker_id:
            assert after.placements[name] == one


@given(fleets(), vms())
@many
def test_only_the_less_important_make_room_and_only_when_it_helps(
    snapshot: Snapshot, specs: tuple[VmSpec, ...]
) -> None:
    snapshot = published(snapshot, specs)
    lower = {name: 1 for name in all_wanted(snapshot) if priority_of(snapshot, Placement(name, 1)) < 90}
    before = at_rest(settled(snapshot, lower))
    after = settled(before, {name: 1 for name in all_wanted(snapshot) if name not in lower})
    leaving = [one for one in after.placements.values() if one.leaving]
    waiting = [one for one in after.placements.values() if one.reason.code is ReasonCode.WAITING]
    for victim in leaving:
        helped = [one for one in waiting if str(one.reason).find(f"room on {victim.worker_id},") >= 0]
        assert helped
        assert priority_of(after, victim) < max(priority_of(after, one) for one in helped)
    gone = apply(after, PlacementsReleased(tuple(one.instance for one in leaving))) if leaving else after
    then = settled(gone, {})
    assert all(then.placements[one.instance].worker_id for one in waiting if leaving and one.vm)


@given(fleets(least=2), vms())
@many
def test_a_drained_worker_gets_empty_wherever_the_others_have_room(
    snapshot: Snapshot, specs: tuple[VmSpec, ...]
) -> None:
    snapshot = published(snapshot, specs)
    before = at_rest(settled(snapshot, all_wanted(snapshot)))
    availability = {**all_ready(snapshot), "w0": Availability(Standing.DRAINING)}
    after = at_rest(before, availability)
    assert_within_capacity(after)
    bound = {name for name, worker_id in after.volume_bindings.items() if worker_id == "w0"}
    for one in after.placements.values():
        if one.instance in bound:
            assert one.worker_id == NOWHERE
        elif one.worker_id == "w0" and not any(
            other.vm == one.vm and not other.worker_id for other in after.placements.values()
        ):
            anew = Decision(after, ledger(after, DEFAULT_OVERCOMMIT), availability)
            assert not anew.elsewhere(anew.demands.of(one), than=0).any()


@given(fleets(), vms())
@many
def test_explain_agrees_with_what_is_decided(snapshot: Snapshot, specs: tuple[VmSpec, ...]) -> None:
    snapshot = published(snapshot, specs)
    placed = at_rest(settled(snapshot, all_wanted(snapshot)))
    for name, one in placed.placements.items():
        found = explain(placed, name, availability=all_ready(placed), overcommit=DEFAULT_OVERCOMMIT)
        assert {fit.worker_id for fit in found.workers} == set(placed.workers)
        if not one.worker_id and one.reason.code is ReasonCode.REFUSED:
            assert not [fit for fit in found.workers if fit.fits]
