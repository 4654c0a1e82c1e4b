"""Which bytes of an unchanged file a request wants (RFC 9110 §13, §14); it reads no file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*")


@dataclass(frozen=True, slots=True)
class Whole:
    """200: all bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """206: `length` bytes from `start`."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304: the client has it."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416: no byte of the file is in the range."""


Answer = Whole | Part | Unchanged | Unsatisfiable


def answer_to(headers: Mapping[str, str], *, etag: str, size: int) -> Answer:
    """What to send of a file of `size` bytes that is known by `etag` (strong, with quotes).

    A Range with an `If-Range` that names another file, with several parts, or in another unit is ignored, as the RFC
    allows: the client gets the whole.
    """
    if (wanted := headers.get("if-none-match")) is not None and _names(wanted, etag):
        return Unchanged()
    spec = headers.get("range")
    if spec is None or headers.get("if-range", etag) != etag:
        return Whole()
    found = _ONE_RANGE.fullmatch(spec)
    if not found:
        return Whole()
    first, last, suffix = found.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        return Part(size - length, length) if length else Unsatisfiable()
    if last and int(last) < int(first):
        return Whole()
    if int(first) >= size:
        return Unsatisfiable()
    end = min(int(last), size - 1) if last else size - 1
    return Part(int(first), end - int(first) + 1)


def _names(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags
