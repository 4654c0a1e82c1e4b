"""What a worker is told of instances elsewhere: whom its entries reach, who reaches them, and by which ports."""

import weakref
from dataclasses import replace
from functools import partial

from control_plane.narrate import MOST_PLACEMENTS, state_events
from control_plane.polls import Polls
from control_plane.state import Placement, Snapshot
from control_plane.tests.builders import a_generation, a_snapshot, a_spec, assignment_for
from schema.assignment import Peer
from schema.rpc.transport.calls import Parked
from schema.vmspec import VmSpec


def placed(*specs: VmSpec, **workers: str) -> Snapshot:
    """A cluster in which the instances are on these workers."""
    snapshot = a_snapshot()
    generation = a_generation(1, *specs)
    placements = {
        instance.replace("_", "-"): Placement(
            instance.replace("_", "-"), 1, worker_id, f"10.77.{worker_id[1:]}.{number + 2}/24"
        )
        for number, (instance, worker_id) in enumerate(workers.items())
    }
    return replace(snapshot, generations={1: generation}, placements=placements)


def peers_on(snapshot: Snapshot, worker_id: str) -> dict[str, Peer]:
    return {peer.instance: peer for peer in assignment_for(snapshot, worker_id).peers}


WEB = a_spec("web", network={"connect": ["db:5432", "cache:6379"]})
DB, CACHE, ALONE = a_spec("db"), a_spec("cache"), a_spec("alone")


def test_a_peer_says_which_ports_of_the_entries_here_it_may_reach() -> None:
    snapshot = placed(WEB, DB, CACHE, ALONE, web_0="w0", db_0="w1", alone_0="w1")
    there = peers_on(snapshot, "w1")
    assert set(there) == {"web-0"}
    assert there["web-0"].ports == ("db:5432",)
    here = peers_on(snapshot, "w0")
    assert set(here) == {"db-0"}
    assert here["db-0"].ports == ()


def test_peers_on_the_same_worker_say_it_too() -> None:
    snapshot = placed(WEB, DB, CACHE, web_0="w0", db_0="w0", cache_0="w0")
    assert {name: peer.ports for name, peer in peers_on(snapshot, "w0").items()} == {
        "cache-0": (),
        "db-0": (),
        "web-0": ("cache:6379", "db:5432"),
    }


def test_a_change_of_a_whole_fleet_is_told_in_part_and_counted() -> None:
    spec = a_spec("web", replicas=MOST_PLACEMENTS + 7)
    names = [f"web_{number}" for number in range(MOST_PLACEMENTS + 7)]
    after = placed(spec, **dict.fromkeys(names, "w0"))
    events = state_events(replace(after, placements={}), after, wall_ms=1)
    told = [event for event in events if event.kind.value == "placement"]
    assert len(told) == MOST_PLACEMENTS + 1
    assert told[-1].message == "and 7 more instances by the same change"


def test_a_poll_is_woken_for_its_own_worker_alone() -> None:
    polls = Polls()
    woken: list[str] = []
    for name in ("w0", "w0", "w1"):
        polls.wait(name, partial(woken.append, name), until_s=10)
    for wake in polls.take(["w0", "unknown"]):
        wake()
    assert woken == ["w0", "w0"]
    assert not polls.take(["w0"]), "each is woken once"
    assert len(polls.take(["w1"])) == 1


def test_a_poll_ends_when_its_time_is_over_and_is_forgotten_when_nobody_waits_any_more() -> None:
    polls = Polls()
    ended: list[int] = []
    for seconds in (5, 10):
        polls.wait("w0", partial(ended.append, seconds), until_s=seconds)
    forget = polls.wait("w0", partial(ended.append, 0), until_s=1)
    forget()
    forget()
    assert not polls.take_overdue(4.9)
    for wake in polls.take_overdue(5):
        wake()
    assert ended == [5]
    assert len(polls.take(["w0"])) == 1


def test_a_poll_that_is_over_leaves_no_cycle_for_the_collector() -> None:
    class Answer:
        def __call__(self, _: object) -> None:
            """Nobody is answered here."""

    polls = Polls()
    for end in (Parked.wake, Parked.give_up):
        answer = Answer()
        parked = Parked(answer)
        parked.forget = polls.wait("w0", parked.wake, until_s=1)
        kept = weakref.ref(answer)
        polls.take(["w0"])
        end(parked)
        polls.take_overdue(1)
        del answer, parked
        assert kept() is None
