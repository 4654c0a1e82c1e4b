"""Join tokens: secrets that each let one worker in, once, for a quarter of an hour; it draws no random numbers."""

from control_plane.identity.changes import IdentityEvent, JoinTokenChanged, JoinTokensForgotten
from control_plane.identity.records import IdentityState, JoinTokenRecord
from schema.canonical import sha256_hex
from schema.errors import PermissionDenied

JOIN_TOKEN_MS = 15 * 60_000
_KEPT_MS = 24 * 3600_000
"""How long one that is over is still told apart from one that never was."""


def created(state: IdentityState, secret: str, *, worker_id: str, by: str, wall_ms: int) -> tuple[IdentityEvent, ...]:
    """A new join token (`worker_id` empty: for any worker); those that are over since a day are forgotten."""
    record = JoinTokenRecord(
        sha256=sha256_hex(secret.encode()),
        worker_id=worker_id,
        created_at_ms=wall_ms,
        expires_at_ms=wall_ms + JOIN_TOKEN_MS,
        created_by=by,
    )
    old = tuple(one.sha256 for one in state.join_tokens.values() if wall_ms - abs(one.expires_at_ms) > _KEPT_MS)
    return (*((JoinTokensForgotten(old),) if old else ()), JoinTokenChanged(record))


def usable(state: IdentityState, secret: str, *, worker_id: str, wall_ms: int) -> JoinTokenRecord:
    """The token that lets `worker_id` in now.

    Raises PermissionDenied, each told apart: unknown, used, expired, another worker's.
    """
    token = state.join_tokens.get(sha256_hex(secret.encode()))
    if token is None:
        raise PermissionDenied("the join token is not known here")
    if token.used_by:
        raise PermissionDenied(f"the join token was used already, by worker {token.used_by!r}")
    if wall_ms >= token.expires_at_ms:
        raise PermissionDenied(f"the join token has expired: it is good for {JOIN_TOKEN_MS // 60_000} minutes")
    if token.worker_id and token.worker_id != worker_id:
        raise PermissionDenied(f"the join token is for worker {token.worker_id!r}, not for {worker_id!r}")
    return token
