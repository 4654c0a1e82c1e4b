"""Several connections on one wire to the guest's agent: frames and their reading; it has no sockets.

A frame is a type, a connection's number (u32), the payload's length (u32) and the payload, in network byte order. The
agent greets with `H` and a number used once; the host repeats it, and what either side was sent before that is void.
"""

import struct
from enum import Enum
from typing import NamedTuple

HEAD = struct.Struct("!cII")
MAGIC = b"procurator-mux-1"
HELLO_BYTES = 24
WINDOW = 65_536
"""Bytes of one connection that may be on their way; `W` gives back what was taken."""
MOST_PAYLOAD = 65_536
MOST_CONNECTIONS = 32


class Kind(Enum):
    """What a frame says."""

    HELLO = b"H"
    OPEN = b"O"
    ACCEPTED = b"A"
    RESET = b"R"
    DATA = b"D"
    CREDIT = b"W"
    FINISHED = b"F"


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    connection: int = 0
    payload: bytes = b""


def encoded(kind: Kind, connection: int = 0, payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    return HEAD.pack(kind.value, connection, len(payload)) + payload


def number(value: int) -> bytes:
    """The payload of `OPEN` (a port) and `CREDIT` (bytes)."""
    return struct.pack("!I", value)


def number_of(payload: bytes) -> int:
    """What `number` wrote; 0 for another payload."""
    return int(struct.unpack("!I", payload)[0]) if len(payload) == 4 else 0


class Garbled(Exception):
    """The guest's side says what no agent says."""


class Reader:
    """Frames out of the bytes of the wire. Until a greeting has come, everything is thrown away."""

    def __init__(self, *, greeted: bool = False) -> None:
        self._held = b""
        self._greeted = greeted

    def lose(self) -> None:
        """The guest was reset: wait for a greeting again."""
        self._held, self._greeted = b"", False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; the greeting is one of them. Raises Garbled, and then waits for another."""
        self._held += data
        frames: list[Frame] = []
        if not self._greeted and not self._find_greeting(frames):
            return frames
        at = 0  # one cut at the end: a guest may send frames of no payload as fast as it can
        while len(self._held) >= at + HEAD.size:
            kind, connection, size = HEAD.unpack_from(self._held, at)
            if size > MOST_PAYLOAD or kind not in _KINDS:
                self.lose()
                raise Garbled(f"a frame of type {kind!r} and {size} bytes")
            end = at + HEAD.size + size
            if len(self._held) < end:
                break
            frames.append(Frame(_KINDS[kind], connection, self._held[at + HEAD.size : end]))
            at = end
        self._held = self._held[at:]
        return frames

    def _find_greeting(self, frames: list[Frame]) -> bool:
        at = self._held.find(MAGIC)
        if at < 0 or len(self._held) < at + HELLO_BYTES:
            self._held = self._held[-HELLO_BYTES:] if at < 0 else self._held[at:]
            return False
        frames.append(Frame(Kind.HELLO, 0, self._held[at : at + HELLO_BYTES]))
        self._held = self._held[at + HELLO_BYTES :]
        self._greeted = True
        return True


_KINDS = {kind.value: kind for kind in Kind}
