"""Asking: how every proxy sends a request and takes its answer; it knows no interface."""

from collections.abc import Callable
from typing import Any, TypeVar

import capnp
import trio

from schema.errors import DeadlineExceeded, Internal, Unavailable
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.faults import error_of

R = TypeVar("R")


class Remote:
    """A capability of the other side, and the connection that it came over."""

    def __init__(self, capability: Any, connection: Connection) -> None:
        # A capability lives by itself; its parent is the message that it came in, and that one's call.
        capability._parent = None
        self._capability = capability
        self._connection = connection

    @property
    def lost(self) -> trio.Event:
        """Set once the connection is over: every further call is Unavailable."""
        return self._connection.lost

    def _request(self, method: str) -> Any:
        """A fresh request. Raises Unavailable."""
        if self._connection.lost.is_set():
            raise self._gone()
        return self._capability._request(method)

    async def _ask(self, request: Any, read: Callable[[Any], R]) -> R:
        """Send, wait, read. Raises what the other side raised, and Unavailable when it is gone."""
        try:
            reply = await request.send()
        except capnp.KjException as error:
            if error.type == "DISCONNECTED" and self._connection.lost.is_set():
                raise self._gone() from None
            raise error_of(error) from None
        try:
            return read(reply)
        except (capnp.KjException, UnicodeDecodeError) as error:
            raise Internal("the other side sent a malformed answer") from error

    def _gone(self) -> Unavailable:
        return Unavailable(f"the connection to {self._connection.peer.address} is over: {self._connection.reason}")

    async def _tell(self, request: Any, *, deadline: float) -> None:
        """Send to a sink and wait at most `deadline` seconds. Raises DeadlineExceeded."""
        with trio.move_on_after(deadline) as scope:
            await self._ask(request, ignore)
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"the sink took longer than {deadline:g} s")


def ignore(_: Any) -> None:
    """Read nothing of an answer."""
