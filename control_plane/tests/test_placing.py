"""Where instances go and why: preferences, spread, affinity, disk, priorities, drains; single sentences."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from control_plane.events import PlacementsChanged, PlacementsReleased, apply
from control_plane.explaining import explanation
from control_plane.observations import Observations
from control_plane.plan import Limits
from control_plane.scheduler.availability import READY, Availability, Standing
from control_plane.scheduler.explain import answer, explain
from control_plane.scheduler.fleet import DEFAULT_OVERCOMMIT, Overcommit
from control_plane.settling import Conditions, settle
from control_plane.state import Placement, ReasonCode, Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, some_facts
from schema.blueprint import LabelExpression, Network, OnLoss, PlacementPolicy, PublishedPort, Spread, Volume
from schema.errors import NotFound
from schema.status import WorkerFacts
from schema.vmspec import VmSpec

KEPT = {"data": Volume(size_mb=1024, mount="/data")}
LOSABLE = {"data": Volume(size_mb=1024, mount="/data", on_loss=OnLoss.RECREATE)}
CORDONED = Availability(Standing.CORDONED, "new fans")
DRAINING = Availability(Standing.DRAINING, "new kernel")


def zones(*names: str, **fields: Any) -> dict[str, WorkerFacts]:
    return {f"w{number}": some_facts(labels={"zone": name}, **fields) for number, name in enumerate(names)}


class Cluster:
    """A snapshot that is settled again and again; what leaves is gone at the next look."""

    def __init__(self, workers: dict[str, WorkerFacts], *specs: VmSpec) -> None:
        self.snapshot = replace(a_snapshot(**workers), generations={1: a_generation(1, *specs)})
        self.availability = dict.fromkeys(self.snapshot.workers, READY)
        self.unhealthy: set[str] = set()
        self.overcommit = DEFAULT_OVERCOMMIT
        self.most_moving = 8

    @property
    def conditions(self) -> Conditions:
        return Conditions(
            self.availability,
            self.overcommit,
            self.most_moving,
            is_healthy=lambda one: one.is_assigned and one.instance not in self.unhealthy,
        )

    def want(self, *instances: str) -> None:
        self.settle(dict.fromkeys(instances or self.snapshot.generations[1].instances, 1))

    def settle(self, targets: dict[str, int] | None = None) -> bool:
        events, blocked = settle(self.snapshot, targets or {}, under=self.conditions)
        assert not blocked
        for event in events:
            self.snapshot = apply(self.snapshot, event)
        return bool(events)

    def leave(self) -> None:
        """All that shall leave has left."""
        leaving = [name for name, one in self.snapshot.placements.items() if one.leaving]
        if leaving:
            self.snapshot = apply(self.snapshot, PlacementsReleased(tuple(leaving)))

    def rest(self) -> None:
        for _ in range(50):
            if not self.settle() and not any(one.leaving for one in self.snapshot.placements.values()):
                return
            self.leave()
        raise AssertionError("the cluster does not come to rest")

    def where(self, *instances: str) -> list[str]:
        return [self.snapshot.placements[name].worker_id for name in instances]

    def zone_counts(self, vm: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self.snapshot.placements.values():
            if one.vm == vm and one.worker_id:
                zone = self.snapshot.workers[one.worker_id].facts.labels["zone"]
                found[zone] = found.get(zone, 0) + 1
        return found


def named(cluster: Cluster, instance: str) -> Placement:
    return cluster.snapshot.placements[instance]


def test_a_preferred_label_decides_where_there_is_room_and_not_where_there_is_none() -> None:
    policy = PlacementPolicy(prefer=(LabelExpression(key="zone", values=("b",)),))
    cluster = Cluster(zones("a", "b", memory_mb=512), a_spec("web", replicas=3, placement=policy))
    cluster.want()
    assert cluster.where("web-0", "web-1", "web-2") == ["w1", "w1", "w0"]


def test_replicas_spread_over_a_label_differ_by_the_skew_at_most() -> None:
    policy = PlacementPolicy(spread=(Spread(over="zone"),))
    workers = zones("a", "a", "a", "b", "c")
    cluster = Cluster(workers, a_spec("web", replicas=7, placement=policy))
    cluster.want()
    assert sorted(cluster.zone_counts("web").values()) == [2, 2, 3]


def test_a_full_zone_holds_the_spread_back_and_says_so() -> None:
    policy = PlacementPolicy(spread=(Spread(over="zone"),))
    workers = {**zones("a"), "w1": some_facts(memory_mb=256, labels={"zone": "b"})}
    cluster = Cluster(workers, a_spec("web", replicas=4, placement=policy))
    cluster.want()
    assert cluster.zone_counts("web") == {"a": 2, "b": 1}
    reason = named(cluster, "web-3").reason
    assert "w0: spread over zone by at most 1" in str(reason)
    assert "w1: MiB of memory needs 256, free 0" in str(reason)


def test_a_lost_zone_does_not_hold_the_spread_back() -> None:
    policy = PlacementPolicy(spread=(Spread(over="zone"),))
    cluster = Cluster(zones("a", "b", "c"), a_spec("web", replicas=4, placement=policy))
    cluster.availability["w2"] = Availability(Standing.LOST)
    cluster.want()
    assert cluster.zone_counts("web") == {"a": 2, "b": 2}


def test_a_worker_without_the_label_takes_none_of_what_is_spread_over_it() -> None:
    policy = PlacementPolicy(spread=(Spread(over="zone", max_skew=2),))
    cluster = Cluster({"w0": some_facts(), **zones("x", "a")}, a_spec("web", replicas=2, placement=policy))
    cluster.snapshot = replace(
        cluster.snapshot,
        workers={
            **cluster.snapshot.workers,
            "w0": replace(cluster.snapshot.workers["w0"], facts=some_facts()),
        },
    )
    cluster.want()
    assert cluster.where("web-0", "web-1") == ["w1", "w1"]


def test_anti_affinity_holds_both_ways_and_against_oneself() -> None:
    shy = PlacementPolicy(anti_affinity=("db", "shy"))
    specs = (a_spec("db"), a_spec("shy", replicas=2, placement=shy))
    cluster = Cluster(zones("a", "b"), *specs)
    cluster.want("shy-0")
    cluster.want()
    db, first, second = cluster.where("db-0", "shy-0", "shy-1")
    assert (db, first, second) == ("w1", "w0", "")
    reason = str(named(cluster, "shy-1").reason)
    assert "w0: shy is there, which it is kept apart from" in reason
    assert "w1: db is there, which it is kept apart from" in reason


def test_affinity_goes_beside_the_other_whatever_their_sizes() -> None:
    near = PlacementPolicy(affinity=("db",))
    cluster = Cluster(zones("a", "b"), a_spec("db", memory_mb=128), a_spec("web", memory_mb=4096, placement=near))
    cluster.want()
    assert cluster.where("web-0") == cluster.where("db-0")


def test_affinity_to_what_runs_nowhere_waits() -> None:
    near = PlacementPolicy(affinity=("db",))
    cluster = Cluster(zones("a"), a_spec("db"), a_spec("web", placement=near))
    cluster.want("web-0")
    assert "db is not there" in str(named(cluster, "web-0").reason)
    cluster.want("db-0")
    cluster.settle()
    assert cluster.where("web-0") == ["w0"]


def test_those_who_name_each_other_find_together() -> None:
    specs = (
        a_spec("a", placement=PlacementPolicy(affinity=("b",))),
        a_spec("b", placement=PlacementPolicy(affinity=("a",))),
    )
    cluster = Cluster(zones("x", "y"), *specs)
    cluster.want()
    assert len(set(cluster.where("a-0", "b-0"))) == 1 and cluster.where("a-0") != [""]


def test_replicas_that_name_themselves_stay_together() -> None:
    cluster = Cluster(zones("x", "y"), a_spec("a", replicas=3, placement=PlacementPolicy(affinity=("a",))))
    cluster.want()
    assert len(set(cluster.where("a-0", "a-1", "a-2"))) == 1


def test_disk_is_counted_where_a_worker_says_how_much_it_has() -> None:
    workers = {"w0": some_facts(disk_mb=1500), "w1": some_facts(disk_mb=100)}
    cluster = Cluster(workers, a_spec("a", volumes=KEPT), a_spec("b", volumes=KEPT))
    cluster.want()
    assert cluster.where("a-0", "b-0") == ["w0", ""]
    assert "w0: MiB of disk needs 1024, free 476" in str(named(cluster, "b-0").reason)


def test_a_volume_keeps_its_disk_while_its_vm_is_nowhere_and_takes_no_second_one() -> None:
    cluster = Cluster({"w0": some_facts(disk_mb=1500)}, a_spec("a", volumes=KEPT), a_spec("b", volumes=KEPT))
    cluster.want("a-0")
    cluster.availability["w0"] = DRAINING
    cluster.rest()
    cluster.availability["w0"] = READY
    cluster.want("b-0")
    assert cluster.where("a-0", "b-0") == ["w0", ""]


def test_memory_is_overcommitted_only_where_it_is_set() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=256)}, a_spec("web", replicas=2))
    cluster.overcommit = Overcommit(memory=2.0)
    cluster.want()
    assert cluster.where("web-0", "web-1") == ["w0", "w0"]


def test_what_wants_no_gpu_keeps_off_the_worker_that_has_one() -> None:
    cluster = Cluster({"w0": some_facts(extras={"gpu": 1}), "w1": some_facts()}, a_spec("a"), a_spec("b"))
    cluster.want()
    assert cluster.where("a-0", "b-0") == ["w1", "w1"]


def test_a_cordoned_worker_keeps_what_it_has_and_takes_nothing() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("web", replicas=4))
    cluster.want("web-0", "web-1")
    cluster.availability["w0"] = CORDONED
    cluster.want()
    assert sorted(cluster.where("web-0", "web-1", "web-2", "web-3")) == ["w0", "w1", "w1", "w1"]


def test_many_workers_are_summed_up_by_what_they_lack() -> None:
    workers = {f"w{number:02}": some_facts(memory_mb=128 + number, labels={}) for number in range(30)}
    cluster = Cluster(workers, a_spec("web", memory_mb=1024))
    cluster.availability["w07"] = CORDONED
    cluster.want()
    assert str(named(cluster, "web-0").reason) == (
        "no worker has room for it; w07: cordoned; 29 workers such as w29: MiB of memory needs 1024, free 157"
    )


def low(**fields: Any) -> VmSpec:
    return a_spec("low", placement=PlacementPolicy(priority=10), **fields)


def high(**fields: Any) -> VmSpec:
    return a_spec("high", placement=PlacementPolicy(priority=90), **{"memory_mb": 1024, **fields})


def test_what_is_worth_more_takes_the_room_of_what_is_worth_less() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=1024)}, low(replicas=4), high(memory_mb=512))
    cluster.want("low-0", "low-1", "low-2", "low-3")
    cluster.want("high-0")
    leaving = [name for name, one in cluster.snapshot.placements.items() if one.leaving]
    assert len(leaving) == 2
    assert named(cluster, leaving[0]).reason.code is ReasonCode.PREEMPTED
    assert named(cluster, "high-0").reason.code is ReasonCode.WAITING
    assert not cluster.settle(), "asked again, nobody else is told to leave"
    cluster.leave()
    assert str(named(cluster, leaving[0]).reason) == "makes room on w0 for high, whose priority is 90"
    cluster.settle()
    assert cluster.where("high-0") == ["w0"]
    assert cluster.where(*leaving) == ["", ""]


def test_the_least_important_leave_and_on_the_worker_where_that_is_enough() -> None:
    specs = (
        a_spec("mid", memory_mb=1024, placement=PlacementPolicy(priority=40)),
        a_spec("low", memory_mb=1024, placement=PlacementPolicy(priority=10)),
        high(),
    )
    cluster = Cluster(zones("a", "b", memory_mb=1024), *specs)
    cluster.want("mid-0", "low-0")
    cluster.want("high-0")
    assert [name for name, one in cluster.snapshot.placements.items() if one.leaving] == ["low-0"]


def test_equals_do_not_push_each_other_out() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=256)}, a_spec("a"), a_spec("b"))
    cluster.want("b-0")
    cluster.want()
    assert cluster.where("a-0", "b-0") == ["", "w0"]


def test_nobody_leaves_where_that_would_not_be_enough() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=512)}, low(), high())
    cluster.want("low-0")
    cluster.want("high-0")
    assert not named(cluster, "low-0").leaving
    assert named(cluster, "high-0").reason.code is ReasonCode.REFUSED


def test_room_that_is_being_made_is_not_taken_by_others() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=1024)}, low(memory_mb=768), high(), a_spec("small", memory_mb=256))
    cluster.want("low-0")
    cluster.want("high-0")
    cluster.want("small-0")
    assert cluster.where("small-0") == [""]
    cluster.rest()
    assert cluster.where("high-0", "small-0", "low-0") == ["w0", "", ""]


def test_a_preempted_vm_with_a_kept_volume_waits_for_its_worker_and_goes_nowhere_else() -> None:
    cluster = Cluster(zones("a", memory_mb=1024), low(volumes=KEPT), high())
    cluster.want("low-0")
    cluster.want("high-0")
    cluster.leave()
    cluster.settle()
    wider = a_snapshot(**zones("a", "b", memory_mb=1024)).workers
    cluster.snapshot = replace(cluster.snapshot, workers={**wider, **cluster.snapshot.workers})
    cluster.availability["w1"] = READY
    cluster.rest()
    assert cluster.where("high-0", "low-0") == ["w0", ""]
    assert str(named(cluster, "low-0").reason).startswith("volume on w0")


def test_of_equals_the_one_without_a_kept_volume_leaves() -> None:
    other = a_spec("other", placement=PlacementPolicy(priority=10))
    cluster = Cluster({"w0": some_facts(memory_mb=512)}, low(volumes=KEPT), other, high(memory_mb=256))
    cluster.want("low-0", "other-0")
    cluster.want("high-0")
    assert [name for name, one in cluster.snapshot.placements.items() if one.leaving] == ["other-0"]


def test_a_drain_moves_one_of_a_vm_at_a_time_and_ends_with_an_empty_worker() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("web", replicas=4), a_spec("solo"))
    cluster.want()
    cluster.availability["w0"] = DRAINING
    cluster.settle()
    leaving = [one for one in cluster.snapshot.placements.values() if one.leaving]
    assert sorted(one.vm for one in leaving) == sorted({one.vm for one in leaving})
    assert all(str(one.reason) == "w0 is draining: new kernel" for one in leaving)
    assert not cluster.settle()
    cluster.rest()
    assert not list(cluster.snapshot.placed_on("w0"))
    assert set(cluster.where(*cluster.snapshot.placements)) == {"w1"}


def test_a_drain_waits_for_the_health_of_the_others() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("web", replicas=2))
    cluster.want()
    cluster.availability["w0"] = DRAINING
    cluster.unhealthy = {"web-1"}
    assert cluster.where("web-0", "web-1") == ["w0", "w1"]
    assert not cluster.settle()
    cluster.unhealthy = set()
    assert cluster.settle()


def test_what_is_not_healthy_anyway_leaves_at_once() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("web", replicas=2))
    cluster.want()
    cluster.availability["w0"] = DRAINING
    cluster.unhealthy = {"web-0", "web-1"}
    assert cluster.settle()


def test_nothing_leaves_a_draining_worker_while_there_is_no_other_room() -> None:
    cluster = Cluster({"w0": some_facts(), "w1": some_facts(memory_mb=128)}, a_spec("web"))
    cluster.want()
    cluster.availability["w0"] = DRAINING
    assert not cluster.settle()


def test_no_more_move_at_a_time_than_are_allowed() -> None:
    cluster = Cluster(zones("a", "b"), *(a_spec(name) for name in "abcdef"))
    cluster.want()
    cluster.most_moving = 2
    for name in cluster.snapshot.workers:
        cluster.availability[name] = DRAINING if name in cluster.where("a-0") else READY
    cluster.settle()
    assert sum(one.leaving for one in cluster.snapshot.placements.values()) == 2


def test_a_drained_vm_with_a_kept_volume_waits_and_comes_back() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("db", volumes=KEPT))
    cluster.want()
    home = cluster.where("db-0")[0]
    cluster.availability[home] = DRAINING
    cluster.rest()
    assert named(cluster, "db-0").worker_id == ""
    assert str(named(cluster, "db-0").reason).startswith(f"volume on {home}")
    cluster.availability[home] = READY
    cluster.rest()
    assert cluster.where("db-0") == [home]


def test_a_drained_vm_whose_volume_may_be_made_anew_moves() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("db", volumes=LOSABLE))
    cluster.want()
    home = cluster.where("db-0")[0]
    cluster.availability[home] = DRAINING
    cluster.rest()
    assert cluster.where("db-0") not in ([home], [""])
    assert cluster.snapshot.volume_bindings["db-0"] == cluster.where("db-0")[0]


def test_a_vm_leaves_a_worker_that_lost_a_required_label_one_at_a_time() -> None:
    policy = PlacementPolicy(require=(LabelExpression(key="zone", values=("a",)),))
    cluster = Cluster(zones("a", "a"), a_spec("web", replicas=4, placement=policy))
    cluster.want()
    workers = dict(cluster.snapshot.workers)
    workers["w0"] = replace(workers["w0"], facts=some_facts(labels={"zone": "b"}))
    cluster.snapshot = replace(cluster.snapshot, workers=workers)
    cluster.settle()
    leaving = [one for one in cluster.snapshot.placements.values() if one.leaving]
    assert [one.reason.code for one in leaving] == [ReasonCode.MISPLACED]
    cluster.rest()
    assert set(cluster.where("web-0", "web-1", "web-2", "web-3")) == {"w1"}


def test_an_instance_that_is_leaving_to_make_room_goes_on_leaving_when_its_target_changes() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=1024)}, low(), high())
    cluster.want("low-0")
    cluster.want("high-0")
    cluster.snapshot = replace(
        cluster.snapshot, generations={**cluster.snapshot.generations, 2: a_generation(2, low(), high())}
    )
    cluster.settle({"low-0": 2})
    assert named(cluster, "low-0").leaving
    assert named(cluster, "low-0").generation == 2


def explained(cluster: Cluster, instance: str) -> Iterator[str]:
    found = explain(cluster.snapshot, instance, availability=cluster.availability, overcommit=cluster.overcommit)
    yield from found.sentences


def test_explain_says_why_here_and_why_not_there() -> None:
    policy = PlacementPolicy(require=(LabelExpression(key="zone", values=("a", "b")),))
    cluster = Cluster(zones("a", "b", "c", "a"), a_spec("web", placement=policy))
    cluster.availability["w3"] = CORDONED
    cluster.want()
    found = explain(cluster.snapshot, "web-0", availability=cluster.availability, overcommit=cluster.overcommit)
    assert found.worker_id == "w0"
    assert [(fit.worker_id, fit.fits) for fit in found.workers] == [
        ("w0", True),
        ("w1", True),
        ("w2", False),
        ("w3", False),
    ]
    assert str(found.workers[2].lacks[0]) == "w2: label zone in a, b"
    assert found.workers[3].standing == "cordoned: new fans"
    assert found.sentences[1] == "2 of 4 workers could take it now"
    told = answer(found)
    assert told.workers[2].lacks == ("label zone in a, b",)
    assert told.more == 0


def test_explain_says_why_nowhere() -> None:
    cluster = Cluster({"w0": some_facts(memory_mb=128)}, a_spec("web"))
    cluster.want()
    assert list(explained(cluster, "web-0")) == [
        "no worker has room for it; w0: MiB of memory needs 256, free 128",
        "0 of 1 workers could take it now",
    ]


def test_explain_says_that_another_would_be_better_and_that_nobody_moves_for_it() -> None:
    cluster = Cluster(zones("a", "b", memory_mb=512), a_spec("web", replicas=2))
    cluster.availability["w1"] = CORDONED
    cluster.want()
    cluster.availability["w1"] = READY
    assert "w1 would be better now; an instance is not moved for that" in list(explained(cluster, "web-0"))


def test_explain_says_what_its_worker_would_lack_now() -> None:
    cluster = Cluster(zones("a"), a_spec("db", volumes=KEPT))
    cluster.want()
    cluster.availability["w0"] = CORDONED
    assert "w0 keeps it, though now it would lack: w0: cordoned" in list(explained(cluster, "db-0"))
    with pytest.raises(NotFound, match="web-0"):
        explain(cluster.snapshot, "web-0", availability={}, overcommit=cluster.overcommit)


def test_a_placement_on_a_worker_that_is_gone_leaves_it_to_its_worker() -> None:
    snapshot: Snapshot = Cluster(zones("a"), a_spec("web")).snapshot
    lost = Placement("web-0", 1, "gone", "10.77.9.2/24")
    snapshot = apply(snapshot, PlacementsChanged((lost,)))
    events, blocked = settle(snapshot, {"web-0": 1}, under=Conditions(dict.fromkeys(snapshot.workers, READY)))
    assert not blocked
    assert isinstance(events[0], PlacementsChanged)
    assert events[0].placements[0].leaving


def test_an_explanation_for_people_has_the_standing_of_each_worker_at_that_moment() -> None:
    cluster = Cluster(zones("a", "b"), a_spec("web"))
    cluster.want()
    nobody_spoke = Observations(connected=frozenset({"w0"}))
    told = explanation(cluster.snapshot, nobody_spoke, "web-0", now_ms=1000, limits=Limits())
    assert told.worker_id == "w0"
    assert told.workers[0].lacks == ()
    assert told.workers[1].lacks == ("not heard of",)


def test_nobody_makes_room_for_what_could_not_be_there_without_them() -> None:
    near = PlacementPolicy(affinity=("low",), priority=90)
    cluster = Cluster(
        {"w0": some_facts(memory_mb=1024)}, low(memory_mb=512), a_spec("high", memory_mb=1024, placement=near)
    )
    cluster.want("low-0")
    cluster.want("high-0")
    assert not named(cluster, "low-0").leaving
    cluster.rest()


def test_replicas_that_wait_for_room_keep_apart_as_if_they_were_there() -> None:
    shy = PlacementPolicy(anti_affinity=("high",), spread=(Spread(over="zone"),), priority=90)
    cluster = Cluster(zones("a", "a", "b", memory_mb=1024), low(replicas=12), a_spec("high", replicas=2, placement=shy))
    cluster.want(*(f"low-{number}" for number in range(12)))
    cluster.want("high-0", "high-1")
    leaving = {one.worker_id for one in cluster.snapshot.placements.values() if one.leaving}
    assert len(leaving) == 2 and "w2" in leaving
    cluster.rest()
    assert cluster.zone_counts("high") == {"a": 1, "b": 1}


def test_nobody_is_put_beside_what_has_just_been_told_to_leave() -> None:
    near = PlacementPolicy(affinity=("low",), priority=10)
    cluster = Cluster(zones("a", memory_mb=1024), low(memory_mb=512), high(), a_spec("near", placement=near))
    cluster.want("low-0")
    cluster.want("high-0", "near-0")
    assert cluster.where("near-0") == [""]
    assert "low is not there, which it goes beside" in str(named(cluster, "near-0").reason)


def test_a_port_of_a_worker_is_published_by_one_instance() -> None:
    web = a_spec("web", replicas=3, network=Network(ports=(PublishedPort(name="http", port=80, publish=8080),)))
    api = a_spec("api", network=Network(ports=(PublishedPort(name="http", port=81, publish=8080),)))
    other = a_spec("other", network=Network(ports=(PublishedPort(name="http", port=80, publish=9090),)))
    cluster = Cluster(zones("a", "a", "a", "a"), web, api, other)
    cluster.want()
    takers = cluster.where("web-0", "web-1", "web-2", "api-0")
    assert len(set(takers)) == 4, "each has a worker of its own"
    assert cluster.where("other-0")[0] in takers, "another port is no reason"


def test_more_publishers_than_workers_leave_one_unplaced_with_the_reason() -> None:
    web = a_spec("web", replicas=2, network=Network(ports=(PublishedPort(name="http", port=80, publish=8080),)))
    cluster = Cluster(zones("a"), web)
    cluster.want()
    left = next(one for one in cluster.snapshot.placements.values() if not one.worker_id)
    assert "kept apart" in str(left.reason)
