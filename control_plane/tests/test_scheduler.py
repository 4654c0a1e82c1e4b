"""Placement, capacity, subnets and addresses: single sentences beside the properties of test_safety."""

import hashlib
from dataclasses import replace

import pytest

from control_plane.scheduler.addresses import ADDRESSES, free_subnet, mac_of
from control_plane.scheduler.availability import READY
from control_plane.scheduler.fleet import satisfies
from control_plane.settling import Conditions, settle
from control_plane.state import Placement, ReasonCode, Snapshot, natural
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World
from schema.blueprint import Health, LabelExpression, Operator, PlacementPolicy
from schema.errors import Unavailable
from schema.status import RolloutState, WorkerFacts
from schema.vmspec import VmSpec


def placed(snapshot: Snapshot, *specs: VmSpec) -> dict[str, Placement]:
    """Where a first generation of `specs` goes."""
    world = World(snapshot)
    world.publish(a_generation(1, *specs))
    world.look()
    return dict(world.snapshot.placements)


def test_replicas_are_spread_over_the_workers() -> None:
    found = placed(a_snapshot(), a_spec("web", replicas=4))
    assert sorted(one.worker_id for one in found.values()) == ["w0", "w0", "w1", "w1"]


def test_cpu_is_overcommitted_as_set_and_memory_never() -> None:
    found = placed(a_snapshot(w0=some_facts(cpu=1, memory_mb=1024)), a_spec("web", replicas=5, memory_mb=128))
    assert sum(bool(one.worker_id) for one in found.values()) == 4
    refused = next(one for one in found.values() if not one.worker_id)
    assert str(refused.reason) == "no worker has room for it; w0: vCPUs needs 1, free 0"
    found = placed(a_snapshot(w0=some_facts(cpu=8, memory_mb=300)), a_spec("web", replicas=2, memory_mb=256))
    refused = next(one for one in found.values() if not one.worker_id)
    assert str(refused.reason) == "no worker has room for it; w0: MiB of memory needs 256, free 44"


def test_named_extras_are_counted() -> None:
    workers: dict[str, WorkerFacts] = {"w0": some_facts(), "w1": some_facts(extras={"gpu": 1})}
    found = placed(a_snapshot(**workers), a_spec("train", replicas=2, extras={"gpu": 1}))
    assert sorted(one.worker_id for one in found.values()) == ["", "w1"]


def test_a_required_label_keeps_other_workers_out() -> None:
    workers: dict[str, WorkerFacts] = {"w0": some_facts(), "w1": some_facts(labels={"zone": "b"})}
    policy = PlacementPolicy(require=(LabelExpression(key="zone", values=("b",)),))
    found = placed(a_snapshot(**workers), a_spec("web", replicas=2, placement=policy))
    assert {one.worker_id for one in found.values()} == {"w1"}


@pytest.mark.parametrize(
    ("operator", "values", "labels", "fits"),
    [
        (Operator.IN, ("a", "b"), {"zone": "a"}, True),
        (Operator.IN, ("a",), {}, False),
        (Operator.NOT_IN, ("a",), {"zone": "a"}, False),
        (Operator.NOT_IN, ("a",), {}, True),
        (Operator.EXISTS, (), {"zone": "x"}, True),
        (Operator.EXISTS, (), {}, False),
    ],
)
def test_label_expressions(operator: Operator, values: tuple[str, ...], labels: dict[str, str], fits: bool) -> None:
    assert satisfies(labels, LabelExpression(key="zone", operator=operator, values=values)) is fits


def test_a_vm_without_any_worker_waits_and_goes_to_the_first_that_joins() -> None:
    world = World(a_snapshot(w0=some_facts()))
    world.workers["w0"].silent = True
    world.publish(a_generation(1, a_spec("web")))
    world.look()
    assert world.snapshot.placements["web-0"].reason.code is ReasonCode.REFUSED
    assert "not heard of" in str(world.snapshot.placements["web-0"].reason)
    world.workers["w0"].silent = False
    assert world.run() is RolloutState.SUCCEEDED


def test_time_without_any_worker_does_not_count_against_the_start_deadline() -> None:
    world = World(a_snapshot(w0=some_facts()))
    world.workers["w0"].silent = True
    world.publish(a_generation(1, a_spec("web", health=Health(start_deadline_ms=5000))))
    for _ in range(60):
        world.look()
    world.workers["w0"].silent = False
    assert world.run() is RolloutState.SUCCEEDED


def test_a_placed_vm_stays_when_a_better_worker_joins() -> None:
    world = World(a_snapshot(w0=some_facts()))
    world.publish(a_generation(1, a_spec("web", replicas=2)))
    assert world.run() is RolloutState.SUCCEEDED
    before = world.snapshot.placements
    both = a_snapshot(w0=some_facts(), w1=some_facts()).workers
    wider = replace(world.snapshot, workers=both)
    assert settle(wider, under=Conditions(dict.fromkeys(both, READY))) == ((), ())
    assert world.snapshot.placements is before


def test_a_worker_takes_as_many_instances_as_it_has_addresses() -> None:
    found = placed(a_snapshot(w0=some_facts(cpu=1000, memory_mb=10**6)), a_spec("web", replicas=260, memory_mb=32))
    refused = [one for one in found.values() if not one.worker_id]
    assert len(found) - len(refused) == ADDRESSES == 253
    assert "address" in str(refused[0].reason)


def test_subnets_are_given_from_the_lowest_and_run_out_with_a_word() -> None:
    assert free_subnet("10.77.0.0/16", []) == "10.77.0.0/24"
    assert free_subnet("10.77.0.0/16", ["10.77.0.0/24", "10.77.2.0/24"]) == "10.77.1.0/24"
    with pytest.raises(Unavailable, match="wider"):
        free_subnet("10.77.4.0/24", ["10.77.4.0/24"])


def test_a_mac_is_local_unicast_and_follows_from_realm_and_instance() -> None:

    digest = hashlib.sha256(b"default/web-0").hexdigest()
    expected = "02:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))
    assert mac_of(realm="default", instance="web-0") == expected
    assert mac_of(realm="other", instance="web-0") != expected


def test_instances_sort_by_their_numbers() -> None:
    assert sorted(["web-10", "web-2", "db-0"], key=natural) == ["db-0", "web-2", "web-10"]
