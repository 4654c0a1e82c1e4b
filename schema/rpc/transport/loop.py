"""The asyncio face that pycapnp asks for, with trio underneath; it opens no socket and knows no message.

pycapnp drives KJ's event loop through five things of a running asyncio loop: `call_soon`, `create_future`,
`create_task`, `create_connection` and `call_exception_handler`. This is such a loop and nothing more, so a call
needs neither a second scheduler nor a hop between two: trio tasks await KJ promises, KJ calls start trio tasks,
and a turn of KJ runs wherever bytes have just arrived.
"""

import asyncio.events  # noqa: TID251 # this is the one place: the face of an asyncio loop
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import capnp
import trio

from schema.rpc.transport.garbage import Collector
from schema.rpc.transport.promises import Pump, Reply, uninstrumented

log = logging.getLogger("procurator.rpc")

CHUNK = 64 * 1024
"""More than a record of TLS: what is decrypted is taken whole, and nothing waits where no system call sees it."""


class Call(Protocol):
    """What `create_task` is given by servers of ours: a call that knows how to begin."""

    def begin(self) -> object:
        """Run it; returns what stands for a task."""


class Turn:
    """One scheduled callback: asyncio's `Handle`."""

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Forget the callback."""
        self.callback = None
        self.args = ()


class KjLoop:
    """One a thread, alive while any connection is."""

    def __init__(self, remains: Callable[[], bool]) -> None:
        self._remains = remains
        self._turns: deque[Turn] = deque()
        self._dirty: list[Callable[[], None]] = []
        self._draining = False
        self._pump = Pump(self.drain)
        self._kj: Any = None
        self._collector = Collector()
        self.received = bytearray(CHUNK)
        """What a connection has just read: of all of this thread, for it is consumed within the step that filled it."""
        self.held: trio.lowlevel.ParkingLot | None = None
        """While answers go first: where the patient connections wait that have something to read."""
        self.users = 0

    # What pycapnp calls.

    def call_soon(self, callback: Callable[..., object], *args: object, context: object = None) -> Turn:
        """Run `callback` in the next turn."""
        turn = Turn(callback, args)
        self._turns.append(turn)
        if not self._draining:
            self._pump.wake()
        return turn

    def create_future(self) -> Reply:
        """A promise's value to come, awaited by trio tasks."""
        return Reply(self)

    def create_task(self, call: Call, **_: object) -> object:
        """Begin a call that came in."""
        return call.begin()

    async def create_connection(
        self, factory: Callable[[], Any], host: None, port: None, *, transport: Any
    ) -> tuple[Any, Any]:
        """Join pycapnp's protocol object to a transport of ours."""
        protocol = factory()
        transport.protocol = protocol
        protocol.connection_made(transport)
        return transport, protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What pycapnp has nowhere to raise: a cancelled handler that failed while it unwound."""
        log.error("%s", context.get("message"), exc_info=context.get("exception"))

    def get_debug(self) -> bool:
        """Asked by asyncio's own helpers."""
        return False

    # What this package calls.

    def hold(self, lot: trio.lowlevel.ParkingLot | None) -> None:
        """Have patient connections wait in `lot` before they read; None: no longer. Cycles can wait meanwhile too."""
        self.held = lot
        self._collector.waits = lot is not None

    def flush_after_turn(self, flush: Callable[[], None]) -> None:
        """Send what a turn wrote in one go when it ends."""
        self._dirty.append(flush)
        if not self._draining:
            self._pump.wake()

    def turn(self) -> None:
        """Run turns until KJ rests; what they wrote is sent by `drain`."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._turns:
                turn = self._turns.popleft()
                if turn.callback is not None:
                    turn.callback(*turn.args)
        finally:
            self._draining = False

    def drain(self) -> None:
        """Run turns until KJ rests, and send what they wrote. Inside another turn it leaves both to that one."""
        if self._draining:
            return
        while self._turns or self._dirty:
            self.turn()
            dirty, self._dirty = self._dirty, []
            for flush in dirty:
                flush()

    async def open(self) -> None:
        """Start KJ on this thread, or take up the one that `close` had to leave."""
        if asyncio.events._get_running_loop() is not None:
            raise RuntimeError("an asyncio loop runs on this thread; give RPC a trio thread of its own")
        asyncio.events._set_running_loop(self)  # type: ignore[arg-type] # the part of a loop that pycapnp uses
        self._pump = Pump(self.drain)
        self._pump.start()
        self._collector.start()
        if self._kj is None:
            self._kj = capnp.kj_loop()
            with uninstrumented():
                await self._kj.__aenter__()

    async def close(self) -> None:
        """Stop KJ; every connection is closed by then.

        While something of a call is still alive KJ must not end (it would take the process with it): it stays for
        the thread's next user.
        """
        try:
            try:
                self.drain()
            finally:
                self._collector.stop()
            if self._remains():
                log.warning("KJ's loop stays: something of a call outlives its connection")
                return
            with trio.CancelScope(shield=True):
                await self._kj.__aexit__(None, None, None)
            self._kj = None
        finally:
            self._pump.stop()
            asyncio.events._set_running_loop(None)


class _Thread(threading.local):
    loop: KjLoop | None = None


_thread = _Thread()


class AnswersFirst:
    """From its making until `end`: what is being answered on this thread goes out before patient connections are read.

    None of them is heard meanwhile but whom `hear` lets in, who has waited longest; there is one at a time.
    """

    def __init__(self) -> None:
        self._lot = trio.lowlevel.ParkingLot()
        self._loop = _thread.loop
        if self._loop is not None:
            self._loop.hold(self._lot)

    def hear(self) -> None:
        """Let one patient connection be read from once."""
        self._lot.unpark()

    def end(self) -> None:
        """Let everyone be heard."""
        if self._loop is not None:
            self._loop.hold(None)
        self._lot.unpark_all()


@asynccontextmanager
async def open_loop(remains: Callable[[], bool]) -> AsyncIterator[KjLoop]:
    """The thread's loop, started by its first user and stopped by its last.

    `remains` says whether anything of a call is still alive, which must not outlive the loop.
    """
    loop = _thread.loop = _thread.loop or KjLoop(remains)
    if loop.users == 0:
        await loop.open()
    loop.users += 1
    try:
        yield loop
    finally:
        loop.users -= 1
        if loop.users == 0:
            await loop.close()
