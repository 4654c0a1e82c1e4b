"""HTTP/1.1 as cloud-hypervisor speaks it on its unix socket, one exchange at a time; it knows no request.

No general client: one connection that stays open, bodies by Content-Length, no TLS, no redirects, no chunks. A start of
a VM is four exchanges, and a general client costs more for them than the hypervisor does.
"""

import os
import select

import trio

from schema.errors import TooLarge

MAX_HEAD_BYTES = 16_384
_READ_BYTES = 65_536
_NO_CONTENT = 204


class NotHttp(OSError):
    """What came back is no answer, or only a part of one."""


class Connection:
    """One connection to `path`, made when it is needed. Not for two tasks at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: trio.SocketStream | None = None

    async def aclose(self) -> None:
        """Hang up; again is fine."""
        stream, self._open = self._open, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def exchange(
        self, method: str, target: str, *, body: bytes | None, max_answer_bytes: int
    ) -> tuple[int, bytes]:
        """Status and body of the answer. A connection that did not end as it should is not used again.

        Raises OSError and trio.BrokenResourceError when nobody answers, TooLarge.
        """
        stream = await self._connected()
        self._open = None
        is_reusable = False
        try:
            await stream.send_all(_request(method, target, body))
            status, length, rest = await _head(stream)
            if length > max_answer_bytes:
                raise TooLarge(f"an answer of {length} bytes, more than {max_answer_bytes}")
            while len(rest) < length:
                rest += await _more(stream)
            # An empty error has no length, and only the end of its connection would tell whether more comes.
            is_reusable = len(rest) == length and (length > 0 or status == _NO_CONTENT)
        finally:
            if is_reusable:
                self._open = stream
            else:
                await trio.aclose_forcefully(stream)
        return status, rest[:length]

    async def _connected(self) -> trio.SocketStream:
        if self._open is not None and _is_idle(self._open):
            return self._open
        await self.aclose()
        return await trio.open_unix_socket(os.fspath(self._path))


def _request(method: str, target: str, body: bytes | None) -> bytes:
    told = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{told}\r\n"
    return head.encode() + (body or b"")


async def _head(stream: trio.SocketStream) -> tuple[int, int, bytes]:
    """Status, the body's length and what came of it already. Raises NotHttp."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEAD_BYTES:
            raise NotHttp(f"more than {MAX_HEAD_BYTES} bytes before the body")
        data += await _more(stream)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    protocol, _, status = first.partition(b" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = headers.get(b"content-length", b"0")
    if not protocol.startswith(b"HTTP/1.") or not status[:3].isdigit() or not length.isdigit():
        raise NotHttp(f"no HTTP: {first!r:.80}")
    return int(status[:3]), int(length), rest


async def _more(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some(_READ_BYTES)
    if not data:
        raise NotHttp("it hung up")
    return bytes(data)


def _is_idle(stream: trio.SocketStream) -> bool:
    """Whether nothing, and no end, has come on a connection on which nothing was asked."""
    asked = select.poll()
    asked.register(stream.socket.fileno(), select.POLLIN)
    return not asked.poll(0)
