"""Ports for tests that are listened on later, or a second time; it keeps none."""

import secrets
import socket
from pathlib import Path

LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def a_quiet_port() -> int:
    """A TCP port of the loopback that nobody has, below those that the kernel gives away by itself.

    One of those may be another's by the time that it is wanted: every connection that is made here takes one.
    """
    given_away_from = max(int(_RANGE.read_text().split()[0]), 2 * LOWEST)
    while True:
        port = LOWEST + secrets.randbelow(given_away_from - LOWEST)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
