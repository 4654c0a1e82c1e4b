"""Ed25519 keys and signatures in nix's `name:base64` format; it reads no files."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schema.canonical import canonical_bytes
from schema.errors import BadSignature, InvalidInput


def _split(text: str, *, what: str, length: int) -> tuple[str, bytes]:
    name, colon, encoded = text.strip().partition(":")
    if not colon or not name:
        raise InvalidInput(f"{what} is not of the form name:base64")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{what} {name!r} is not base64") from error
    if len(raw) != length:
        raise InvalidInput(f"{what} {name!r} has {len(raw)} bytes, not {length}")
    return name, raw


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A pinned key: 32 bytes and the name that signatures refer to it by."""

    name: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Read `name:base64` (nix's public key format). Raises InvalidInput."""
        return cls(*_split(text, what="public key", length=32))

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"

    @property
    def fingerprint(self) -> str:
        """The hexadecimal SHA-256 of the 32 bytes, by which people compare keys; the name is not in it."""
        return hashlib.sha256(self.raw).hexdigest()

    def verifies(self, *, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A signing key. Its text is a secret: it has no repr of its bytes."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "SecretKey":
        """Read nix's secret key format: `name:` and base64 of seed + public key (64 bytes). Raises InvalidInput."""
        name, raw = _split(text, what="secret key", length=64)
        key = cls(name, raw[:32])
        if key.public.raw != raw[32:]:
            raise InvalidInput(f"secret key {name!r} does not match the public half that it carries")
        return key

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "SecretKey":
        """A key from 32 random bytes."""
        if len(seed) != 32 or not name or ":" in name:
            raise InvalidInput("a key needs a name without a colon and a seed of 32 bytes")
        return cls(name, seed)

    @property
    def public(self) -> PublicKey:
        """The half that others pin."""
        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def reveal(self) -> str:
        """Nix's secret key text, for the one place that writes key files."""
        return f"{self.name}:{base64.b64encode(self.seed + self.public.raw).decode()}"

    def sign(self, message: bytes) -> str:
        """`name:base64` of the 64-byte signature (RFC 8032)."""
        raw = _private_key(self.seed).sign(message)
        return f"{self.name}:{base64.b64encode(raw).decode()}"


@lru_cache(maxsize=4)
def _private_key(seed: bytes) -> Ed25519PrivateKey:
    """Making it costs as much as signing with it."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def check_signature(*, message: bytes, signature: str, keys: Sequence[PublicKey], what: str) -> PublicKey:
    """The pinned key that made `signature`; several keys of one name may be live while one is being rotated.

    Raises BadSignature that tells apart: no signature, malformed, by an unknown key, and wrong.
    """
    if not signature:
        raise BadSignature(f"{what} is not signed")
    try:
        name, raw = _split(signature, what=f"signature of {what}", length=64)
    except InvalidInput as error:
        raise BadSignature(error.message) from error
    named = [key for key in keys if key.name == name]
    if not named:
        known = ", ".join(sorted({key.name for key in keys})) or "none"
        raise BadSignature(f"{what} is signed by the unknown key {name!r} (pinned: {known})")
    for key in named:
        if key.verifies(message=message, signature=raw):
            return key
    raise BadSignature(f"the signature of {what} by {name!r} does not match its content")


def parse_public_keys(texts: Iterable[str]) -> tuple[PublicKey, ...]:
    """Pinned keys from a config. Raises InvalidInput for the first wrong one."""
    return tuple(PublicKey.parse(text) for text in texts)


def login_message(*, purpose: str, realm: str, worker_id: str, nonce: str, time_ms: int) -> bytes:
    """What a worker signs to log in (`purpose` login) or to ask to be let in (`purpose` join)."""
    what = {"nonce": nonce, "realm": realm, "timeMs": time_ms, "workerId": worker_id}
    return f"procurator-{purpose}-v1\n".encode() + canonical_bytes(what)
