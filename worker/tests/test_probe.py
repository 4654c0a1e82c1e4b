"""Checks are asked over real sockets."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from schema.blueprint import CheckType, HealthCheck
from worker.health import CheckResult
from worker.probe import ask

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def a_server(handler: Handler) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def answer(
    handler: Handler, kind: CheckType = CheckType.TCP, path: str | None = None, *, timeout_ms: int = 30_000
) -> CheckResult:
    async with a_server(handler) as port:
        check = HealthCheck(type=kind, port=port, path=path)
        (result,) = await ask((check,), address="127.0.0.1", timeout_ms=timeout_ms)
    return CheckResult(result.passed, result.detail.replace(str(port), "PORT"))


def http(status: str) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some(4096)
        await stream.send_all(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return handler


async def hold(stream: trio.SocketStream) -> None:
    await trio.sleep(60)


async def greet(stream: trio.SocketStream) -> None:
    await stream.send_all(b"220 hello\r\n")


async def hang_up(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def test_tcp_passes_with_bytes_or_a_held_connection() -> None:
    assert await answer(greet) == CheckResult(True, "tcp PORT: open")
    assert await answer(hold) == CheckResult(True, "tcp PORT: open")


async def test_tcp_that_accepts_and_hangs_up_at_once_does_not_pass() -> None:
    assert await answer(hang_up) == CheckResult(False, "tcp PORT: accepted and hung up")


async def test_tcp_that_is_closed_does_not_pass() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that it is nobody else's, who would listen
        port = silent.getsockname()[1]
        check = HealthCheck(type=CheckType.TCP, port=port)
        (result,) = await ask((check,), address="127.0.0.1", timeout_ms=30_000)
    assert result == CheckResult(False, f"tcp {port}: connection refused")


async def test_http_passes_with_success_and_redirects_only() -> None:
    for status, passed in (("200 OK", True), ("302 Found", True), ("404 Not Found", False), ("503 Busy", False)):
        result = await answer(http(status), CheckType.HTTP, "/healthz?a=b")
        assert result == CheckResult(passed, f"http PORT/healthz?a=b: answered {status[:3]}")


async def test_what_does_not_answer_in_time_does_not_pass() -> None:
    result = await answer(hold, CheckType.HTTP, timeout_ms=500)
    assert result == CheckResult(False, "http PORT: no answer within 500 ms")


async def test_http_that_talks_nonsense_does_not_pass() -> None:
    result = await answer(greet, CheckType.HTTP)
    assert not result.passed
