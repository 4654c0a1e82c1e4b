"""What one peer may cost a process; it measures nothing itself."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. Crossing one ends that connection, and no other."""

    message_bytes: int = 64 * MIB
    """The largest message, in bytes, once the peer is trusted."""
    stranger_message_bytes: int = 64 * 1024
    """The largest message, in bytes, before that."""
    stranger_seconds: float = 10.0
    """How long a peer may stay before it is trusted; servers only."""
    traversal_words: int = 16 * MIB
    """How many 8-byte words a handler may visit in one message: twice a full one, so that no small message
    can make its reader walk forever."""
    nesting: int = 32
    """How deep structs and lists may nest."""
    handlers: int = 64
    """Handlers that run at once; further calls wait their turn."""
    waiting: int = 256
    """Calls that may wait their turn, and as many that may be parked; more is a flood."""
    stall_seconds: float = 20.0
    """How long a message may arrive, or bytes wait for the peer to take them, without any progress."""
    outgoing_bytes: int = 1 * MIB
    """Bytes queued towards the peer above which a server stops reading its calls."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of one listening address."""

    connections: int = 8192
    """Connections open at once; more are closed as they come."""
