"""The index that follows a snapshot by difference is the one that is built anew, and so are the revisions."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from control_plane import assign
from control_plane.deltas import difference
from control_plane.events import PlacementsChanged, PlacementsReleased, apply
from control_plane.index import index_of
from control_plane.state import NOTHING, NOWHERE, Memo, Placement, Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec
from control_plane.tests.test_safety import slow
from schema.blueprint import Network

WORKERS = ("w0", "w1")
GENERATIONS = {
    1: a_generation(1, a_spec("db"), a_spec("web", replicas=2, network=Network(connect=("db:5432",)))),
    2: a_generation(2, a_spec("db", "2"), a_spec("web", replicas=3, network=Network(connect=("web:80",)))),
}
INSTANCES = ("db-0", "web-0", "web-1", "web-2")


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    instance = draw(st.sampled_from(INSTANCES))
    worker_id = draw(st.sampled_from((*WORKERS, NOWHERE)))
    generation = draw(st.sampled_from([number for number in (1, 2) if instance in GENERATIONS[number].instances]))
    leaving = worker_id != NOWHERE and draw(st.booleans())
    gone = leaving and draw(st.booleans())
    address = f"10.77.{worker_id[1:]}.{2 + INSTANCES.index(instance)}/24" if worker_id else ""
    return Placement(instance, NOTHING if gone else generation, worker_id, address, leaving=leaving)


def alone(snapshot: Snapshot) -> Snapshot:
    """The same with nothing remembered."""
    return replace(snapshot, memo=Memo())


@given(st.lists(st.lists(placements(), min_size=1, max_size=3, unique_by=lambda one: one.instance), max_size=6))
@slow
def test_what_follows_by_difference_is_what_is_built_anew(steps: list[list[Placement]]) -> None:
    snapshot = replace(a_snapshot(), generations=GENERATIONS)
    for step in steps:
        before = snapshot
        snapshot = apply(snapshot, PlacementsChanged(tuple(step)))
        assert index_of(snapshot) == index_of(alone(snapshot))
        for worker_id in WORKERS:
            altered = assign.outline(alone(before), worker_id) != assign.outline(alone(snapshot), worker_id)
            raised = snapshot.workers[worker_id].revision - before.workers[worker_id].revision
            assert raised == int(altered)
        going = [one.instance for one in snapshot.placements.values() if one.leaving]
        if going:
            snapshot = apply(snapshot, PlacementsReleased(tuple(going)))
            assert index_of(snapshot) == index_of(alone(snapshot))
        assert index_of(before) == index_of(alone(before))


def test_a_difference_names_what_is_new_changed_and_gone() -> None:
    one, two, three = (Placement(f"web-{number}", 1) for number in range(3))
    before = {"web-0": one, "web-1": two}
    assert difference(before, before) == []
    assert difference(before, {"web-0": one, "web-1": replace(two), "web-2": three}) == ["web-1", "web-2"]
    assert difference(before, {"web-2": three}) == ["web-2", "web-0", "web-1"]
