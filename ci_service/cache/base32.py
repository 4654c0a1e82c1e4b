"""Nix's own base 32 (not RFC 4648's): its alphabet, backwards bit order and overlong forms; it hashes nothing."""

from schema.errors import InvalidInput

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
"""No e, o, t, u (nix's `libutil/hash.cc`)."""

_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def encoded_length(size: int) -> int:
    """Characters that `size` bytes take: 52 for SHA-256."""
    return (size * 8 + 4) // 5


def encode(data: bytes) -> str:
    """Nix's base 32 of `data`: the number that its bytes are in little endian, most significant digit first."""
    number = int.from_bytes(data, "little")
    digits = range(encoded_length(len(data)) - 1, -1, -1)
    return "".join(ALPHABET[(number >> (5 * digit)) & 31] for digit in digits)


def decode(text: str, *, size: int) -> bytes:
    """The `size` bytes that `text` stands for.

    Raises InvalidInput for a wrong length, a foreign character, or digits beyond `size` bytes (a second spelling of
    the same hash, which would let one nar have two names).
    """
    if len(text) != encoded_length(size):
        raise InvalidInput(
            f"{text[:80]!r} is not nix base 32 of {size} bytes: it needs {encoded_length(size)} characters"
        )
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise InvalidInput(f"{text!r} is not nix base 32: {character!r} is not in its alphabet")
        number = number << 5 | value
    if number >> (8 * size):
        raise InvalidInput(f"{text!r} is not nix base 32 of {size} bytes: it stands for more")
    return number.to_bytes(size, "little")
