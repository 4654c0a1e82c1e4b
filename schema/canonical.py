"""Canonical JSON (RFC 8785), its SHA-256, and values that keep the bytes they came in; it knows no model."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import rfc8785
from pydantic import BaseModel, ValidationError

from schema.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
LARGEST_INTEGER = 2**53 - 1
"""What a JSON number carries exactly."""


_encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value.

    Raises InvalidInput for what JSON cannot carry exactly (integers over 2^53, NaN, non-string keys).
    """
    if _is_plain(value):
        # Here the encoder of the standard library, which is C, writes the same (a test holds the two together).
        try:
            return _encoder.encode(value).encode()
        except UnicodeEncodeError:
            pass  # half of a surrogate pair: the other one says so
    try:
        return bytes(rfc8785.dumps(value))
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"not a JSON value: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether RFC 8785 asks nothing special of `value`: no floats, and keys whose order is not in doubt."""
    if value is None or isinstance(value, str | bool):
        return True
    if isinstance(value, int):
        return -LARGEST_INTEGER <= value <= LARGEST_INTEGER
    if isinstance(value, dict):
        return all(isinstance(key, str) and key.isascii() for key in value) and all(map(_is_plain, value.values()))
    return isinstance(value, list | tuple) and all(map(_is_plain, value))


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` in lower-case hexadecimal (64 characters)."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Sealed(Generic[M]):
    """A model together with the bytes that were hashed and signed; those bytes are never made again from it."""

    data: bytes
    value: M = field(compare=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes as received, in hexadecimal."""
        return sha256_hex(self.data)

    @property
    def text(self) -> str:
        """The bytes as JSON text."""
        return self.data.decode()

    @classmethod
    def of(cls, value: M) -> "Sealed[M]":
        """Seal a value of our own making: its canonical JSON becomes the bytes."""
        return cls(canonical_bytes(value.model_dump(mode="json", by_alias=True, exclude_none=True)), value)

    @classmethod
    def parse(cls, model: type[M], data: bytes) -> "Sealed[M]":
        """Read bytes from outside, tolerating keys of newer versions. Raises InvalidInput naming field and reason."""
        try:
            return cls(data, model.model_validate_json(data, extra="ignore"))
        except ValidationError as error:
            raise InvalidInput(f"{model.__name__}: {explain_validation(error)}") from error


def explain_validation(error: ValidationError) -> str:
    """One line for people: each wrong field with its path and reason (at most five)."""
    found = error.errors(include_url=False)
    lines = [f"{'.'.join(str(part) for part in item['loc']) or '(all)'}: {item['msg']}" for item in found[:5]]
    return "; ".join(lines) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")


def parse_json(data: bytes) -> Any:
    """JSON from outside. Raises InvalidInput where it is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
