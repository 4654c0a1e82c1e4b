"""Changes of who may come in as values, and what each makes of the kept state; `control_plane.events` applies them."""

from dataclasses import dataclass, replace
from typing import assert_never

from control_plane.identity.records import (
    AdmissionRecord,
    IdentityState,
    JoinTokenRecord,
    RetiredKey,
    TokenRecord,
)


@dataclass(frozen=True, slots=True)
class AdmissionChanged:
    """A worker asked, or somebody decided about it."""

    record: AdmissionRecord


@dataclass(frozen=True, slots=True)
class AdmissionForgotten:
    """A worker that nobody ever let in made room for others that ask."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class KeyRetired:
    """A worker's key is worth nothing any more, for good."""

    key: RetiredKey


@dataclass(frozen=True, slots=True)
class TokenChanged:
    """A token was made or revoked."""

    record: TokenRecord


@dataclass(frozen=True, slots=True)
class JoinTokenChanged:
    """A join token was made or used."""

    record: JoinTokenRecord


@dataclass(frozen=True, slots=True)
class JoinTokensForgotten:
    """Join tokens that are over since long, by their SHA-256."""

    hashes: tuple[str, ...]


IdentityEvent = (
    AdmissionChanged | AdmissionForgotten | KeyRetired | TokenChanged | JoinTokenChanged | JoinTokensForgotten
)


def changed(state: IdentityState, event: IdentityEvent) -> IdentityState:
    """The state after `event`."""
    match event:
        case AdmissionChanged(record=record):
            return replace(state, admissions={**state.admissions, record.worker_id: record})
        case AdmissionForgotten(worker_id=worker_id):
            return replace(state, admissions={one: had for one, had in state.admissions.items() if one != worker_id})
        case KeyRetired(key=key):
            return replace(state, retired_keys={**state.retired_keys, key.fingerprint: key})
        case TokenChanged(record=token):
            return replace(state, tokens={**state.tokens, token.name: token})
        case JoinTokenChanged(record=join_token):
            return replace(state, join_tokens={**state.join_tokens, join_token.sha256: join_token})
        case JoinTokensForgotten(hashes=hashes):
            kept = {sha256: one for sha256, one in state.join_tokens.items() if sha256 not in hashes}
            return replace(state, join_tokens=kept)
        case _:
            assert_never(event)
