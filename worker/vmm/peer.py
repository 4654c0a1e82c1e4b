"""Asks who listens behind a socket that a hypervisor made: it might have put a link to somebody else's there."""

import os
from pathlib import Path
from typing import Any, cast

import trio

from schema.errors import Unavailable
from worker.vmm.shim_files import listener_of

_FULL_QUEUE_SECONDS = 0.01


async def reached(path: Path) -> trio.SocketStream:
    """A connection to the socket, when its listener has room for one. Raises OSError.

    A unix socket with a full queue answers EAGAIN, which trio takes for a connection that is on its way.
    """
    while True:
        stream = await trio.open_unix_socket(str(path))
        try:
            stream.socket.getpeername()
        except OSError:
            await stream.aclose()
            await trio.sleep(_FULL_QUEUE_SECONDS)
        else:
            return stream


def check_listener(connected: trio.socket.SocketType, path: Path) -> None:
    """Raises Unavailable unless the owner of the socket's directory is who listens: only we can give that away."""
    uid = listener_of(cast(Any, connected))  # trio's socket answers what a socket does
    if uid != path.parent.stat().st_uid:
        raise Unavailable(f"{os.fspath(path)} leads to a process of user {uid}, which is not its hypervisor's")
