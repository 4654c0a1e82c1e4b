"""Lost workers, leases, mass losses, coming and going, and what operators order: the pure core on made-up clocks."""

from dataclasses import replace

import pytest

from control_plane.events import StateEvent, WorkerForgotten, apply
from control_plane.liveness import orders
from control_plane.liveness.changes import (
    LeaseChanged,
    VolumeReleased,
    WorkerCordoned,
    WorkerGivenUp,
    WorkerTakenBack,
    WorkerUncordoned,
)
from control_plane.liveness.leases import lease_change, lease_for
from control_plane.liveness.losses import held_back_ms, returned
from control_plane.liveness.records import Cordon, LivenessState
from control_plane.liveness.timing import Timing
from control_plane.liveness.watch import LivenessWatch
from control_plane.observations import Observations, Return
from control_plane.state import Placement, ReasonCode, Snapshot
from control_plane.tests.builders import EPOCH, a_generation, a_snapshot, a_spec, some_facts
from control_plane.tests.world import LIMITS, World
from schema.blueprint import OnLoss, RolloutPolicy, Volume
from schema.errors import Conflict, NotFound
from schema.interfaces import Identity, Role
from schema.status import Directive, Event, RolloutState, WorkerReport, WorkerState
from schema.vmspec import VmSpec

KEPT = {"data": Volume(size_mb=8, mount="/data")}
MADE_ANEW = {"data": Volume(size_mb=8, mount="/data", on_loss=OnLoss.RECREATE)}
SOLO, CACHE, DB = a_spec("solo", singleton=True), a_spec("cache", volumes=MADE_ANEW), a_spec("db", volumes=KEPT)
WEB = a_spec("web", replicas=2)
TIMING = Timing()


def a_world(*specs: VmSpec, workers: int = 3) -> World:
    """A cluster on which `specs` (else one of each kind) run."""
    world = World(a_snapshot(**{f"w{number}": some_facts() for number in range(workers)}))
    policy = RolloutPolicy(min_healthy_ms=500, max_parallel=10)
    world.publish(a_generation(1, *(specs or (SOLO, CACHE, DB, WEB)), rollout=policy))
    assert world.run() is RolloutState.SUCCEEDED
    return world


def home(world: World, instance: str) -> str:
    return world.snapshot.placements[instance].worker_id


def silence(world: World, *workers: str, seconds: float) -> None:
    """Let these say nothing for so long; the others go on as ever."""
    for worker_id in workers:
        world.workers[worker_id].silent = True
    for _ in range(int(seconds * 1000 / world.pace_ms)):
        world.look()


def of(world: World, kind: type[StateEvent]) -> list[StateEvent]:
    return [event for event in world.history if isinstance(event, kind)]


def test_a_lost_workers_ordinary_instances_go_elsewhere_at_once_and_fenced_ones_after_lease_and_margin() -> None:
    world = a_world(SOLO, a_spec("web", replicas=3))
    lost = home(world, "solo-0")
    web = next(name for name, one in world.snapshot.placements.items() if one.worker_id == lost and one.vm == "web")
    silence(world, lost, seconds=42)
    assert home(world, web) not in ("", lost)
    assert home(world, "solo-0") == lost
    silence(world, lost, seconds=9)
    assert home(world, "solo-0") not in ("", lost)
    eviction = world.snapshot.liveness.evictions[lost]
    assert eviction.fenced and set(eviction.instances) == {web, "solo-0"}


def test_what_keeps_a_volume_stays_bound_and_says_so_and_what_is_made_anew_goes() -> None:
    world = a_world(DB, CACHE)
    for instance in ("db-0", "cache-0"):
        lost = home(world, instance)
        silence(world, lost, seconds=60)
        if instance == "cache-0":
            assert home(world, instance) not in ("", lost)
            assert world.snapshot.volume_bindings[instance] == home(world, instance)
        else:
            assert home(world, instance) == lost
            status = next(vm for vm in world.status().vms if vm.instance == instance)
            assert status.reason.startswith(f"volume on {lost}; {lost} has not been heard of for ")
        world.workers[lost].silent = False
        for _ in range(10):
            world.look()


def test_a_returning_worker_gets_no_lease_and_nothing_new_until_it_has_let_go() -> None:
    world = a_world(SOLO)
    lost = home(world, "solo-0")
    silence(world, lost, seconds=60)
    worker = world.workers[lost]
    late = worker.report()
    assert late.running_vms and lease_for(world.snapshot, late, timing=TIMING) == 0
    knows = late.model_copy(update={"revision": world.snapshot.workers[lost].revision})
    assert lease_for(world.snapshot, knows, timing=TIMING) == 0, "it still runs what it lost"
    forgot = late.model_copy(update={"running_vms": ()})
    assert lease_for(world.snapshot, forgot, timing=TIMING) == 0, "by its assignment it would run it again"
    clear = knows.model_copy(update={"running_vms": ()})
    assert lease_for(world.snapshot, clear, timing=TIMING) == 40_000
    other_database = clear.model_copy(update={"epoch": "f" * 32})
    assert lease_for(world.snapshot, other_database, timing=TIMING) == 0
    worker.silent, worker.deaf = False, True
    world.look()
    (status,) = (one for one in world.status().workers if one.worker_id == lost)
    assert (status.state, status.reason) == (
        WorkerState.CORDONED,
        "back, and has not let go of what was placed elsewhere yet",
    )
    worker.deaf = False
    world.look()
    world.look()
    assert of(world, WorkerTakenBack) and lost not in world.snapshot.liveness.evictions
    assert worker.vms == {} and home(world, "solo-0") != lost, "it stops what moved away, and that stays where it is"


def test_a_worker_that_is_still_stopping_what_it_lost_has_not_let_go_of_it() -> None:
    world = a_world(SOLO)
    lost = home(world, "solo-0")
    silence(world, lost, seconds=60)
    worker = world.workers[lost]
    worker.silent, worker.slow = False, True
    for _ in range(5):
        world.look()
    assert worker.report().revision == world.snapshot.workers[lost].revision, "it knows"
    assert lost in world.snapshot.liveness.evictions
    assert lease_for(world.snapshot, worker.report(), timing=TIMING) == 0
    worker.slow = False
    world.look()
    world.look()
    assert lost not in world.snapshot.liveness.evictions


def test_only_those_who_lost_a_fenced_singleton_are_refused_a_lease() -> None:
    snapshot = apply(a_snapshot(), LeaseChanged(40_000))
    snapshot = apply(snapshot, WorkerGivenUp("w0", (), fenced=False, at_ms=0, reason="gone"))
    assert lease_for(snapshot, WorkerReport(worker_id="w0"), timing=TIMING) == 40_000
    snapshot = apply(snapshot, WorkerForgotten("w0"))
    assert snapshot.liveness == LivenessState(lease_ms=40_000)


def test_when_too_many_vanish_together_nothing_is_evicted_and_it_is_told_until_they_are_back() -> None:
    world = a_world(workers=5)
    watch = LivenessWatch(timing=TIMING, now_ms=world.now_ms)
    before = dict(world.snapshot.placements)
    gone = ("w0", "w1", "w2")
    silence(world, *gone, seconds=120)
    assert world.snapshot.placements == before
    status = world.status()
    assert "eviction is stopped: 3 of 5 workers vanished at about the same time" in status.reason
    told = watch.news(world.snapshot, world.observations, now_ms=world.now_ms, wall_ms=0)
    assert "eviction is stopped" in told[-1].message and told[-1].subject == "fleet"
    assert watch.news(world.snapshot, world.observations, now_ms=world.now_ms, wall_ms=0) == (), "it is told once"
    world.workers["w0"].silent = False
    world.look()
    assert "eviction" not in world.status().reason
    assert any(one.message.startswith("eviction goes on") for one in _news(watch, world))
    silence(world, seconds=5)
    assert all(not world.snapshot.placements[name].worker_id.startswith(("w1", "w2")) for name in ("web-0", "web-1"))


def test_the_first_that_comes_back_from_a_mass_loss_does_not_have_the_others_evicted() -> None:
    world = a_world(workers=5)
    watch = LivenessWatch(timing=TIMING, now_ms=world.now_ms)
    gone = ("w0", "w1", "w2")
    silence(world, *gone, seconds=120)
    before = dict(world.snapshot.placements)
    for worker_id in gone:  # each at its own next report
        world.workers[worker_id].silent = False
        world.observations = watch.back(world.observations, worker_id, now_ms=world.now_ms)
        silence(world, seconds=9)
        assert of(world, WorkerGivenUp) == []
    assert world.snapshot.placements == before
    assert "eviction" not in world.status().reason


def test_who_does_not_come_back_from_a_mass_loss_is_evicted_after_all() -> None:
    world = a_world(workers=5)
    watch = LivenessWatch(timing=TIMING, now_ms=world.now_ms)
    silence(world, "w0", "w1", "w2", seconds=120)
    for worker_id in ("w0", "w1"):
        world.workers[worker_id].silent = False
        world.observations = watch.back(world.observations, worker_id, now_ms=world.now_ms)
    silence(world, seconds=39)
    assert of(world, WorkerGivenUp) == []
    silence(world, seconds=3)
    assert [event.worker_id for event in of(world, WorkerGivenUp) if isinstance(event, WorkerGivenUp)] == ["w2"]


def _news(watch: LivenessWatch, world: World) -> tuple[Event, ...]:
    return watch.news(world.snapshot, world.observations, now_ms=world.now_ms, wall_ms=0)


def test_an_operator_who_drains_a_lost_worker_has_it_evicted_in_a_mass_loss_too() -> None:
    world = a_world(SOLO, workers=2)
    silence(world, "w0", "w1", seconds=60)
    lost = home(world, "solo-0")
    assert of(world, WorkerGivenUp) == []
    world.change(WorkerCordoned(Cordon(lost, draining=True)))
    world.look()
    assert home(world, "solo-0") == "", "the other one is lost too"


def test_workers_that_vanish_at_one_moment_but_were_last_heard_at_others_are_seen_as_one_loss() -> None:
    world = a_world(WEB, workers=4)
    before = {name: one.worker_id for name, one in world.snapshot.placements.items()}
    for number in range(3):  # each reports every 10 s, at its own time; then the cable is cut
        silence(world, f"w{number}", seconds=3)
    silence(world, seconds=120)
    assert {name: one.worker_id for name, one in world.snapshot.placements.items()} == before


def test_losses_far_apart_are_no_mass_loss() -> None:
    world = a_world(WEB, workers=4)
    for number in range(3):
        silence(world, f"w{number}", seconds=130)
    assert {one.worker_id for one in world.snapshot.placements.values()} == {"w3"}
    world.restart()
    silence(world, seconds=130)
    assert "eviction" not in world.status().reason, "those given up long ago count neither way after a restart"


def test_after_its_own_restart_the_control_plane_expires_nothing_for_a_lease() -> None:
    world = a_world(SOLO)
    lost = home(world, "solo-0")
    silence(world, lost, seconds=30)
    world.restart()
    silence(world, lost, seconds=39)
    assert world.snapshot.liveness.evictions == {}
    silence(world, lost, seconds=10)
    assert home(world, "solo-0") == lost, "a lease that was given just before it died may be in force"
    silence(world, lost, seconds=3)
    assert home(world, "solo-0") not in ("", lost)


def test_after_it_was_itself_suspended_it_hears_everyone_out_first() -> None:
    watch, observations = LivenessWatch(timing=TIMING, now_ms=0), Observations()
    observations = observations.with_report(WorkerReport(worker_id="w0"), now_ms=1000)
    assert watch.after_pause(observations, now_ms=15_000).silent_ms("w0", now_ms=15_000) == 14_000
    resumed = watch.after_pause(observations, now_ms=300_000)
    assert resumed.silent_ms("w0", now_ms=300_000) == 0
    assert TIMING.longest_pause_ms < TIMING.suspended_after_ms, "its own pauses are no suspension"


def test_a_longer_lease_is_on_disk_before_it_is_given_and_a_shorter_one_when_the_longer_is_over() -> None:
    snapshot, observations = a_snapshot(), Observations(started_ms=1000)
    longer, shorter = Timing(lease_ms=90_000), Timing(lease_ms=20_000)
    report = WorkerReport(worker_id="w0")
    assert lease_for(snapshot, report, timing=TIMING) == 0, "none is on disk yet"
    snapshot = apply(snapshot, *lease_change(snapshot, observations, now_ms=1000, timing=TIMING))
    assert lease_for(snapshot, report, timing=longer) == 40_000
    assert lease_change(snapshot, observations, now_ms=1000, timing=longer) == (LeaseChanged(90_000),)
    assert lease_change(snapshot, observations, now_ms=40_000, timing=shorter) == ()
    assert lease_for(snapshot, report, timing=shorter) == 20_000
    assert shorter.fenced_after_ms(snapshot) == 50_000, "an earlier lease may still be in force"
    assert lease_change(snapshot, observations, now_ms=51_001, timing=shorter) == (LeaseChanged(20_000),)


def test_one_that_comes_and_goes_takes_nothing_new_for_a_while_that_doubles() -> None:
    known: Return | None = None
    waits = []
    for _ in range(9):
        known = returned(known, now_ms=0, timing=TIMING)
        waits.append(held_back_ms(known, now_ms=0, timing=TIMING) // 1000)
    assert waits == [0, 40, 80, 160, 320, 640, 1280, 1800, 1800]
    assert held_back_ms(known, now_ms=1_800_000, timing=TIMING) == 0
    assert returned(known, now_ms=2 * 3600 * 1000, timing=TIMING).count == 1, "it has been steady since"


def test_a_flapping_worker_is_shown_and_its_former_vms_do_not_come_back() -> None:
    world = a_world(a_spec("web", replicas=3))
    for _ in range(3):
        silence(world, "w0", seconds=60)
        watch = LivenessWatch(timing=TIMING, now_ms=world.now_ms)
        world.observations = watch.back(world.observations, "w0", now_ms=world.now_ms)
        world.workers["w0"].silent = False
        for _ in range(6):
            world.look()
    assert all(one.worker_id != "w0" for one in world.snapshot.placements.values())
    (status,) = (one for one in world.status().workers if one.worker_id == "w0")
    assert status.state is WorkerState.CORDONED
    assert status.reason.startswith("came back 3 times lately: nothing new for ")


def test_a_vm_that_became_a_singleton_behind_its_workers_back_is_not_taken_for_fenced() -> None:
    world = a_world(a_spec("solo"))
    lost = home(world, "solo-0")
    world.workers[lost].silent = True
    world.publish(a_generation(2, SOLO, rollout=RolloutPolicy(min_healthy_ms=500)))
    silence(world, seconds=200)
    assert home(world, "solo-0") == lost, "it runs there without a fence, for all we know"
    world.change(WorkerCordoned(Cordon(lost, draining=True, reason="the machine is off")))
    silence(world, seconds=5)
    assert home(world, "solo-0") not in ("", lost)


def an_order(snapshot: Snapshot, worker_id: str = "w0", *, cordoned: bool = True, reason: str = "") -> Snapshot:
    for event in orders.cordon(snapshot, worker_id, cordoned=cordoned, reason=reason, actor="uid:0", wall_ms=5):
        snapshot = apply(snapshot, event)
    return snapshot


def test_cordon_and_drain_are_idempotent_and_lifted_together() -> None:
    snapshot = an_order(a_snapshot(), reason="new disk")
    assert snapshot.liveness.cordons["w0"] == Cordon("w0", reason="new disk", actor="uid:0", since_ms=5)
    assert an_order(snapshot) is snapshot
    order = {"deadline_ms": 60_000, "reason": "off", "actor": "uid:0"}
    (drain,) = orders.drain(snapshot, "w0", **order, wall_ms=1000)  # type: ignore[arg-type]
    snapshot = apply(snapshot, drain)
    assert snapshot.liveness.cordons["w0"].until_ms == 61_000
    assert an_order(snapshot, reason="more").liveness.cordons["w0"].draining, "a drain goes on"
    assert orders.cordon(snapshot, "w0", cordoned=False, reason="", actor="a", wall_ms=1) == (WorkerUncordoned("w0"),)
    for call in (lambda: an_order(snapshot, "w9"), lambda: orders.drain(snapshot, "w9", **order, wall_ms=1)):  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="w9"):
            call()


def test_orders_are_audited_with_what_was_and_what_is() -> None:
    before = a_snapshot()
    after = an_order(before, reason="new disk")
    actor = Identity("token:ann", Role.OPERATOR, "10.0.0.1")
    draft = orders.order_audit(before, after, actor=actor, action="cordonWorker", worker_id="w0")
    assert (draft.actor, draft.subject, draft.old, draft.new) == ("token:ann", "w0", "", "cordoned: new disk")


def test_a_drained_worker_gets_empty_and_takes_nothing_until_it_is_uncordoned() -> None:
    world = a_world()
    worker_id = home(world, "db-0")
    world.change(WorkerCordoned(Cordon(worker_id, draining=True, reason="new disk")))
    for _ in range(40):
        world.look()
    assert world.workers[worker_id].vms == {}
    (status,) = (one for one in world.status().workers if one.worker_id == worker_id)
    assert (status.state, status.reason, status.vms) == (WorkerState.DRAINING, "new disk", 0)
    assert f"volume on {worker_id}" in str(world.snapshot.placements["db-0"].reason)
    world.change(WorkerUncordoned(worker_id))
    for _ in range(10):
        world.look()
    assert home(world, "db-0") == worker_id, "back to its volume"


def test_at_a_drains_deadline_what_is_left_leaves_whether_there_is_a_place_or_not() -> None:
    world = a_world(SOLO, workers=1)
    world.change(WorkerCordoned(Cordon("w0", draining=True, until_ms=world.now_ms + 20_000)))
    for _ in range(30):
        world.look()
    assert home(world, "solo-0") == "w0", "it has nowhere to go"
    for _ in range(20):
        world.look()
    assert world.workers["w0"].vms == {} and home(world, "solo-0") == ""


def released(world: World, volume: str = "") -> None:
    for event in orders.release(world.snapshot, "db-0", volume=volume):
        world.change(event)


def test_a_volume_is_released_from_a_living_worker_by_its_word_alone() -> None:
    world = a_world(DB)
    worker_id = home(world, "db-0")
    world.change(WorkerCordoned(Cordon(worker_id)))
    world.workers[worker_id].deaf = True
    released(world, "data")
    for _ in range(20):
        world.look()
    placement = world.snapshot.placements["db-0"]
    assert (placement.worker_id, placement.leaving) == (worker_id, True)
    world.workers[worker_id].deaf = False
    for _ in range(10):
        world.look()
    assert home(world, "db-0") not in ("", worker_id)


def test_a_volume_on_a_lost_worker_is_released_by_the_operators_word() -> None:
    world = a_world(DB)
    lost = home(world, "db-0")
    silence(world, lost, seconds=60)
    assert home(world, "db-0") == lost
    released(world)
    silence(world, seconds=2)
    assert home(world, "db-0") not in ("", lost)
    assert "db-0" in world.snapshot.liveness.evictions[lost].instances


def test_what_is_not_bound_cannot_be_released() -> None:
    two = {**KEPT, "logs": Volume(size_mb=8, mount="/logs")}
    world = a_world(SOLO, CACHE, a_spec("db", volumes=two))
    for instance, volume, error in (
        ("nobody-0", "", NotFound),
        ("db-0", "other", NotFound),
        ("solo-0", "", Conflict),
        ("cache-0", "data", Conflict),
        ("db-0", "data", Conflict),
    ):
        with pytest.raises(error):
            orders.release(world.snapshot, instance, volume=volume)
    assert orders.release(world.snapshot, "db-0", volume="") == (VolumeReleased("db-0"),)


def test_a_withdrawn_instance_of_a_lost_worker_is_let_go_and_its_volume_stays() -> None:
    snapshot = a_snapshot()
    leaving = Placement("db-0", 0, "w0", "10.77.0.2/24", leaving=True)
    snapshot = replace(snapshot, placements={"db-0": leaving}, volume_bindings={"db-0": "w0"})
    after = apply(snapshot, WorkerGivenUp("w0", ("db-0",), fenced=False, at_ms=1, reason="w0 is lost"))
    assert after.placements == {} and after.volume_bindings == {"db-0": "w0"}
    assert after.workers["w0"].revision > snapshot.workers["w0"].revision


def test_a_workers_answer_tells_it_to_drain_and_to_collect_what_was_forgotten() -> None:
    snapshot = apply(a_snapshot(), WorkerCordoned(Cordon("w0", draining=True)))
    watch = LivenessWatch(timing=TIMING, now_ms=0)
    report = WorkerReport(worker_id="w0", epoch=EPOCH)
    assert watch.answer(snapshot, report, wall_ms=7).directives == (Directive.DRAIN,)
    older = replace(snapshot, generations={1: a_generation(1, SOLO)})
    watch.forgotten(older, snapshot)
    assert watch.answer(snapshot, report, wall_ms=7).directives == (Directive.DRAIN, Directive.COLLECT)
    assert watch.answer(snapshot, report, wall_ms=7).directives == (Directive.DRAIN,)


def test_while_an_eviction_is_being_written_its_worker_gets_no_lease() -> None:
    snapshot = apply(a_snapshot(), LeaseChanged(40_000))
    watch = LivenessWatch(timing=LIMITS, now_ms=0)
    report = WorkerReport(worker_id="w0", epoch=EPOCH)
    watch.giving_up((WorkerGivenUp("w0", ("solo-0",), fenced=True, at_ms=0, reason="gone"),))
    assert watch.answer(snapshot, report, wall_ms=7).lease_ms == 0
    watch.gave_up()
    assert watch.answer(snapshot, report, wall_ms=7).lease_ms == 40_000


def test_an_evicted_instance_says_why_it_moved() -> None:
    world = a_world(WEB)
    lost = home(world, "web-0")
    snapshot = apply(world.snapshot, WorkerGivenUp(lost, ("web-0",), fenced=False, at_ms=1, reason=f"{lost} is lost"))
    reason = snapshot.placements["web-0"].reason
    assert (reason.code, reason.text) == (ReasonCode.EVICTED, f"{lost} is lost")
