"""One connection's life: its stream, its KJ side and the nursery of the calls that came over it."""

import math
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import capnp
import trio

from schema.errors import Unavailable
from schema.rpc.transport.calls import Call, Handlers, servant
from schema.rpc.transport.frames import FrameMeter
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.loop import KjLoop
from schema.rpc.transport.sockets import Peer, peer_of, ready
from schema.rpc.transport.stream import SocketStream


class Connection:
    """A peer, what it may cost, and what it may call."""

    def __init__(self, sock: socket.socket, loop: KjLoop, limits: Limits, *, serving: bool) -> None:
        self.peer: Peer = peer_of(sock)
        self._limits = limits
        self._sock = ready(sock)
        self._loop = loop
        self._stay = trio.CancelScope(deadline=trio.current_time() + limits.stranger_seconds)
        """How long a stranger may."""
        self._serving = serving
        self._meter = FrameMeter(limits.stranger_message_bytes if serving else limits.message_bytes)
        self._stream = SocketStream(sock, loop, limits, meter=self._meter, serving=serving)
        self._nursery: trio.Nursery | None = None
        self._calls: set[Call] = set()
        self._parked: set[Call] = set()
        self._cleanups: list[Callable[[], Awaitable[None]]] = []
        self._waiting: deque[tuple[Call, Coroutine[Any, Any, None]]] = deque()

    @property
    def lost(self) -> trio.Event:
        """Set once the connection is over."""
        return self._stream.lost

    @property
    def reason(self) -> str:
        """Why it is over."""
        return self._stream.reason

    def trust(self) -> None:
        """The peer said who it is: it may stay, and send large messages."""
        self._stay.deadline = math.inf
        self._meter.max_bytes = self._limits.message_bytes

    def be_patient(self, is_patient: bool) -> None:
        """Whether it is one of many that wait to be told something: it is not heard while they are (`AnswersFirst`)."""
        self._stream.is_patient = is_patient

    def drop(self, reason: str) -> None:
        """End the connection soon; every call over it fails as unavailable."""
        # Not here: a handler may ask for it inside a turn of KJ, which must not lose its stream under its feet.
        self._loop.call_soon(self._stream.lose, reason)

    def at_end(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Have `cleanup` awaited when the connection is over and its calls have ended, last one first."""
        self._cleanups.append(cleanup)

    def not_at_end(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Forget what `at_end` was asked for."""
        if cleanup in self._cleanups:
            self._cleanups.remove(cleanup)

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run `task` for as long as the connection is there; nothing happens when it is over."""
        if self._nursery is not None and not self.lost.is_set():
            self._nursery.start_soon(task)

    def export(self, interface: Any, handlers: Handlers, dropped: Callable[[], None] | None = None) -> Any:
        """A capability for the peer of this connection: its calls count against its limits and end with it.

        `dropped` is called when the peer has let go of it.
        """
        return servant(interface, handlers, self, dropped=dropped)

    def spawn(self, call: Call, pending: Coroutine[Any, Any, None]) -> None:
        """Run a call's coroutine as a task, or let it wait while 64 run. Raises `Unavailable` when it is over."""
        if self._nursery is None or self.lost.is_set():
            raise Unavailable("the connection is closed")
        if len(self._calls) < self._limits.handlers:
            self._calls.add(call)
            self._nursery.start_soon(self._run, call, pending)
        elif len(self._waiting) < self._limits.waiting:
            self._waiting.append((call, pending))
        else:
            self.drop(f"the peer sent more than {self._limits.waiting} calls ahead")
            raise Unavailable("too many calls in flight")

    def park(self, call: Call) -> None:
        """Remember a call that waits without a task, up to 256. Raises `Unavailable` when it is over."""
        if self.lost.is_set():
            raise Unavailable("the connection is closed")
        if len(self._parked) >= self._limits.waiting:
            self.drop(f"the peer has more than {self._limits.waiting} calls wait")
            raise Unavailable("too many calls wait")
        self._parked.add(call)

    def unpark(self, call: Call) -> None:
        """It waits no more."""
        self._parked.discard(call)

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` in a turn of its own, when KJ is not at work."""
        self._loop.call_soon(work)

    async def _run(self, call: Call, pending: Coroutine[Any, Any, None]) -> None:
        while True:
            self._calls.add(call)
            try:
                await call.run(pending)
            finally:
                self._calls.discard(call)
            if not self._waiting:
                return
            call, pending = self._waiting.popleft()

    @asynccontextmanager
    async def running(self, join: Callable[[Any], Any]) -> AsyncIterator[Any]:
        """Speak Cap'n Proto for as long as the context is open; `join` makes KJ's side of the stream.

        When the peer leaves, `lost` is set and calls fail, but the context's body goes on. A server's body reads what
        the peer says, in `until_over`; a client has it read beside its own.
        """
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                stream = await capnp.AsyncIoStream.create_connection(transport=self._stream)
                system = join(stream)
                if not self._serving:
                    nursery.start_soon(self._stream.read)
                self._stream.start_writer = partial(nursery.start_soon, self._stream.write_when_blocked)
                try:
                    yield system
                except BaseException as error:  # raised again below, without the nursery's group around it
                    failure = error
                finally:
                    self._close(stream, system)
                    nursery.cancel_scope.cancel()
        finally:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            while self._cleanups:
                await self._cleanups.pop()()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def until_over(self) -> None:
        """Serve the peer until it is gone, or stayed too long without saying who it is."""
        self._stream.when_lost = self._stay.cancel
        with self._stay:
            await self._stream.read()
        if not self.lost.is_set():
            self.drop(f"the peer did not log in within {self._limits.stranger_seconds:g} s")
        await self.lost.wait()

    def _close(self, stream: Any, system: Any) -> None:
        for call in [*self._calls, *self._parked]:
            call.cancel()
        system.close()
        self._loop.drain()  # what KJ has to say as a farewell
        stream.close()
        self._stream.lose("closed")
        self._loop.drain()
        while self._waiting:
            self._waiting.popleft()[1].close()
