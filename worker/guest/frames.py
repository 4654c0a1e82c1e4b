"""One connection to the guest's agent: frames of a length (u32), a type (one byte) and a payload; it has no sockets.

The same over cloud-hypervisor's vsock and over the dev hypervisor's. What comes from the guest is data: bounded, and of
no type that is not expected it is made anything.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

from schema.errors import InvalidInput, Unavailable

AGENT_PORT = 1024
HEAD = struct.Struct("!Ic")
MOST_PAYLOAD = 65_536
MOST_ARGUMENTS = 255
PIECE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of what a command said."""

    data: bytes
    is_error: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, minus the signal's number where one ended it, and whether its time was up."""

    exit_code: int
    timed_out: bool


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What the agent knows of its guest. `ready`: the guest's own word that it does its work."""

    current_system: str
    booted_system: str
    boot_id: str
    uptime_ms: int
    load1: float
    ready: bool


def encoded(kind: bytes, payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    return HEAD.pack(len(payload), kind) + payload


def facts_request() -> bytes:
    """Ask how the guest is."""
    return encoded(b"F")


def exec_request(command: str, args: tuple[str, ...], *, deadline_ms: int) -> bytes:
    """Run a command. `deadline_ms` 0: as long as it takes. Raises InvalidInput for what no argv can hold."""
    words = (command, *args)
    if not command:
        raise InvalidInput("no command was given")
    if len(words) > MOST_ARGUMENTS:
        raise InvalidInput(f"{len(words)} arguments; the guest's agent takes {MOST_ARGUMENTS}")
    if any("\0" in word for word in words):
        raise InvalidInput("a NUL cannot be in a command's arguments")
    if not 0 <= deadline_ms < 2**32:
        raise InvalidInput(f"a deadline of {deadline_ms} ms is not in 0..{2**32 - 1}")
    payload = struct.pack("!I", deadline_ms) + b"".join(word.encode() + b"\0" for word in words)
    if len(payload) > MOST_PAYLOAD:
        raise InvalidInput(f"a command of {len(payload)} bytes; the guest's agent takes {MOST_PAYLOAD}")
    return encoded(b"E", payload)


def input_frames(data: bytes) -> bytes:
    """All of a command's input, and its end."""
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    return b"".join(encoded(b"i", piece) for piece in pieces) + encoded(b"c")


def said(kind: bytes, payload: bytes) -> Words | Ended | GuestFacts:
    """What a frame of the agent means. Raises Unavailable for its refusals and for what no agent says."""
    match kind:
        case b"o" | b"e":
            return Words(payload, is_error=kind == b"e")
        case b"x" if len(payload) == 5:
            code, timed_out = struct.unpack("!iB", payload)
            return Ended(code, bool(timed_out))
        case b"j":
            return _facts(payload)
        case b"!":
            raise Unavailable(f"the guest's agent refuses: {payload[:200].decode(errors='replace')}")
    raise Unavailable(f"the guest's agent said something of type {kind!r}, which is none")


def _facts(payload: bytes) -> GuestFacts:
    try:
        found: Any = json.loads(payload)
        return GuestFacts(
            current_system=str(found["currentSystem"])[:300],
            booted_system=str(found["bootedSystem"])[:300],
            boot_id=str(found["bootId"])[:40],
            uptime_ms=int(found["uptimeMs"]),
            load1=float(found["load1"]),
            ready=found["ready"] is True,
        )
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Unavailable("the guest's agent told facts that are none") from error
