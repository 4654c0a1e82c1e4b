"""The bytes of an assignment are those that its model would be written as, whatever is in it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.assign import outline
from control_plane.assignment_text import assignment_text
from control_plane.state import Placement, Snapshot, WorkerRecord
from control_plane.tests.builders import EPOCH, a_generation, a_spec, assignment_for, some_facts
from schema.errors import NotFound


def a_cluster(text: str, *, revision: int = 3) -> Snapshot:
    """`web-0` changes from 1 to 2 beside `web-1` on w0, and reaches `db-0`, whose worker has an odd address."""
    old = a_generation(1, a_spec("web", replicas=11, env={"TEXT": text}), a_spec("db"))
    web = a_spec("web", "2", replicas=11, env={"TEXT": text}, network={"connect": ["db:5432"]})
    new = a_generation(2, web, a_spec("db"))
    places = [("web-0", 2, "w0", 2), ("web-1", 1, "w0", 3), ("web-10", 2, "w0", 4), ("db-0", 2, "w1", 2)]
    return Snapshot(
        epoch=EPOCH,
        workers={
            "w0": WorkerRecord("w0", some_facts(), "10.77.0.0/24", revision),
            "w1": WorkerRecord("w1", some_facts(address="é\u2028"), "10.77.1.0/24", revision),
        },
        generations={1: old, 2: new},
        placements={
            name: Placement(name, number, worker_id, f"10.77.{worker_id[1:]}.{host}/24")
            for name, number, worker_id, host in places
        },
        last_good=dict.fromkeys(("web-0", "web-1", "web-10", "db-0"), 1),
    )


@given(st.text(max_size=20), st.integers(0, 2**40))
def test_an_assignment_is_canonical_json_of_what_the_worker_reads(text: str, revision: int) -> None:
    snapshot = a_cluster(text, revision=revision)
    found = assignment_for(snapshot, "w0")  # which holds that it is canonical
    assert [entry.instance for entry in found.entries] == ["web-0", "web-1", "web-10"]
    assert [entry.fallback.generation if entry.fallback else 0 for entry in found.entries] == [1, 0, 1]
    assert found.entries[0].sealed_spec() == snapshot.generations[2].vms["web"].sealed
    assert found.entries[1].sealed_spec() == snapshot.generations[1].vms["web"].sealed
    assert [(peer.instance, peer.worker_address) for peer in found.peers] == [("db-0", "é\u2028")]
    assert found.peers == outline(snapshot, "w0").peers
    assert [proof.number for proof in found.generations] == [1, 2]
    assert (found.epoch, found.revision, found.worker_id) == (EPOCH, revision, "w0")


def test_texts_that_were_kept_are_not_those_of_another_generation_with_the_same_number() -> None:
    before = a_cluster("one")
    assignment_for(before, "w0")
    after = replace(before, generations=a_cluster("two").generations)
    assert assignment_for(after, "w0").entries[0].sealed_spec().value.env == {"TEXT": "two"}


def test_a_worker_without_instances_has_an_empty_assignment_and_an_unknown_one_has_none() -> None:
    snapshot = replace(a_cluster(""), placements={})
    found = assignment_for(snapshot, "w0")
    assert (found.entries, found.peers, found.generations) == ((), (), ())
    with pytest.raises(NotFound):
        assignment_text(snapshot, "w9")
