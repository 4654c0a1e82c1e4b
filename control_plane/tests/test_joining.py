"""What a worker's login changes."""

import pytest

from control_plane.events import WorkerChanged, WorkerJoined, apply
from control_plane.joining import log_in
from control_plane.state import Snapshot
from control_plane.tests.builders import EPOCH, a_snapshot, admitted, some_facts
from schema.errors import InvalidInput, Unauthenticated, Unavailable
from schema.interfaces import WorkerHello
from schema.operations import Admission
from schema.status import WorkerFacts

RANGE = "10.77.0.0/16"


def test_each_new_worker_gets_the_next_subnet_and_keeps_it() -> None:
    snapshot = admitted(Snapshot(epoch=EPOCH), "a", "b")
    for worker_id in ("b", "a", "b"):
        for event in log_in(snapshot, hello=WorkerHello(worker_id, some_facts()), network=RANGE):
            snapshot = apply(snapshot, event)
    assert {name: worker.subnet for name, worker in snapshot.workers.items()} == {
        "b": "10.77.0.0/24",
        "a": "10.77.1.0/24",
    }


def test_the_same_facts_again_change_nothing_and_other_facts_are_kept() -> None:
    snapshot = admitted(a_snapshot(w0=some_facts()), "w0")
    assert log_in(snapshot, hello=WorkerHello("w0", some_facts()), network=RANGE) == ()
    grown = some_facts(memory_mb=65536)
    (event,) = log_in(snapshot, hello=WorkerHello("w0", grown), network=RANGE)
    assert event == WorkerChanged("w0", grown)
    assert apply(snapshot, event).workers["w0"].facts.memory_mb == 65536


def test_a_worker_whose_address_changes_is_told_anew_to_those_who_reach_its_vms() -> None:
    snapshot = a_snapshot()
    moved = apply(snapshot, WorkerChanged("w0", some_facts(address="192.0.2.9")))
    assert moved.workers["w1"].revision == snapshot.workers["w1"].revision


@pytest.mark.parametrize("worker_id", ["", "Has Capitals", "-x", "a" * 64, "a/b", "\x1b[31m"])
def test_an_id_that_is_no_dns_label_is_refused(worker_id: str) -> None:
    with pytest.raises(InvalidInput, match="worker id"):
        log_in(a_snapshot(), hello=WorkerHello(worker_id, some_facts()), network=RANGE)


@pytest.mark.parametrize("facts", [some_facts(cpu=-1), some_facts(memory_mb=-1), some_facts(extras={"gpu": -1})])
def test_a_machine_of_less_than_nothing_is_refused(facts: WorkerFacts) -> None:
    with pytest.raises(InvalidInput, match="less than nothing"):
        log_in(a_snapshot(), hello=WorkerHello("w9", facts), network=RANGE)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (some_facts(labels={"zone\n": "a"}), "labels"),
        (some_facts(labels={"zone": "a b"}), "labels"),
        (some_facts(extras={"": 1}), "labels"),
        (some_facts(hypervisor="x\x1b[2J"), "control characters"),
        (some_facts(location="a\u202eb"), "control characters"),
        (some_facts(address="nowhere; reboot"), "no other worker can send to"),
        (some_facts(address="127.0.0.1"), "no other worker can send to"),
        (some_facts(address="224.0.0.1"), "no other worker can send to"),
    ],
)
def test_facts_that_other_workers_or_people_would_stumble_over_are_refused(facts: WorkerFacts, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        log_in(a_snapshot(), hello=WorkerHello("w9", facts), network=RANGE)


def test_a_range_without_a_free_subnet_refuses_new_workers_only() -> None:
    snapshot = admitted(a_snapshot(w0=some_facts()), "w0", "w1")
    with pytest.raises(Unavailable):
        log_in(snapshot, hello=WorkerHello("w1", some_facts()), network="10.77.0.0/24")
    assert log_in(snapshot, hello=WorkerHello("w0", some_facts()), network="10.77.0.0/24") == ()
    assert isinstance(log_in(snapshot, hello=WorkerHello("w1", some_facts()), network=RANGE)[0], WorkerJoined)


@pytest.mark.parametrize("admission", [Admission.PENDING, Admission.REJECTED, Admission.RETIRED])
def test_who_is_not_let_in_does_not_log_in(admission: Admission) -> None:
    for snapshot in (a_snapshot(), admitted(a_snapshot(), "w9", admission=admission)):
        with pytest.raises(Unauthenticated, match="'w9' is not admitted"):
            log_in(snapshot, hello=WorkerHello("w9", some_facts()), network=RANGE)


def test_endless_facts_are_refused() -> None:
    facts = some_facts(labels={f"label-{number}": "x" * 60 for number in range(200)})
    with pytest.raises(InvalidInput, match="8192 are the most"):
        log_in(admitted(a_snapshot(), "w9"), hello=WorkerHello("w9", facts), network=RANGE)
