"""The guest's agent, through the hypervisor's hybrid vsock socket: run a command, ask how the guest is.

One connection a request. It keeps nothing, tries nothing twice, and believes nothing of what the guest says.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from schema.errors import DeadlineExceeded, Unavailable
from worker.guest.frames import (
    AGENT_PORT,
    HEAD,
    MOST_PAYLOAD,
    Ended,
    GuestFacts,
    Words,
    exec_request,
    facts_request,
    input_frames,
    said,
)
from worker.vmm.peer import check_listener, reached

CONNECT_SECONDS = 2.0
EXEC_GRACE_SECONDS = 5.0
"""Beyond a command's own deadline, which the agent enforces."""
MOST_OUTPUT = 1 << 20
"""Bytes that are kept of each of a command's outputs; what comes after is thrown away, and told."""
_LONGEST_ANSWER = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command in the guest ended. `is_cut`: it said more than is kept."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    is_cut: bool


class GuestChannel:
    """The agent behind the vsock `socket` of one VM."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def facts(self, *, deadline: float) -> GuestFacts:
        """How the guest is, within `deadline` seconds. Raises Unavailable (no agent, or nonsense), DeadlineExceeded."""
        with trio.move_on_after(deadline):
            async with self._connected() as stream:
                await stream.send_all(facts_request())
                found = await _Frames(stream).next()
                if isinstance(found, GuestFacts):
                    return found
                raise Unavailable("the guest's agent did not tell its facts")
        raise DeadlineExceeded(f"the guest's agent did not answer within {deadline:g} s")

    async def exec(self, command: str, args: tuple[str, ...], *, stdin: bytes = b"", deadline_ms: int = 0) -> Outcome:
        """Run a command in the guest, no shell in between, and wait for its end.

        `deadline_ms`: it is killed after so long (0: never). Raises InvalidInput, Unavailable and, when the agent does
        not even tell that it killed the command, DeadlineExceeded. A caller that is cancelled ends the command.
        """
        request = exec_request(command, args, deadline_ms=deadline_ms)
        limit = deadline_ms / 1000 + EXEC_GRACE_SECONDS if deadline_ms else float("inf")
        with trio.move_on_after(limit):
            async with self._connected() as stream:
                ended = await _fed_and_collected(stream, request + input_frames(stdin))
                if isinstance(ended, Unavailable):
                    raise ended
                return ended
        raise DeadlineExceeded(f"{command}: the guest's agent did not tell its end within {limit:g} s")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[trio.SocketStream]:
        async with AsyncExitStack() as closing:
            try:
                with trio.fail_after(CONNECT_SECONDS):
                    stream = await closing.enter_async_context(await reached(self._socket))
                    check_listener(stream.socket, self._socket)
                    await stream.send_all(f"CONNECT {AGENT_PORT}\n".encode())
                    await _read_ok(stream)
            except (OSError, trio.BrokenResourceError) as error:
                raise Unavailable(f"there is no guest channel: {error}") from error
            except trio.TooSlowError as error:
                raise Unavailable(
                    f"the guest's agent does not take connections within {CONNECT_SECONDS:g} s"
                ) from error
            try:
                yield stream
            except trio.BrokenResourceError as error:
                raise Unavailable("the connection to the guest's agent broke") from error


async def _fed_and_collected(stream: trio.SocketStream, data: bytes) -> Outcome | Unavailable:
    """How the command ended, or why that is not known: returned, since a nursery would raise it in a group."""
    ended: Outcome | Unavailable = Unavailable("the connection to the guest's agent broke")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_all, stream, data)
        try:
            ended = await _collected(_Frames(stream))
        except Unavailable as error:
            ended = error
        except trio.BrokenResourceError:
            pass
        nursery.cancel_scope.cancel()
    return ended


async def _send_all(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # whoever reads hears of it
        await stream.send_all(data)


async def _read_ok(stream: trio.SocketStream) -> None:
    """`OK <number>` and a newline, byte by byte: what follows is the agent's."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST_ANSWER:
        byte = bytes(await stream.receive_some(1))
        if not byte:
            raise Unavailable("nobody in the guest takes connections (yet)")
        line += byte
    if not line.startswith(b"OK "):
        raise Unavailable(f"the hypervisor's vsock said {line[:40]!r}")


class _Frames:
    """The agent's frames, one by one."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._held = bytearray()

    async def next(self) -> Words | Ended | GuestFacts:
        """The next one. Raises Unavailable at the end of the connection."""
        size, kind = HEAD.unpack(await self._take(HEAD.size))
        if size > MOST_PAYLOAD:
            raise Unavailable(f"the guest's agent sent a frame of {size} bytes")
        return said(kind, await self._take(size))

    async def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            more = await self._stream.receive_some(MOST_PAYLOAD)
            if not more:
                raise Unavailable("the connection to the guest's agent ended")
            self._held += more
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


async def _collected(frames: _Frames) -> Outcome:
    outputs = {False: bytearray(), True: bytearray()}
    is_cut = False
    while True:
        found = await frames.next()
        match found:
            case Words(data, is_error):
                output = outputs[is_error]
                room = MOST_OUTPUT - len(output)
                output += data[:room]
                is_cut = is_cut or len(data) > room
            case Ended(exit_code, timed_out):
                return Outcome(exit_code, bytes(outputs[False]), bytes(outputs[True]), timed_out, is_cut)
            case GuestFacts():
                raise Unavailable("the guest's agent answered something else")
