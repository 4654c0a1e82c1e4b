"""The matrix of publishes: each wrong one is refused with its own error and changes nothing."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from control_plane.events import OriginPinned, apply
from control_plane.publish import accept, check_publish
from control_plane.state import Snapshot
from control_plane.tests.builders import CI_KEY, a_generation, a_publish, a_snapshot, a_spec
from control_plane.tests.world import World
from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.errors import (
    BadSignature,
    Conflict,
    HashMismatch,
    InvalidInput,
    NotFound,
    ProcuratorError,
    Stale,
    WrongOrigin,
)
from schema.generation import Publish
from schema.origin import Origin
from schema.signing import PublicKey, SecretKey
from schema.status import RolloutState

OTHER_KEY = SecretKey.from_seed("ci", b"o" * 32)
STRANGER = SecretKey.from_seed("stranger", b"s" * 32)


def publish(
    snapshot: Snapshot, sent: Publish, *, keys: Sequence[PublicKey] = (CI_KEY.public,), realm: str = "default"
) -> Snapshot:
    generation = check_publish(sent, realm=realm, publishers=keys, published_at_ms=7)
    for event in accept(snapshot, generation):
        snapshot = apply(snapshot, event)
    return snapshot


@pytest.fixture
def snapshot() -> Snapshot:
    return publish(a_snapshot(), a_publish(5, a_spec()))


def test_the_first_publish_sets_the_origin_and_begins_a_rollout(snapshot: Snapshot) -> None:
    assert snapshot.origin == Origin(repository="demo/example", branch="main")
    assert snapshot.rollout is not None
    assert snapshot.rollout.generation == 5


def test_the_same_publish_again_is_a_success_that_changes_nothing(snapshot: Snapshot) -> None:
    assert publish(snapshot, a_publish(5, a_spec())) is snapshot


def test_numbers_may_have_gaps(snapshot: Snapshot) -> None:
    assert max(publish(snapshot, a_publish(9, a_spec())).generations) == 9


def tampered(sent: Publish) -> Publish:
    spec = a_spec(memory_mb=512)
    return replace(sent, vm_specs=(Sealed.of(spec),))


def with_header(sent: Publish, **fields: object) -> Publish:
    return replace(sent, header=sent.header.model_copy(update=fields))


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        (a_publish(4, a_spec()), Stale, "older than 5"),
        (a_publish(5, a_spec("db")), Conflict, "already known"),
        (a_publish(6, a_spec(), intent_hash="0" * 64), HashMismatch, a_publish(6, a_spec()).header.intent_hash),
        (tampered(a_publish(6, a_spec())), HashMismatch, "does not match"),
        (replace(a_publish(6, a_spec()), rollout=Sealed.of(RolloutPolicy(max_parallel=9))), HashMismatch, "match"),
        (a_publish(6, a_spec(), key=STRANGER), BadSignature, "unknown key 'stranger'"),
        (a_publish(6, a_spec(), key=OTHER_KEY), BadSignature, "does not match"),
        (with_header(a_publish(6, a_spec()), signature=""), BadSignature, "not signed"),
        (with_header(a_publish(6, a_spec()), signature="nonsense"), BadSignature, "name:base64"),
        (with_header(a_publish(6, a_spec()), number=7), BadSignature, "does not match"),
        (a_publish(6, a_spec(), origin=Origin(repository="demo/other", branch="main")), WrongOrigin, "demo/other"),
        (a_publish(6, a_spec(), origin=Origin(repository="demo/example", branch="dev")), WrongOrigin, "tracks"),
        (a_publish(5, a_spec(), origin=Origin(repository="demo/other", branch="main")), WrongOrigin, "tracks"),
        (a_publish(6, a_spec(), realm="other"), NotFound, "no realm 'other'"),
    ],
)
def test_a_wrong_publish_is_refused_with_its_own_error(
    snapshot: Snapshot, sent: Publish, error: type[ProcuratorError], words: str
) -> None:
    with pytest.raises(error, match=words):
        publish(snapshot, sent)


def test_two_specs_of_one_name_are_refused() -> None:
    sent = a_publish(1, a_spec())
    with pytest.raises(InvalidInput, match="same name"):
        publish(a_snapshot(), replace(sent, vm_specs=sent.vm_specs * 2))


def test_a_pinned_origin_is_not_replaced_by_the_first_publish() -> None:
    pinned = apply(a_snapshot(), OriginPinned(Origin(repository="demo/other", branch="main")))
    with pytest.raises(WrongOrigin):
        publish(pinned, a_publish(1, a_spec()))


def test_during_a_rotation_both_keys_may_publish(snapshot: Snapshot) -> None:
    keys = (CI_KEY.public, OTHER_KEY.public)
    for number, key in ((6, CI_KEY), (7, OTHER_KEY)):
        snapshot = publish(snapshot, a_publish(number, a_spec(), key=key), keys=keys)
    assert sorted(snapshot.generations) == [5, 6, 7]


def cluster_of(*names: str, number: int = 1) -> Snapshot:
    return publish(a_snapshot(), a_publish(number, *(a_spec(name) for name in names)))


def test_a_publish_that_empties_the_cluster_is_refused_with_the_counts_and_the_way_out() -> None:
    with pytest.raises(InvalidInput, match="generation 2 has no VM at all and would remove 1 of the 1 VMs") as refused:
        publish(cluster_of("a"), a_publish(2))
    assert "rollout.allowShrink = true" in refused.value.message


def test_losing_more_than_half_is_refused_and_half_is_not() -> None:
    four = cluster_of("a", "b", "c", "d")
    with pytest.raises(InvalidInput, match="generation 2 has 1 VMs and would remove 3 of the 4 VMs that there are"):
        publish(four, a_publish(2, a_spec("a")))
    assert max(publish(four, a_publish(2, a_spec("a"), a_spec("b"))).generations) == 2


def test_other_vms_do_not_make_up_for_those_that_would_be_lost() -> None:
    with pytest.raises(InvalidInput, match="would remove 3 of the 3"):
        publish(cluster_of("a", "b", "c"), a_publish(2, a_spec("x"), a_spec("y"), a_spec("z")))


def test_replicas_count_one_by_one() -> None:
    snapshot = publish(a_snapshot(), a_publish(1, a_spec("web", replicas=10)))
    with pytest.raises(InvalidInput, match="would remove 6 of the 10"):
        publish(snapshot, a_publish(2, a_spec("web", replicas=4)))
    assert max(publish(snapshot, a_publish(2, a_spec("web", replicas=5))).generations) == 2


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_one_or_two_vms_may_be_replaced_by_others_but_not_by_nothing(names: tuple[str, ...]) -> None:
    assert max(publish(cluster_of(*names), a_publish(2, a_spec("x"))).generations) == 2
    with pytest.raises(InvalidInput, match="no VM at all"):
        publish(cluster_of(*names), a_publish(2))


def test_where_nothing_is_an_empty_generation_loses_nothing() -> None:
    assert max(publish(publish(a_snapshot(), a_publish(1)), a_publish(2)).generations) == 2


def test_a_blueprint_that_says_so_may_shrink() -> None:
    allowed = RolloutPolicy(allow_shrink=True)
    assert max(publish(cluster_of("a", "b", "c"), a_publish(2, rollout=allowed)).generations) == 2


def test_the_same_publish_again_is_not_measured_again() -> None:
    emptied = publish(cluster_of("a", "b", "c"), a_publish(2, rollout=RolloutPolicy(allow_shrink=True)))
    assert publish(emptied, a_publish(2, rollout=RolloutPolicy(allow_shrink=True))) is emptied


def test_after_a_rollback_what_runs_counts_and_not_what_was_wanted() -> None:
    world = World()
    world.publish(a_generation(1, *(a_spec(name) for name in "abc")))
    assert world.run() is RolloutState.SUCCEEDED
    world.publish(a_generation(2, a_spec("d", memory_mb=10**6), rollout=RolloutPolicy(allow_shrink=True)))
    for _ in range(400):
        world.look()
    assert world.snapshot.rollouts[2].state is RolloutState.ROLLED_BACK
    with pytest.raises(InvalidInput, match="would remove 3 of the 3"):
        accept(world.snapshot, a_generation(3, a_spec("d")))
    assert accept(world.snapshot, a_generation(3, a_spec("a"), a_spec("b")))
