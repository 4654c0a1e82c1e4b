"""Whose a token is, and until when."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from control_plane.events import apply
from control_plane.identity import join_tokens
from control_plane.identity.expiry import ended, names
from control_plane.identity.tokens import LONGEST_MS, ConfiguredToken, Tokens, created, revoked
from control_plane.state import Snapshot
from control_plane.tests.builders import EPOCH
from schema.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from schema.interfaces import Role

SECRET = "pcr_" + "5" * 64
CONFIGURED = ConfiguredToken(
    "grafana",
    hashlib.sha256(b"configured").hexdigest(),
    Role.VIEWER,
    datetime(2026, 1, 1, tzinfo=UTC),
)
BEFORE, AFTER = 1_760_000_000_000, 1_780_000_000_000
EMPTY = Snapshot(epoch=EPOCH)


def known(snapshot: Snapshot = EMPTY) -> Tokens:
    return Tokens((CONFIGURED,), snapshot.identity)


def with_one(*, lasts_ms: int = 0, role: Role = Role.OPERATOR) -> Snapshot:
    return apply(EMPTY, created(known(), SECRET, name="ops", role=role, lasts_ms=lasts_ms, by="uid:0", wall_ms=BEFORE))


def test_a_secret_is_known_by_its_hash_and_not_kept() -> None:
    snapshot = with_one()
    found = known(snapshot).identity(SECRET, wall_ms=AFTER)
    assert found is not None
    assert (found.subject, found.role) == ("token:ops", Role.OPERATOR)
    assert SECRET not in repr(snapshot)
    assert known(snapshot).identity(SECRET + "5", wall_ms=AFTER) is None


def test_a_token_ends_at_its_time() -> None:
    tokens = known(with_one(lasts_ms=1000))
    assert tokens.identity(SECRET, wall_ms=BEFORE + 999)
    assert tokens.holds("token:ops", wall_ms=BEFORE + 999)
    assert tokens.identity(SECRET, wall_ms=BEFORE + 1000) is None
    assert not tokens.holds("token:ops", wall_ms=BEFORE + 1000)


def test_a_revoked_token_holds_nothing_and_stays_listed() -> None:
    snapshot = with_one()
    (event,) = revoked(known(snapshot), "ops", wall_ms=AFTER)
    after = apply(snapshot, event)
    assert known(after).identity(SECRET, wall_ms=AFTER) is None
    assert not known(after).holds("token:ops", wall_ms=AFTER)
    assert [(info.name, info.revoked, info.configured) for info in known(after).listed()] == [
        ("grafana", False, True),
        ("ops", True, False),
    ]
    assert revoked(known(after), "ops", wall_ms=AFTER) == ()


def test_a_name_is_never_used_again() -> None:
    snapshot = with_one()
    (event,) = revoked(known(snapshot), "ops", wall_ms=AFTER)
    for name in ("ops", "grafana"):
        with pytest.raises(Conflict, match=f"there is, or was, a token '{name}'"):
            created(
                known(apply(snapshot, event)), "x", name=name, role=Role.VIEWER, lasts_ms=0, by="uid:0", wall_ms=AFTER
            )


def test_the_settings_tokens_hold_until_they_expire_and_are_not_revoked_here() -> None:
    assert known().identity("configured", wall_ms=BEFORE)
    assert known().holds("token:grafana", wall_ms=BEFORE)
    assert known().identity("configured", wall_ms=AFTER) is None
    assert not known().holds("token:grafana", wall_ms=AFTER)
    with pytest.raises(Conflict, match="in the control plane's settings"):
        revoked(known(), "grafana", wall_ms=BEFORE)
    with pytest.raises(NotFound):
        revoked(known(), "nobody", wall_ms=BEFORE)


@pytest.mark.parametrize(
    ("name", "role", "lasts_ms", "why"),
    [
        ("Ops Team", Role.VIEWER, 0, "token name 'Ops Team': at most 63 small letters"),
        ("ops", Role.WORKER, 0, "workers have keys"),
        ("ops", Role.VIEWER, -1, "a token lasts"),
        ("ops", Role.VIEWER, LONGEST_MS + 1, "a token lasts"),
    ],
)
def test_what_makes_no_token_is_refused(name: str, role: Role, lasts_ms: int, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        created(known(), SECRET, name=name, role=role, lasts_ms=lasts_ms, by="uid:0", wall_ms=BEFORE)


def at(tokens: Tokens, snapshot: Snapshot, *, wall_ms: int) -> Snapshot:
    """The snapshot once it was noticed which tokens are over."""
    for event in ended(tokens, wall_ms=wall_ms):
        snapshot = apply(snapshot, event)
    return snapshot


def test_a_token_that_is_over_stays_so_when_the_clock_is_set_back() -> None:
    snapshot = with_one(lasts_ms=1000)
    assert ended(known(snapshot), wall_ms=BEFORE + 999) == ()
    over = at(known(snapshot), snapshot, wall_ms=BEFORE + 1000)
    assert known(over).identity(SECRET, wall_ms=BEFORE) is None
    assert not known(over).holds("token:ops", wall_ms=BEFORE)
    assert ended(known(over), wall_ms=BEFORE + 1000) == ()
    ops = known(over).listed()[-1]
    assert (ops.name, ops.revoked, ops.expired) == ("ops", False, True)


def test_so_does_one_of_the_settings_until_they_give_it_another_time() -> None:
    over = at(known(), EMPTY, wall_ms=AFTER)
    assert known(over).identity("configured", wall_ms=BEFORE) is None
    assert not known(over).holds("token:grafana", wall_ms=BEFORE)
    assert ended(known(over), wall_ms=AFTER) == ()
    assert [(one.name, one.configured, one.expired) for one in known(over).listed()] == [("grafana", True, True)]
    with pytest.raises(Conflict, match="in the control plane's settings"):
        revoked(known(over), "grafana", wall_ms=BEFORE)
    longer = Tokens((replace(CONFIGURED, expires=datetime(2027, 1, 1, tzinfo=UTC)),), over.identity)
    assert longer.identity("configured", wall_ms=AFTER)
    assert longer.holds("token:grafana", wall_ms=AFTER)


def test_a_join_token_that_is_over_stays_so_and_is_told_apart_from_an_unknown_one() -> None:
    snapshot = EMPTY
    for event in join_tokens.created(EMPTY.identity, SECRET, worker_id="", by="uid:0", wall_ms=BEFORE):
        snapshot = apply(snapshot, event)
    assert ended(known(snapshot), wall_ms=BEFORE) == ()
    found = ended(Tokens((), snapshot.identity), wall_ms=BEFORE + join_tokens.JOIN_TOKEN_MS)
    assert names(found) == "a join token"
    over = at(Tokens((), snapshot.identity), snapshot, wall_ms=BEFORE + join_tokens.JOIN_TOKEN_MS)
    with pytest.raises(PermissionDenied, match="has expired"):
        join_tokens.usable(over.identity, SECRET, worker_id="w0", wall_ms=BEFORE)
    assert ended(Tokens((), over.identity), wall_ms=AFTER) == ()
