"""How a worker gets in and out: every state, every policy."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.events import GenerationPublished, PlacementsChanged, StateEvent, WorkerJoined, apply
from control_plane.identity.admission import (
    Asking,
    JoinPolicy,
    Policy,
    answer,
    approve,
    ask,
    check_admitted,
    host_of,
    reject,
    retire,
)
from control_plane.identity.changes import AdmissionChanged
from control_plane.identity.join_tokens import JOIN_TOKEN_MS, created
from control_plane.identity.records import IdentityState
from control_plane.identity.waiting import MOST_OF_ONE, MOST_PENDING, PUSHED_OUT_AFTER_MS, source_of
from control_plane.joining import log_in
from control_plane.state import Placement, Snapshot
from control_plane.tests.builders import EPOCH, a_snapshot, a_spec, admitted, key_of, some_facts
from control_plane.tests.builders import a_generation as a_published
from schema.errors import Conflict, NotFound, PermissionDenied, ProcuratorError, Unauthenticated, Unavailable
from schema.interfaces import WorkerHello
from schema.operations import Admission
from schema.signing import SecretKey

MANUAL = Policy()
TOKEN = Policy(JoinPolicy.TOKEN)
AUTO = Policy(JoinPolicy.AUTO, frozenset({0, 7}), ("192.0.2.0/24", "2001:db8::/32"))
EMPTY = Snapshot(epoch=EPOCH)
OTHER = SecretKey.from_seed("w0", b"o" * 32)
BY = "uid:0"


def asking(
    worker_id: str = "w0", *, key: SecretKey | None = None, token: str = "", peer: str = "198.51.100.1:999", at: int = 5
) -> Asking:
    return Asking(WorkerHello(worker_id, some_facts()), (key or key_of(worker_id)).public, token, peer, at)


def after(snapshot: Snapshot, events: Sequence[StateEvent]) -> Snapshot:
    for event in events:
        snapshot = apply(snapshot, event)
    return snapshot


def asked(snapshot: Snapshot, one: Asking, policy: Policy = MANUAL) -> Snapshot:
    return after(snapshot, ask(snapshot, one, policy=policy))


def with_token(secret: str, *, worker_id: str = "", at: int = 0) -> Snapshot:
    return after(EMPTY, created(IdentityState(), secret, worker_id=worker_id, by=BY, wall_ms=at))


def test_a_stranger_waits_until_an_operator_lets_it_in() -> None:
    waiting = asked(EMPTY, asking())
    assert answer(waiting, "w0", key_of("w0").public).admission is Admission.PENDING
    with pytest.raises(PermissionDenied, match="'w0' is pending"):
        check_admitted(waiting, "w0", key_of("w0").public)
    inside = after(waiting, approve(waiting, "w0", by=BY, wall_ms=9))
    check_admitted(inside, "w0", key_of("w0").public)
    record = inside.identity.admissions["w0"]
    assert (record.decided_by, record.decided_at_ms, record.asked_at_ms, record.peer) == (BY, 9, 5, "198.51.100.1")
    assert approve(inside, "w0", by="token:other", wall_ms=10) == ()


def test_asking_again_changes_nothing_but_new_facts_are_kept() -> None:
    waiting = asked(EMPTY, asking())
    assert ask(waiting, asking(at=77, peer="198.51.100.1:1000"), policy=MANUAL) == ()
    grown = replace(asking(), hello=WorkerHello("w0", some_facts(cpu=64, location="rack 3")))
    (event,) = ask(waiting, grown, policy=MANUAL)
    assert isinstance(event, AdmissionChanged)
    assert (event.record.facts.cpu, event.record.facts.location, event.record.asked_at_ms) == (64, "rack 3", 5)


def test_a_rejected_worker_is_told_why_and_may_be_approved_later() -> None:
    waiting = asked(EMPTY, asking())
    refused = after(waiting, reject(waiting, "w0", by=BY, reason="not ours", wall_ms=9))
    assert ask(refused, asking(), policy=AUTO) == ()
    assert answer(refused, "w0", key_of("w0").public).reason == "not ours"
    with pytest.raises(PermissionDenied, match="'w0' is rejected: not ours"):
        check_admitted(refused, "w0", key_of("w0").public)
    inside = after(refused, approve(refused, "w0", by=BY, wall_ms=10))
    check_admitted(inside, "w0", key_of("w0").public)


def test_a_retired_key_never_comes_back_and_a_new_key_is_decided_about_anew() -> None:
    inside = admitted(EMPTY, "w0")
    gone = after(inside, retire(inside, "w0", by=BY, reason="sold", wall_ms=9))
    old, new = key_of("w0").public, OTHER.public
    with pytest.raises(Unauthenticated, match="was retired: sold; it does not come back"):
        check_admitted(gone, "w0", old)
    assert ask(gone, asking(), policy=AUTO) == ()
    assert answer(gone, "w0", old).admission is Admission.RETIRED
    with pytest.raises(Conflict, match="is retired"):
        approve(gone, "w0", by=BY, wall_ms=10)
    with pytest.raises(Unauthenticated, match="known by another key"):
        check_admitted(gone, "w0", new)
    waiting = asked(gone, asking(key=OTHER))
    with pytest.raises(PermissionDenied, match="pending"):
        check_admitted(waiting, "w0", new)
    back = after(waiting, approve(waiting, "w0", by=BY, wall_ms=11))
    check_admitted(back, "w0", new)
    with pytest.raises(Unauthenticated, match="was retired"):
        check_admitted(back, "w0", old)


def test_a_retired_key_does_not_come_back_under_another_name_either() -> None:
    inside = admitted(EMPTY, "w0")
    gone = after(inside, retire(inside, "w0", by=BY, reason="", wall_ms=9))
    renamed = SecretKey.from_seed("w1", key_of("w0").seed)
    assert ask(gone, asking("w1", key=renamed), policy=AUTO) == ()
    with pytest.raises(Unauthenticated, match="was retired"):
        check_admitted(gone, "w1", renamed.public)


@pytest.mark.parametrize("admission", [Admission.PENDING, Admission.APPROVED])
def test_another_key_under_a_known_name_is_a_conflict_that_shows_both(admission: Admission) -> None:
    known = admitted(EMPTY, "w0", admission=admission)
    with pytest.raises(Conflict) as refused:
        ask(known, asking(key=OTHER), policy=AUTO)
    assert key_of("w0").public.fingerprint in refused.value.message
    assert OTHER.public.fingerprint in refused.value.message


def test_who_squats_a_name_is_rejected_and_the_right_one_asks_anew() -> None:
    squatted = asked(EMPTY, asking(key=OTHER))
    free = after(squatted, reject(squatted, "w0", by=BY, reason="", wall_ms=9))
    waiting = asked(free, asking())
    assert waiting.identity.admissions["w0"].fingerprint == key_of("w0").public.fingerprint
    assert waiting.identity.admissions["w0"].admission is Admission.PENDING


def test_a_worker_with_vms_or_volumes_is_not_retired() -> None:
    snapshot = apply(admitted(a_snapshot(), "w0"), GenerationPublished(a_published(1, a_spec())))
    placed = apply(snapshot, PlacementsChanged((Placement("web-0", 1, "w0", "10.77.0.2/24"),)))
    with pytest.raises(Conflict, match="still has web-0: drain it first"):
        retire(placed, "w0", by=BY, reason="", wall_ms=9)
    bound = replace(
        apply(snapshot, PlacementsChanged((Placement("web-0", 1),))), volume_bindings={"web-0": "w0", "old-0": "w0"}
    )
    with pytest.raises(Conflict, match="still holds the volumes of web-0: release them first"):
        retire(bound, "w0", by=BY, reason="", wall_ms=9)


def test_a_name_that_comes_back_goes_on_behind_the_revisions_of_the_old_machine() -> None:
    snapshot = admitted(a_snapshot(), "w0")
    old = replace(snapshot.workers["w0"], revision=41)
    snapshot = replace(snapshot, workers={**snapshot.workers, "w0": old})
    gone = after(snapshot, retire(snapshot, "w0", by=BY, reason="", wall_ms=9))
    assert "w0" not in gone.workers
    back = asked(gone, asking(key=OTHER, peer="unix:uid 0 pid 5"), AUTO)
    (joined,) = log_in(back, hello=WorkerHello("w0", some_facts()), network="10.77.0.0/16")
    assert isinstance(joined, WorkerJoined)
    assert joined.revision == 42


def test_nobody_is_decided_about_who_never_asked() -> None:
    with pytest.raises(NotFound, match="no worker 'w0' has asked"):
        approve(EMPTY, "w0", by=BY, wall_ms=1)
    with pytest.raises(NotFound):
        reject(EMPTY, "w0", by=BY, reason="", wall_ms=1)
    with pytest.raises(NotFound):
        retire(EMPTY, "w0", by=BY, reason="", wall_ms=1)


def test_an_approved_worker_is_retired_and_not_rejected() -> None:
    with pytest.raises(Conflict, match="retire it to take it out"):
        reject(admitted(EMPTY, "w0"), "w0", by=BY, reason="", wall_ms=1)


@pytest.mark.parametrize(
    ("peer", "is_in"),
    [
        ("unix:uid 0 pid 12", True),
        ("unix:uid 7 pid 12", True),
        ("unix:uid 8 pid 12", False),
        ("unix:pid 12", False),
        ("192.0.2.9:50000", True),
        ("[2001:db8::1]:50000", True),
        ("198.51.100.9:50000", False),
        ("127.0.0.1:50000", False),
        ("tcp:gone", False),
    ],
)
def test_auto_lets_in_who_asks_as_ourselves_or_from_a_named_network(peer: str, is_in: bool) -> None:
    assert AUTO.admits(peer) is is_in
    assert not MANUAL.admits(peer)
    assert not TOKEN.admits(peer)
    found = asked(EMPTY, asking(peer=peer), AUTO).identity.admissions["w0"]
    assert (found.admission is Admission.APPROVED) is is_in
    assert found.decided_by == ("policy auto" if is_in else "")


def test_an_ipv4_address_is_one_on_a_listener_that_takes_both_kinds() -> None:
    assert host_of("[::ffff:192.0.2.9]:1") == "192.0.2.9"
    assert host_of("[2001:db8::1]:1") == "[2001:db8::1]"
    assert AUTO.admits("[::ffff:192.0.2.9]:1")
    assert not AUTO.admits("[::ffff:198.51.100.9]:1")
    flood = crowded(("203.0.113.9", MOST_OF_ONE))
    assert asked(flood, asking(peer="[::ffff:203.0.113.8]:5")).identity.admission("w0") is Admission.PENDING
    with pytest.raises(Unavailable, match=r"100 workers wait .* from 203\.0\.113\.9"):
        ask(flood, asking(peer="[::ffff:203.0.113.9]:5"), policy=MANUAL)


def test_who_waits_since_before_the_policy_changed_is_let_in_by_it() -> None:
    waiting = asked(EMPTY, asking(peer="192.0.2.9:1"))
    assert asked(waiting, asking(peer="192.0.2.9:2"), AUTO).identity.admission("w0") is Admission.APPROVED


def test_a_join_token_lets_one_worker_in_once() -> None:
    ready = with_token("s3cret")
    inside = asked(ready, asking(token="s3cret"), TOKEN)
    assert inside.identity.admission("w0") is Admission.APPROVED
    assert inside.identity.admissions["w0"].decided_by == f"join token of {BY}"
    assert ask(inside, asking(token="s3cret"), policy=TOKEN) == ()
    with pytest.raises(PermissionDenied, match="used already, by worker 'w0'"):
        ask(inside, asking("w1", token="s3cret"), policy=TOKEN)


@pytest.mark.parametrize(
    ("one", "policy", "why"),
    [
        (asking(token="guess"), TOKEN, "not known here"),
        (asking(token="s3cret", at=JOIN_TOKEN_MS), TOKEN, "good for 15 minutes"),
        (asking("w1", token="s3cret"), TOKEN, "is for worker 'w0', not for 'w1'"),
        (asking(token="s3cret"), MANUAL, "policy is manual"),
    ],
)
def test_a_join_token_that_is_no_good_is_refused_with_the_reason(one: Asking, policy: Policy, why: str) -> None:
    with pytest.raises(PermissionDenied, match=why):
        ask(with_token("s3cret", worker_id="w0"), one, policy=policy)


def test_without_a_token_the_policy_token_leaves_the_decision_to_an_operator() -> None:
    assert asked(EMPTY, asking(), TOKEN).identity.admission("w0") is Admission.PENDING


def test_join_tokens_that_are_long_over_are_forgotten() -> None:
    ready = with_token("old")
    later = after(ready, created(ready.identity, "new", worker_id="", by=BY, wall_ms=2 * 24 * 3600_000))
    assert len(later.identity.join_tokens) == 1


def crowded(*crowds: tuple[str, int], snapshot: Snapshot = EMPTY) -> Snapshot:
    """So many wait from each peer, one after the other, since 0."""
    full = admitted(
        snapshot,
        *(f"s{peer}-{number}" for peer, count in enumerate(crowds) for number in range(count[1])),
        admission=Admission.PENDING,
    )
    records = {
        name: replace(one, peer=crowds[int(name[1 : name.index("-")])][0], asked_at_ms=int(name.rpartition("-")[2]))
        for name, one in full.identity.admissions.items()
    }
    return replace(full, identity=replace(full.identity, admissions=records))


FULL = crowded(*((f"192.0.2.{number}", 90) for number in range(10)), ("203.0.113.9", MOST_OF_ONE))


def test_strangers_do_not_fill_the_disk() -> None:
    assert len(FULL.identity.admissions) == MOST_PENDING
    with pytest.raises(Unavailable, match="1000 workers wait for a decision"):
        ask(FULL, asking(at=PUSHED_OUT_AFTER_MS - 1), policy=MANUAL)


def test_one_source_does_not_keep_the_others_out() -> None:
    flood = crowded(("203.0.113.9", MOST_OF_ONE))
    with pytest.raises(Unavailable, match=r"100 workers wait .* from 203\.0\.113\.9"):
        ask(flood, asking(peer="203.0.113.9:5"), policy=MANUAL)
    assert asked(flood, asking(peer="203.0.113.8:5")).identity.admission("w0") is Admission.PENDING


def test_who_asks_when_all_is_full_takes_the_place_of_the_oldest_of_the_largest_crowd() -> None:
    later = asked(FULL, asking(at=PUSHED_OUT_AFTER_MS))
    assert set(FULL.identity.admissions) - set(later.identity.admissions) == {"s10-0"}
    assert later.identity.admission("w0") is Admission.PENDING
    assert len(later.identity.admissions) == MOST_PENDING


def test_who_was_let_in_or_rejected_makes_no_room() -> None:
    decided = after(FULL, approve(FULL, "s10-0", by=BY, wall_ms=5))
    decided = after(decided, reject(decided, "s10-1", by=BY, reason="", wall_ms=5))
    later = asked(asked(decided, asking("w1", at=5)), asking("w2", at=5))
    last = asked(later, asking("w3", at=2 * PUSHED_OUT_AFTER_MS))
    assert set(later.identity.admissions) - set(last.identity.admissions) == {"s10-2"}


def test_a_good_join_token_is_let_in_however_many_wait() -> None:
    full = replace(FULL, identity=replace(FULL.identity, join_tokens=with_token("s3cret").identity.join_tokens))
    let_in = asked(full, asking(token="s3cret", peer="203.0.113.9:5"), TOKEN)
    assert let_in.identity.admission("w0") is Admission.APPROVED
    assert len(let_in.identity.admissions) == MOST_PENDING + 1


def test_a_source_is_an_address_or_a_network_of_ipv6() -> None:
    assert source_of("[2001:db8::1]") == source_of("[2001:db8::ffff:2]") != source_of("[2001:db8:0:1::1]")
    assert source_of("192.0.2.1") != source_of("192.0.2.2")
    assert source_of("unix") == "unix"


_KEYS = tuple(SecretKey.from_seed("w0", bytes([number]) * 32) for number in range(3))


@given(st.lists(st.tuples(st.sampled_from(["ask", "approve", "reject", "retire"]), st.integers(0, 2)), max_size=30))
def test_a_retired_key_is_never_admitted_and_never_two_keys_at_once(steps: list[tuple[str, int]]) -> None:
    snapshot, retired = EMPTY, set[int]()
    for time, (act, number) in enumerate(steps):
        before = snapshot
        try:
            match act:
                case "ask":
                    snapshot = asked(snapshot, asking(key=_KEYS[number], at=time))
                case "approve":
                    snapshot = after(snapshot, approve(snapshot, "w0", by=BY, wall_ms=time))
                case "reject":
                    snapshot = after(snapshot, reject(snapshot, "w0", by=BY, reason="", wall_ms=time))
                case _:
                    snapshot = after(snapshot, retire(snapshot, "w0", by=BY, reason="", wall_ms=time))
        except ProcuratorError:
            assert snapshot is before
        retired |= {n for n in range(3) if _KEYS[n].public.fingerprint in snapshot.identity.retired_keys}
        inside = {n for n in range(3) if _is_in(snapshot, n)}
        assert not inside & retired
        assert len(inside) <= 1


def _is_in(snapshot: Snapshot, number: int) -> bool:
    try:
        check_admitted(snapshot, "w0", _KEYS[number].public)
    except ProcuratorError:
        return False
    return True


def test_only_what_concerns_the_fleet_wakes_it() -> None:
    waiting = asked(EMPTY, asking())
    assert not waiting.is_other_fleet_than(EMPTY)
    inside = admitted(a_snapshot(), "w0")
    gone = after(inside, retire(inside, "w0", by=BY, reason="", wall_ms=9))
    assert gone.is_other_fleet_than(inside), "its polls have to end"
