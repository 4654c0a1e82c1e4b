"""Tokens whose time is over end for good, whatever the wall clock says later; it looks at no clock itself."""

from collections.abc import Iterator
from dataclasses import replace

from control_plane.identity.changes import IdentityEvent, JoinTokenChanged, TokenChanged
from control_plane.identity.records import SETTINGS, TokenRecord
from control_plane.identity.tokens import Tokens


def ended(tokens: Tokens, *, wall_ms: int) -> tuple[IdentityEvent, ...]:
    """What is to be kept of tokens that are over by their time and not yet known to be; nothing most of the time."""
    return (*_kept(tokens, wall_ms=wall_ms), *_configured(tokens, wall_ms=wall_ms), *_join(tokens, wall_ms=wall_ms))


def names(events: tuple[IdentityEvent, ...]) -> str:
    """Which tokens those are, for the audit. Join tokens have no names."""
    people = [event.record.name for event in events if isinstance(event, TokenChanged)]
    joins = sum(isinstance(event, JoinTokenChanged) for event in events)
    return ", ".join([*people, *([f"{joins} join tokens" if joins > 1 else "a join token"] if joins else [])])


def _kept(tokens: Tokens, *, wall_ms: int) -> Iterator[TokenChanged]:
    for record in tokens.state.tokens.values():
        if not record.revoked_at_ms and not record.holds(wall_ms=wall_ms):
            yield TokenChanged(replace(record, revoked_at_ms=record.expires_at_ms))


def _configured(tokens: Tokens, *, wall_ms: int) -> Iterator[TokenChanged]:
    for one in tokens.configured:
        known = tokens.state.tokens.get(one.name)
        if one.holds(wall_ms=wall_ms) or tokens.is_over(one) or (known and known.created_by != SETTINGS):
            continue
        at_ms = one.info.expires_at_ms
        yield TokenChanged(TokenRecord(one.name, one.sha256, one.role, 0, SETTINGS, at_ms, at_ms))


def _join(tokens: Tokens, *, wall_ms: int) -> Iterator[JoinTokenChanged]:
    for join in tokens.state.join_tokens.values():
        if not join.used_by and 0 < join.expires_at_ms <= wall_ms:
            yield JoinTokenChanged(replace(join, expires_at_ms=-join.expires_at_ms))
