"""Serve an ASGI app by hypercorn on trio with limits, deadlines and a graceful end; it knows no routes."""

import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import UnexpectedMessageError, wrap_app

from schema.errors import Unavailable
from schema.rpc.transport.renewal import keep_renewed, states_of
from schema.rpc.transport.tls import ServerTls, server_context

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may take."""

    max_body_bytes: int | None = 1 << 20
    """Bytes of body; above it the answer is 413. None: no limit (an upload that the app limits itself)."""
    start_seconds: float | None = 30.0
    """Seconds from the request to the start of its answer; after it the answer is 504. None: as long as it takes."""


_MAX_WSGI_BODY = 0  # no WSGI here, but hypercorn asks

LimitsFor = Callable[[Scope], RequestLimits]


def default_limits(_scope: Scope) -> RequestLimits:
    """The same limits for every request."""
    return RequestLimits()


class Limited:
    """Middleware: holds requests to their limits, and ends event streams when the server stops.

    An event stream (`text/event-stream`) would keep a graceful end waiting for ever; `stop` cuts it.
    """

    def __init__(self, app: App, *, limits_for: LimitsFor) -> None:
        self._app = app
        self._limits_for = limits_for
        self._streams: set[trio.CancelScope] = set()
        self.stopped = trio.Event()

    def stop(self) -> None:
        """End the event streams, those that begin later too."""
        self.stopped.set()
        for stream in self._streams:
            stream.cancel()

    def is_event_stream(self, scope: trio.CancelScope) -> None:
        """Note that the request running in `scope` answers with an event stream."""
        self._streams.add(scope)
        if self.stopped.is_set():
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (or pass on what is not http)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self, self._limits_for(scope), receive=receive, send=send)
        try:
            await exchange.run(self._app, scope)
        finally:
            self._streams.discard(exchange.cancel_scope)


class _Exchange:
    """One request and its answer."""

    def __init__(self, server: Limited, limits: RequestLimits, *, receive: Receive, send: Send) -> None:
        self._server = server
        self._limits = limits
        self._receive = receive
        self._send = send
        self._taken = 0
        self._started = False
        self._refused = False
        self.cancel_scope = trio.CancelScope()

    async def run(self, app: App, scope: Scope) -> None:
        if self._too_large(_declared_length(scope)):
            await self._answer(413, "the request body is too large")
            return
        if self._limits.start_seconds is not None:
            self.cancel_scope.deadline = trio.current_time() + self._limits.start_seconds
        with self.cancel_scope:
            await app(scope, self._take, self._give)
        if not self.cancel_scope.cancelled_caught:
            return
        if self._started:
            with suppress(UnexpectedMessageError):  # the client may have left at the same moment
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._refused:
            await self._answer(413, "the request body is too large")
        else:
            await self._answer(504, "no answer within the deadline")

    def _too_large(self, size: int) -> bool:
        return self._limits.max_body_bytes is not None and size > self._limits.max_body_bytes

    async def _take(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._too_large(self._taken):
            # Cancelled, not raised: a framework would answer an exception with 500.
            self._refused = True
            self.cancel_scope.cancel()
            await trio.lowlevel.checkpoint()
        return message

    async def _give(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self.cancel_scope.deadline = float("inf")
            if _is_event_stream(message):
                self._server.is_event_stream(self.cancel_scope)
        await self._send(message)

    async def _answer(self, status: int, text: str) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": text.encode() + b"\n", "more_body": False})


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )


def listen(*, host: str, port: int) -> socket.socket:
    """A listening TCP socket (port 0: any free one). Raises Unavailable that names the address and the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        hint = "; another process has it: set another port, or 0 for any" if error.errno == errno.EADDRINUSE else ""
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error
    return sock


def listen_unix(path: Path) -> socket.socket:
    """A listening unix socket that only our own user reaches. Raises Unavailable."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            sock.bind(os.fspath(path))
        finally:
            os.umask(before)
        sock.listen(128)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot listen on {path}: {error.strerror}") from error
    return sock


def address_text(sock: socket.socket) -> str:
    """`127.0.0.1:7401` or `[::1]:7401` of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Config(Config):
    """Hypercorn's, which keeps its context, so that a renewed certificate can take the place of the one in it."""

    tls_context: ssl.SSLContext | None = None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """As hypercorn's."""
        self.tls_context = super().create_ssl_context()
        return self.tls_context

    def fresh_context(self) -> ssl.SSLContext:
        """Another one with what the files have now. Raises OSError."""
        made = super().create_ssl_context()
        assert made is not None  # noqa: S101 - there are a certificate and a key
        return made


def _hypercorn_config(graceful_seconds: float, tls: ServerTls | None) -> _Config:
    config = _Config()
    if tls is not None:
        config.certfile, config.keyfile = str(tls.certificate), str(tls.key)
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.graceful_timeout = graceful_seconds
    config.shutdown_timeout = max(graceful_seconds, 1.0)
    config.keep_alive_timeout = 75.0
    return config


async def serve_http(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    unix: Path | None = None,
    limits_for: LimitsFor = default_limits,
    graceful_seconds: float = 3.0,
    tls: ServerTls | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until cancelled; `task_status` gets the real address (`127.0.0.1:41233`) once it listens.

    `unix` is the path of a socket (0600) instead of an address; what is left at the path is replaced.

    When cancelled it takes no new connection, ends event streams, and gives other requests `graceful_seconds`. With
    `tls` it is https. Raises Unavailable when it cannot listen, InvalidInput for a certificate that cannot be used.
    """
    since = states_of(tls) if tls else ()
    if tls is not None:
        server_context(tls)  # a wrong file is told by its name, before there is a socket
    sock = listen(host=host, port=port) if unix is None else listen_unix(unix)
    address = address_text(sock) if unix is None else f"unix:{unix}"
    limited = Limited(app, limits_for=limits_for)
    wrapped = wrap_app(cast(Any, limited), _MAX_WSGI_BODY, "asgi")
    config = _hypercorn_config(graceful_seconds, tls)
    sockets = Sockets([sock], [], []) if tls else Sockets([], [sock], [])

    async def stop_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            limited.stop()

    async def serve(*, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
        # Shielded: a cancelled caller asks hypercorn to end gracefully, which its own cancellation would not be.
        with trio.CancelScope(shield=True):
            await worker_serve(
                wrapped,
                config,
                sockets=sockets,
                shutdown_trigger=limited.stopped.wait,
                task_status=task_status,
            )

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_cancelled)
            await nursery.start(serve)
            if tls is not None and config.tls_context is not None:
                nursery.start_soon(
                    partial(keep_renewed, config.tls_context, tls, make=config.fresh_context, since=since)
                )
            task_status.started(address)
            await trio.sleep_forever()
    finally:
        sock.close()
