"""Git over smart HTTP: one request is one `git http-backend`, streamed both ways; it decides nothing about names.

Memory is bounded: a piece of the body is taken from the client only when git has taken the one before, and the other
way round. However a request ends (done, client gone, idle, too long, too large, service stopped), the runner ends the
whole process group. Only a push whose body has been taken completely runs to its end when its client has gone.
"""

import logging
import subprocess  # noqa: TID251 - only the constant for "no pipe"; nix.run starts the process
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import trio

from nix.child import Child
from nix.run import open_process
from repohub.activity import Activity
from repohub.cgi import CgiRequest, cgi_environment, split_head
from repohub.exchange import DRAIN_SECONDS, IMPATIENT_SECONDS, Exchange, Sender
from repohub.store import RepositoryStore
from schema.errors import DeadlineExceeded, ProcuratorError, TooLarge, Unavailable
from schema.http import Receive, Send

log = logging.getLogger(__name__)

PIECE = 64 * 1024
"""Bytes read from git at once."""
FETCH_BODY = 64 * 1024 * 1024
"""Bytes of wants and haves that a fetch may send."""
SLACK = 16 * 1024 * 1024
"""Bytes that the body of a push may have beside its pack; git itself refuses the pack, and says why."""
QUEUE_SECONDS = 20.0
REAP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for one request, and without a byte in either direction."""

    request: float
    idle: float


@dataclass(frozen=True, slots=True)
class GitHttp:
    """Serves checked requests. `pushed` is told of every push that is over, whatever came of it."""

    store: RepositoryStore
    activity: Activity
    deadlines: Deadlines
    processes: trio.CapacityLimiter
    pushed: Callable[[str], None]
    page_of: Callable[[str], str]

    async def serve(self, request: CgiRequest, receive: Receive, send: Send) -> None:
        """Answer one request of a git client for a repository that exists."""
        sender = Sender(send)
        exchange = sender.exchange(receive)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.run)
            try:
                with trio.move_on_after(self.deadlines.request) as whole:
                    await self._run(request, exchange)
                if whole.cancelled_caught:
                    raise DeadlineExceeded(f"not done within {self.deadlines.request:g} s")
            except ProcuratorError as error:
                log.warning("%s for %s: %s", request.service, request.repository, error.message)
                if exchange.started or exchange.gone:
                    await exchange.abort()
                    return
                await exchange.text(error.message, status=413 if isinstance(error, TooLarge) else 503)
                patience = IMPATIENT_SECONDS if isinstance(error, DeadlineExceeded) else DRAIN_SECONDS
                await exchange.finish(drain_seconds=patience)
            else:
                await exchange.finish()

    async def _run(self, request: CgiRequest, exchange: Exchange) -> None:
        env = self.store.environment(request.repository)
        env |= cgi_environment(request, root=str(self.store.root), page=self.page_of(request.repository))
        idle = trio.CancelScope()
        argv = ["git", "http-backend"]
        async with (
            self._slot(),
            self._noted(request),
            open_process(argv, env=env, stderr=subprocess.DEVNULL, with_us=True) as process,
        ):
            with idle:
                self._moved(idle)
                await self._stream(request, exchange, process, idle)
        if exchange.gone and not exchange.body_done:
            raise Unavailable("the client went away in the middle of its request")
        if exchange.too_large:
            raise TooLarge("the request body is too large")
        if idle.cancelled_caught and not exchange.gone:
            raise DeadlineExceeded(f"no byte moved for {self.deadlines.idle:g} s")
        if not exchange.started:
            raise Unavailable("git http-backend gave no answer")

    async def _stream(self, request: CgiRequest, exchange: Exchange, process: Child, idle: trio.CancelScope) -> None:
        if process.stdin is None or process.stdout is None:
            raise Unavailable("git http-backend was started without pipes")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed, request, exchange, process.stdin, idle)
            await self._pump(exchange, process.stdout, idle)
            with trio.move_on_after(REAP_SECONDS):
                await process.wait()
            nursery.cancel_scope.cancel()

    async def _feed(
        self, request: CgiRequest, exchange: Exchange, stdin: trio.abc.SendStream, idle: trio.CancelScope
    ) -> None:
        limit = self.store.limits.max_push_bytes + SLACK if request.is_push else FETCH_BODY
        async with stdin, aclosing(exchange.body(limit=limit)) as body:
            async for piece in body:
                self._moved(idle)
                try:
                    await stdin.send_all(piece)
                except trio.BrokenResourceError:
                    return  # git wants no more; what it answers says why
            if not exchange.body_done:
                idle.cancel()
        if not request.is_push:
            await exchange.client_leaves()
            idle.cancel()

    async def _pump(self, exchange: Exchange, stdout: trio.abc.ReceiveStream, idle: trio.CancelScope) -> None:
        received = b""
        while piece := bytes(await stdout.receive_some(PIECE)):
            self._moved(idle)
            if exchange.started:
                await exchange.piece(piece)
                continue
            received += piece
            if (split := split_head(received)) is not None:
                await exchange.start(split[0])
                await exchange.piece(split[1])

    def _moved(self, idle: trio.CancelScope) -> None:
        idle.deadline = trio.current_time() + self.deadlines.idle

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None, None]:
        token = object()
        with trio.move_on_after(QUEUE_SECONDS) as waiting:
            await self.processes.acquire_on_behalf_of(token)
        if waiting.cancelled_caught:
            raise Unavailable("too many git requests at once; try again in a minute")
        try:
            yield
        finally:
            self.processes.release_on_behalf_of(token)

    @asynccontextmanager
    async def _noted(self, request: CgiRequest) -> AsyncGenerator[None, None]:
        if not request.is_push:
            yield
            return
        self.activity.begin(request.repository)
        try:
            yield
        finally:
            self.activity.end(request.repository)
            self.pushed(request.repository)
