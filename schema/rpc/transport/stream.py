"""One socket under one pycapnp connection: the transport of asyncio's protocol, with bounds; it decodes nothing.

Why not asyncio's own: KJ reads a message in two or three tiny reads, each of which would cost asyncio a system
call and two changes of its selector, and a peer's half-close while reading is paused crashes pycapnp 2.2.4.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import trio

from schema.errors import ProcuratorError
from schema.rpc.transport.frames import FrameMeter
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.loop import KjLoop

SLICE = 2048
"""Bytes that KJ gets at once: a few calls, so that a peer that takes no answers is noticed after a few."""
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
MOST_AT_ONCE = 64
"""Pieces that one system call sends; a message has two or three."""
JOINED_BYTES = 16 * 1024
"""TLS takes one piece at a time: shorter ones are joined up to about this, a record of it."""


def _nobody() -> None:
    pass


class SocketStream:
    """Reads as far as KJ wants, writes what KJ wrote, and gives up when the peer misbehaves."""

    def __init__(self, sock: socket.socket, loop: KjLoop, limits: Limits, *, meter: FrameMeter, serving: bool) -> None:
        self.protocol: Any = None
        self.meter = meter
        self.lost = trio.Event()
        self.reason = "closed"
        self._sock = sock
        self.is_patient = False
        """Whether it waits with reading while answers go first."""
        self._loop = loop
        self._limits = limits
        self._serving = serving
        self._wanted = self._paused = self._dirty = self._eof = False
        self._unsent: list[bytes | memoryview] = []
        self._gathers = not isinstance(sock, ssl.SSLSocket)
        self._queued = 0
        self._left = b""
        self._readable = trio.lowlevel.ParkingLot()
        self._writing = False
        self.start_writer: Callable[[], None] = _nobody
        """Has `write_when_blocked` run as a task: most connections never need one."""
        self.when_lost: Callable[[], None] = _nobody
        """Ends who reads, and waits for a peer that may never say anything."""

    # What pycapnp's protocol calls.

    def pause_reading(self) -> None:
        """KJ has what it asked for."""
        self._wanted = False

    def resume_reading(self) -> None:
        """KJ waits for bytes."""
        self._wanted = True
        self._readable.unpark_all()

    def write(self, data: bytes) -> None:
        """Queue bytes; they leave when the turn ends."""
        self._unsent.append(data)
        self._queued += len(data)
        self._flush_later()
        if self._queued > self._limits.outgoing_bytes and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Sockets can."""
        return True

    def write_eof(self) -> None:
        """KJ is done with this connection, by itself or over a protocol error: nothing follows what is queued."""
        self._eof = True
        self._flush_later()

    close = write_eof

    def is_closing(self) -> bool:
        """Whether writing is over."""
        return self._eof or self.lost.is_set()

    # The tasks of a connection.

    async def read(self) -> None:
        """Feed KJ until the peer is gone."""
        try:
            while not self.lost.is_set():
                if not self._may_read():
                    await self._readable.park()
                elif self._left:
                    left, self._left = self._left, b""
                    self._feed(memoryview(left))
                    await trio.lowlevel.checkpoint()
                elif not await self._wait_for_bytes():
                    return
                else:
                    if self.is_patient and self._loop.held is not None and not self.meter.inside_message:
                        await self._loop.held.park()  # a message that has begun goes on: its sender waits for no turn
                    if self._may_read() and not self.lost.is_set():
                        self._receive()
        except OSError as error:
            self.lose(str(error))

    def _may_read(self) -> bool:
        return self._wanted and not (self._serving and self._paused)

    async def _wait_for_bytes(self) -> bool:
        if not self.meter.inside_message:
            await trio.lowlevel.wait_readable(self._sock)
            return True
        with trio.move_on_after(self._limits.stall_seconds):
            await trio.lowlevel.wait_readable(self._sock)
            return True
        self.lose("the peer stalled inside a message")
        return False

    def _receive(self) -> None:
        try:
            size = self._sock.recv_into(self._loop.received)
        except WOULD_BLOCK:
            return
        if not size:
            # Not `eof_received`: pycapnp crashes when KJ reads again after it.
            self.lose("the peer closed the connection")
            return
        self._feed(memoryview(self._loop.received)[:size])

    def _feed(self, view: memoryview) -> None:
        while view and not self.lost.is_set():
            if not self._may_read():
                self._left = bytes(view)
                break
            piece = view[: max(SLICE, self.meter.missing)]
            view = view[len(piece) :]
            try:
                self.meter.feed(piece)
            except ProcuratorError as error:
                self.lose(str(error))
                return
            while piece and self.protocol.transport is not None:
                room = self.protocol.get_buffer(len(piece))
                step = min(len(room), len(piece))
                room[:step] = piece[:step]
                self.protocol.buffer_updated(step)
                piece = piece[step:]
            self._loop.turn()
        self._loop.drain()

    async def write_when_blocked(self) -> None:
        """Go on sending to a peer that is slower than we are, for as long as it takes something."""
        try:
            while self._unsent and not self.lost.is_set():
                with trio.move_on_after(self._limits.stall_seconds) as scope:
                    await trio.lowlevel.wait_writable(self._sock)
                if scope.cancelled_caught:
                    self.lose("the peer stopped reading")
                    return
                self._send()
                self._loop.drain()
        except OSError as error:
            self.lose(str(error))
        finally:
            self._writing = False

    # Sending.

    def _flush_later(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._loop.flush_after_turn(self._flush)

    def _flush(self) -> None:
        self._dirty = False
        if not self._writing or not self._unsent:  # who waits to write has nothing to do with what ends without bytes
            self._send()

    def _send(self) -> None:
        if self.lost.is_set():
            return
        try:
            while self._unsent:
                self._drop(self._hand_over())
        except WOULD_BLOCK:
            if not self._writing:
                self._writing = True
                self.start_writer()
        except OSError as error:
            self.lose(str(error))
            return
        if self._paused and self._queued <= self._limits.outgoing_bytes // 2:
            self._paused = False
            self._readable.unpark_all()
            self.protocol.resume_writing()
        if self._eof and not self._queued:
            self.lose("closed")

    def _hand_over(self) -> int:
        """The bytes that the kernel took: the pieces are not joined where it takes several."""
        if self._gathers and len(self._unsent) > 1:
            return self._sock.sendmsg(self._unsent[:MOST_AT_ONCE])
        if len(self._unsent) > 1 and len(self._unsent[0]) < JOINED_BYTES:
            self._join()
        return self._sock.send(self._unsent[0])

    def _join(self) -> None:
        """Make one of the first few pieces."""
        count = size = 0
        while count < len(self._unsent) and size < JOINED_BYTES:
            size += len(self._unsent[count])
            count += 1
        self._unsent[:count] = [b"".join(self._unsent[:count])]

    def _drop(self, sent: int) -> None:
        """Forget so many bytes: nothing that is sent is kept."""
        self._queued -= sent
        whole = 0
        while whole < len(self._unsent) and sent >= len(self._unsent[whole]):
            sent -= len(self._unsent[whole])
            whole += 1
        del self._unsent[:whole]
        if sent:
            self._unsent[0] = memoryview(self._unsent[0])[sent:]

    def lose(self, reason: str) -> None:
        """End this connection; KJ rejects every call over it as disconnected."""
        if self.lost.is_set():
            return
        self.reason = reason
        self.lost.set()
        self.when_lost()
        self._readable.unpark_all()
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.connection_lost(reason)
