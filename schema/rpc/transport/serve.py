"""Serving and connecting: the two functions that the rest of the RPC uses; they know no interface of ours."""

import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import capnp
import trio

from schema.rpc.transport.calls import calls_remain
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.limits import Limits, ServerLimits
from schema.rpc.transport.loop import open_loop
from schema.rpc.transport.sockets import Address, dial, listen

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
    with listen(address) as (listener, real):
        async with open_loop(calls_remain) as loop, trio.open_nursery() as nursery:
            task_status.started(real)
            open_now: set[Connection] = set()
            while True:
                sock = await _accept(listener)
                if len(open_now) >= server_limits.connections:
                    log.warning("refused a connection on %s: %d are open", real, len(open_now))
                    sock.close()
                    continue
                connection = Connection(sock, loop, limits, serving=True)
                open_now.add(connection)
                nursery.start_soon(_serve_one, connection, make_bootstrap, limits, open_now)


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


async def _serve_one(
    connection: Connection, make_bootstrap: MakeBootstrap, limits: Limits, open_now: set[Connection]
) -> None:
    def join(stream: Any) -> Any:
        return capnp.TwoPartyServer(
            stream,
            bootstrap=make_bootstrap(connection),
            traversal_limit_in_words=limits.traversal_words,
            nesting_limit=limits.nesting,
        )

    try:
        async with connection.running(join):
            await connection.until_over()
    finally:
        open_now.discard(connection)
        log.debug("%s: %s", connection.peer.address, connection.reason)


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection of ours to a server, and what the server gave it to start with."""

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
