"""People's tokens: what making and revoking one changes, whose a secret is, and whether it still holds.

It draws no random numbers and keeps no secret. SHA-256 is enough at rest: the secrets are 256 random bits, which nobody
guesses however quick the hash is (decision 0072).
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from control_plane.identity.changes import TokenChanged
from control_plane.identity.records import SETTINGS, IdentityState, TokenRecord
from schema.canonical import sha256_hex
from schema.errors import Conflict, InvalidInput, NotFound
from schema.interfaces import Identity, Role
from schema.names import DnsLabel
from schema.operations import TokenInfo

SUBJECT = "token:"
PREFIX = "pcr_"
"""What every secret begins with, so that scanners and people recognise one."""
LONGEST_MS = 10 * 366 * 24 * 3600_000
_name: TypeAdapter[str] = TypeAdapter(DnsLabel)


@dataclass(frozen=True, slots=True)
class ConfiguredToken:
    """A token that the settings name by its hash."""

    name: str
    sha256: str
    role: Role
    expires: datetime | None = None

    def holds(self, *, wall_ms: int) -> bool:
        """Whether it has not expired."""
        return self.expires is None or wall_ms < self._expires_at_ms

    @property
    def _expires_at_ms(self) -> int:
        return int(self.expires.timestamp() * 1000) if self.expires else 0

    @property
    def info(self) -> TokenInfo:
        """For people."""
        return TokenInfo(name=self.name, role=self.role, expires_at_ms=self._expires_at_ms, configured=True)


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of one moment: the settings' and the kept ones."""

    configured: Sequence[ConfiguredToken]
    state: IdentityState

    def identity(self, secret: str, *, wall_ms: int) -> Identity | None:
        """Who `secret` is with its role; None for an unknown, revoked or expired one. Every hash is compared."""
        given = sha256_hex(secret.encode())
        known: list[ConfiguredToken | TokenRecord] = [*self.configured, *self.state.tokens.values()]
        found = [one for one in known if hmac.compare_digest(one.sha256, given)]
        if not found or not self._is_good(found[0], wall_ms=wall_ms):
            return None
        return Identity(subject=SUBJECT + found[0].name, role=found[0].role)

    def holds(self, subject: str, *, wall_ms: int) -> bool:
        """Whether a session of the token `token:<name>` may go on."""
        name = subject.removeprefix(SUBJECT)
        kept = self.state.tokens.get(name)
        if kept is not None and kept.holds(wall_ms=wall_ms):
            return True
        return any(one.name == name and self._is_good(one, wall_ms=wall_ms) for one in self.configured)

    def _is_good(self, one: ConfiguredToken | TokenRecord, *, wall_ms: int) -> bool:
        return one.holds(wall_ms=wall_ms) and not (isinstance(one, ConfiguredToken) and self.is_over(one))

    def is_over(self, one: ConfiguredToken) -> bool:
        """Whether a token of the settings was seen to be over. With another time there it is another one."""
        kept = self.state.tokens.get(one.name)
        seen = kept is not None and kept.created_by == SETTINGS
        return bool(kept and seen and (kept.sha256, kept.expires_at_ms) == (one.sha256, one.info.expires_at_ms))

    def listed(self) -> tuple[TokenInfo, ...]:
        """All, the revoked and expired too, by name."""
        kept = (one for one in self.state.tokens.values() if one.created_by != SETTINGS)
        configured = (one.info.model_copy(update={"expired": self.is_over(one)}) for one in self.configured)
        infos = [*configured, *map(_info, kept)]
        return tuple(sorted(infos, key=lambda info: info.name))


def _info(token: TokenRecord) -> TokenInfo:
    return TokenInfo(
        name=token.name,
        role=token.role,
        created_at_ms=token.created_at_ms,
        expires_at_ms=token.expires_at_ms,
        created_by=token.created_by,
        revoked=bool(token.revoked_at_ms) and not token.is_over,
        expired=token.is_over,
    )


def created(
    tokens: Tokens, secret: str, *, name: str, role: Role, lasts_ms: int, by: str, wall_ms: int
) -> TokenChanged:
    """The token that `secret` becomes. `lasts_ms` 0: until it is revoked.

    Raises InvalidInput (no DNS label, role worker, an impossible time) and Conflict: a name is never used again, so
    that no session of an earlier token comes back to life.
    """
    try:
        _name.validate_python(name)
    except ValidationError as error:
        raise InvalidInput(
            f"token name {name[:100]!r}: at most 63 small letters, digits and, in between, dashes"
        ) from error
    if role is Role.WORKER:
        raise InvalidInput("workers have keys, not tokens; `create_join_token` lets one in")
    if not 0 <= lasts_ms <= LONGEST_MS:
        raise InvalidInput(f"a token lasts from 1 to {LONGEST_MS} ms, or 0 for until it is revoked; not {lasts_ms}")
    if name in tokens.state.tokens or any(one.name == name for one in tokens.configured):
        raise Conflict(f"there is, or was, a token {name!r}: take another name")
    return TokenChanged(
        TokenRecord(
            name=name,
            sha256=sha256_hex(secret.encode()),
            role=role,
            created_at_ms=wall_ms,
            created_by=by,
            expires_at_ms=wall_ms + lasts_ms if lasts_ms else 0,
        )
    )


def revoked(tokens: Tokens, name: str, *, wall_ms: int) -> tuple[TokenChanged, ...]:
    """The end of a token; nothing when it was revoked before. Raises NotFound, and Conflict for a configured one."""
    known = tokens.state.tokens.get(name)
    if known is not None and known.created_by != SETTINGS:
        return () if known.revoked_at_ms else (TokenChanged(replace(known, revoked_at_ms=wall_ms)),)
    if any(one.name == name for one in tokens.configured):
        raise Conflict(f"token {name!r} is in the control plane's settings: take it out there and start it again")
    raise NotFound(f"there is no token {name!r}")
