"""Asks who listens behind a socket that a hypervisor made: it might have put a link to somebody else's there."""

import os
from pathlib import Path
from typing import Any, cast

import trio

from schema.errors import Unavailable
from worker.vmm.shim_files import listener_of


def check_listener(connected: trio.socket.SocketType, path: Path) -> None:
    """Raises Unavailable unless the owner of the socket's directory is who listens: only we can give that away."""
    uid = listener_of(cast(Any, connected))  # trio's socket answers what a socket does
    if uid != path.parent.stat().st_uid:
        raise Unavailable(f"{os.fspath(path)} leads to a process of user {uid}, which is not its hypervisor's")
