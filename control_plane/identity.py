"""Who a token belongs to and whether it still holds, by the settings; what a role may do is told in `schema.rpc`."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.settings import TokenSettings
from schema.canonical import sha256_hex
from schema.interfaces import Identity

TOKEN = "token:"  # noqa: S105 the prefix of a subject, not a secret


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that the settings name, by their hashes."""

    known: Sequence[TokenSettings]

    def identity(self, token: str, *, wall_ms: int) -> Identity | None:
        """Who `token` is with its role; None for an unknown or expired one. Every known hash is compared."""
        given = sha256_hex(token.encode())
        found = [one for one in self.known if hmac.compare_digest(one.sha256, given)]
        if not found or _is_over(found[0], wall_ms):
            return None
        return Identity(subject=TOKEN + found[0].name, role=found[0].role)

    def holds(self, identity: Identity, *, wall_ms: int) -> bool:
        """Whether a session of `identity` may go on; one of a uid always."""
        if not identity.subject.startswith(TOKEN):
            return True
        name = identity.subject.removeprefix(TOKEN)
        return any(one.name == name and not _is_over(one, wall_ms) for one in self.known)


def _is_over(token: TokenSettings, wall_ms: int) -> bool:
    return token.expires is not None and token.expires.timestamp() * 1000 <= wall_ms
