"""One HTTP request that is answered while its body still comes in; it knows nothing of git.

Two properties of hypercorn on trio shape it. Sending to a client that does not read is shielded from cancellation: so
answers pass through a channel of one piece to a task of their own, and whoever produces them can give up in time. And
an application that returns while pieces of the request wait in its full queue is never left: so the rest of the body
is read and thrown away before the answer ends, which also keeps the connection from being reset under the answer.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import trio

from repohub.cgi import CgiHead
from schema.http import Message, Receive, Send

DRAIN_SECONDS = 600.0
"""How long the rest of an unwanted body is read."""
IMPATIENT_SECONDS = 2.0
"""The same for a client that has already been too slow, or gets no whole answer."""


@dataclass(slots=True)
class Exchange:
    """What has happened in one request so far. `answer` is closed by `finish` or `abort`."""

    receive: Receive
    answer: trio.MemorySendChannel[Message]
    body_done: bool = False
    gone: bool = False
    started: bool = False
    too_large: bool = False

    async def body(self, *, limit: int) -> AsyncGenerator[bytes, None]:
        """The pieces of the body; ends early when the client goes away, or (`too_large`) after `limit` bytes."""
        taken = 0
        while not self.body_done and not self.gone:
            data = await self._next()
            taken += len(data)
            self.too_large = taken > limit
            if self.too_large:
                return
            yield data

    async def client_leaves(self) -> None:
        """Return when the client has gone."""
        while not self.gone:
            await self._next()

    async def start(self, head: CgiHead) -> None:
        """Begin the answer."""
        self.started = True
        await self.answer.send({"type": "http.response.start", "status": head.status, "headers": list(head.headers)})

    async def piece(self, data: bytes) -> None:
        """Send a piece of it, as soon as the one before is on its way."""
        await self.answer.send({"type": "http.response.body", "body": data, "more_body": True})

    async def text(self, text: str, *, status: int) -> None:
        """Begin an answer of one line, which git shows to its user."""
        headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))
        await self.start(CgiHead(status=status, headers=headers))
        await self.piece(f"{text}\n".encode())

    async def finish(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """End the answer well, once the rest of the body has come, or `drain_seconds` have passed."""
        await self._drain(drain_seconds)
        await self.answer.send({"type": "http.response.body", "body": b"", "more_body": False})
        await self.answer.aclose()

    async def abort(self) -> None:
        """Leave the answer incomplete: the connection closes, and the client sees that it has not got all."""
        await self._drain(IMPATIENT_SECONDS)
        await self.answer.aclose()

    async def _drain(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while not self.body_done and not self.gone:
                await self._next()

    async def _next(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            self.gone = True
        elif not message.get("more_body", False):
            self.body_done = True
        data: bytes = message.get("body", b"")
        return data


@dataclass(slots=True)
class Sender:
    """Carries an answer to the client, in a task beside the one that makes it."""

    send: Send
    pieces: trio.MemoryReceiveChannel[Message] = field(init=False)

    async def run(self) -> None:
        """Send what comes, until the answer is closed."""
        async with self.pieces:
            async for message in self.pieces:
                await self.send(message)

    def exchange(self, receive: Receive) -> Exchange:
        """The exchange whose answer this carries."""
        answer, self.pieces = trio.open_memory_channel[Message](0)
        return Exchange(receive, answer)


async def refuse(receive: Receive, send: Send, *, text: str, status: int) -> None:
    """Answer a request that never reaches git, whatever of its body is still to come."""
    sender = Sender(send)
    exchange = sender.exchange(receive)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        await exchange.text(text, status=status)
        await exchange.finish()
