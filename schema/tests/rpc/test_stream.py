"""What one connection's stream sends: each byte once, in order, however little the kernel takes; and then its end."""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from schema.rpc.transport.frames import FrameMeter
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.loop import KjLoop
from schema.rpc.transport.stream import JOINED_BYTES, MOST_AT_ONCE, SocketStream


class Kernel:
    """A socket that takes as many bytes as it is told, one system call after the other; 0: it would block."""

    def __init__(self, takes: Sequence[int], *, gathers: bool) -> None:
        self.got = bytearray()
        self.longest = 0
        self._takes = list(takes)
        self._gathers = gathers

    def send(self, data: bytes | memoryview) -> int:
        self.longest = max(self.longest, len(data))
        return self._take(bytes(data))

    def sendmsg(self, pieces: Sequence[bytes | memoryview]) -> int:
        assert self._gathers, "not with TLS"
        assert 1 < len(pieces) <= MOST_AT_ONCE
        return self._take(b"".join(pieces))

    def _take(self, data: bytes) -> int:
        most = self._takes.pop(0) if self._takes else len(data)
        if not most and data:
            raise BlockingIOError
        self.got += data[:most]
        return min(most, len(data))


class Protocol:
    """KJ's side: told to pause and to go on, and of the end."""

    def __init__(self, stream: SocketStream) -> None:
        self.transport: Any = stream
        self.then: Callable[[], object] = lambda: None
        self.lost: list[str] = []

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        self.then()

    def connection_lost(self, reason: str) -> None:
        self.lost.append(reason)


def a_stream(sock: Any, limits: Limits, *, gathers: bool = True) -> tuple[SocketStream, KjLoop, Protocol]:
    loop = KjLoop(lambda: False)
    loop._pump.wake = lambda: None  # type: ignore[method-assign]  # these tests drain it themselves
    stream = SocketStream(sock, loop, limits, meter=FrameMeter(limits.message_bytes), serving=False)
    stream._gathers = gathers
    stream.protocol = Protocol(stream)
    return stream, loop, stream.protocol


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=3 * MOST_AT_ONCE),
    takes=st.lists(st.integers(0, 60), max_size=200),
    gathers=st.booleans(),
    drained=st.integers(1, 7),
)
def test_what_is_written_is_sent_once_and_in_order_however_little_is_taken(
    pieces: list[bytes], takes: list[int], gathers: bool, drained: int
) -> None:
    kernel = Kernel(takes, gathers=gathers)
    stream, loop, _ = a_stream(kernel, Limits(), gathers=gathers)
    for number, piece in enumerate(pieces):
        stream.write(piece)
        if number % drained == 0:
            loop.drain()
    loop.drain()
    while stream._unsent:
        stream._send()
    assert kernel.got == b"".join(pieces)
    assert stream._queued == 0


def test_with_tls_short_pieces_go_together_and_long_ones_are_not_copied() -> None:
    kernel = Kernel([0], gathers=False)
    stream, loop, _ = a_stream(kernel, Limits(), gathers=False)
    long, short = bytes(4 * JOINED_BYTES), b"short"
    stream.write(long)
    loop.drain()
    for _ in range(100):
        stream.write(short)
    assert stream._unsent[0] is long
    stream._send()
    assert kernel.got == long + 100 * short
    assert kernel.longest == len(long)


@pytest.mark.parametrize("outgoing_bytes", [1000, 1_000_000])
async def test_an_end_that_follows_the_last_byte_ends_the_connection(outgoing_bytes: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stream, loop, protocol = a_stream(ours, Limits(outgoing_bytes=outgoing_bytes))
        protocol.then = partial(loop.call_soon, stream.write_eof)
        reader = trio.socket.from_stdlib_socket(theirs)
        async with trio.open_nursery() as nursery:
            stream.start_writer = lambda: nursery.start_soon(stream.write_when_blocked)
            stream.write(bytes(200_000))
            loop.drain()
            got = 0
            with trio.fail_after(30):
                while got < 200_000:
                    got += len(await reader.recv(1 << 16))
                if outgoing_bytes > 200_000:  # KJ was never paused: it ends by itself
                    stream.write_eof()
                    loop.drain()
                await stream.lost.wait()
    assert protocol.lost == ["closed"]
