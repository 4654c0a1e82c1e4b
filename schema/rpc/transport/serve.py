"""Serving and connecting: the two functions that the rest of the RPC uses; they know no interface of ours."""

import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import capnp
import trio

from schema.errors import DeadlineExceeded, Unavailable
from schema.rpc.transport.calls import calls_remain
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits, ServerLimits
from schema.rpc.transport.loop import KjLoop, open_loop
from schema.rpc.transport.renewal import keep_renewed, states_of
from schema.rpc.transport.sockets import Address, TcpAddress, dial, listen
from schema.rpc.transport.tls import ServerTls, accept_tls, server_context

log = logging.getLogger("procurator.rpc")

MakeBootstrap = Callable[[Connection], Any]
"""Makes the capability that a fresh connection starts with, by `connection.export(interface, handlers)`."""
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


async def serve(
    make_bootstrap: MakeBootstrap,
    *,
    address: Address,
    limits: Limits | None = None,
    server_limits: ServerLimits | None = None,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on `address` until cancelled; `task_status` is told the real address.

    Cancelling it ends every connection: calls in flight are cancelled, and fail at their callers as `Unavailable`.
    Raises `Conflict` when another process serves there.
    """
    limits, server_limits = limits or Limits(), server_limits or ServerLimits()
    shown = address.tls if isinstance(address, TcpAddress) and isinstance(address.tls, ServerTls) else None
    since = states_of(shown) if shown else ()
    tls = server_context(shown) if shown else None
    with listen(address) as (listener, real):
        async with open_loop(calls_remain) as loop, trio.open_nursery() as nursery:
            task_status.started(real)
            if tls is not None and shown is not None:
                nursery.start_soon(partial(keep_renewed, tls, shown, make=partial(server_context, shown), since=since))
            place = _Place(loop, make_bootstrap, limits, tls)
            while True:
                sock = await _accept(listener)
                if place.open_now >= server_limits.connections:
                    log.warning("refused a connection on %s: %d are open", real, place.open_now)
                    sock.close()
                    continue
                place.open_now += 1
                nursery.start_soon(place.serve_one, sock)


async def _accept(listener: Any) -> Any:
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            return listener.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            continue
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS:
                raise
            log.warning("cannot accept a connection: %s", error)
            await trio.sleep(0.1)


class _Place:
    """Where connections are served alike."""

    def __init__(self, loop: KjLoop, make_bootstrap: MakeBootstrap, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self._loop = loop
        self._make_bootstrap = make_bootstrap
        self._limits = limits
        self._tls = tls
        self.open_now = 0

    async def serve_one(self, sock: socket.socket) -> None:
        """Serve an accepted socket until its peer is gone, or is found to be no good."""
        try:
            secured = sock if self._tls is None else await self._shake_hands(sock, self._tls)
            if secured is not None:
                await self._speak(Connection(secured, self._loop, self._limits, serving=True))
        finally:
            self.open_now -= 1

    async def _shake_hands(self, sock: socket.socket, tls: ssl.SSLContext) -> socket.socket | None:
        try:
            return await accept_tls(sock, tls, deadline=self._limits.stranger_seconds)
        except (Unavailable, DeadlineExceeded) as error:
            log.debug("a connection was dropped: %s", error.message)
            return None

    async def _speak(self, connection: Connection) -> None:
        def join(stream: Any) -> Any:
            return capnp.TwoPartyServer(
                stream,
                bootstrap=self._make_bootstrap(connection),
                traversal_limit_in_words=self._limits.traversal_words,
                nesting_limit=self._limits.nesting,
            )

        async with connection.running(join):
            await connection.until_over()
        log.debug("%s: %s", connection.peer.address, connection.reason)


@dataclass(slots=True)
class Dialled:
    """A connection of ours to a server, and what the server gave it to start with.

    Whoever needs `bootstrap` no longer sets it to None: as long as it is here the server keeps its answer for it.
    """

    bootstrap: Any
    connection: Connection


@asynccontextmanager
async def connect(
    address: Address, *, interface: Any, deadline: float, limits: Limits | None = None
) -> AsyncIterator[Dialled]:
    """Connect within `deadline` seconds; the bootstrap capability is taken for `interface`.

    Raises `Unavailable` and `DeadlineExceeded`. A connection lost later makes calls fail with `Unavailable`.
    """
    limits = limits or Limits()
    async with open_loop(calls_remain) as loop:
        connection = Connection(await dial(address, deadline=deadline), loop, limits, serving=False)

        def join(stream: Any) -> Any:
            return capnp.TwoPartyClient(
                stream, traversal_limit_in_words=limits.traversal_words, nesting_limit=limits.nesting
            )

        async with connection.running(join) as client:
            yield Dialled(client.bootstrap().cast_as(interface), connection)
