"""The HTTP server over real sockets: limits, deadlines, a graceful end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from schema.errors import Unavailable
from schema.http import RequestLimits, default_limits, serve_http


def an_app(endpoint: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])


@asynccontextmanager
async def serving(
    endpoint: Callable[[Request], Awaitable[Response]],
    limits: RequestLimits | None = None,
    graceful_seconds: float = 3.0,
) -> AsyncIterator[tuple[httpx.AsyncClient, trio.CancelScope]]:
    """A client of the served app, and the scope that stops the server."""
    stop = trio.CancelScope()

    async def serve(*, task_status: trio.TaskStatus[str]) -> None:
        with stop:
            await serve_http(
                an_app(endpoint),
                host="127.0.0.1",
                port=0,
                limits_for=lambda scope: limits or default_limits(scope),
                graceful_seconds=graceful_seconds,
                task_status=task_status,
            )

    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve)
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
            yield client, stop
        stop.cancel()


async def until_refused(client: httpx.AsyncClient) -> None:
    """Wait until nobody listens where `client` asks."""
    with trio.fail_after(30):
        while True:
            try:
                stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 0)
            except OSError:
                return
            await stream.aclose()
            await trio.sleep(0.01)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def test_it_serves_on_the_port_that_it_names() -> None:
    async with serving(echo) as (client, _):
        assert (await client.post("/", content=b"hi")).text == "hi"


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 10

    async with serving(echo, RequestLimits(max_body_bytes=50)) as (client, _):
        assert (await client.post("/", content=b"x" * 50)).status_code == 200
        assert (await client.post("/", content=b"x" * 51)).status_code == 413
        assert (await client.post("/", content=chunks())).status_code == 413


async def test_an_answer_that_does_not_start_in_time_is_504() -> None:
    async def never(_request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(never, RequestLimits(start_seconds=0.05)) as (client, _):
        answer = await client.get("/")
        assert (answer.status_code, answer.text) == (504, "no answer within the deadline\n")


async def test_a_request_in_flight_is_finished_when_the_server_stops() -> None:
    begun = trio.Event()
    go_on = trio.Event()

    async def slow(_request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    async with serving(slow, graceful_seconds=60) as (client, stop), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await client.get("/")).text)

        nursery.start_soon(ask)
        await begun.wait()
        stop.cancel()
        await until_refused(client)
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(client.base_url)
        go_on.set()
    assert answers == ["done"]


async def test_a_request_that_never_ends_is_cut_after_the_graceful_time() -> None:
    begun = trio.Event()

    async def never(_request: Request) -> Response:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError

    with trio.fail_after(30):
        async with serving(never, graceful_seconds=0.1) as (client, stop), trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(httpx.HTTPError):
                    await client.get("/")

            nursery.start_soon(ask)
            await begun.wait()
            stop.cancel()


async def test_an_event_stream_ends_at_once_when_the_server_stops() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await trio.sleep_forever()

    async def stream(_request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(stream, graceful_seconds=120) as (client, stop):
        with trio.fail_after(30):
            async with client.stream("GET", "/") as answer:
                parts = answer.aiter_bytes()
                assert await anext(parts) == b"data: 1\n\n"
                stop.cancel()
                assert [part async for part in parts] == []


async def test_a_busy_port_is_named() -> None:
    async with serving(echo) as (client, _):
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{client.base_url.port}.*another process"):
            await serve_http(an_app(echo), host="127.0.0.1", port=client.base_url.port or 0)


async def test_a_bug_in_the_app_is_one_500_and_no_end() -> None:
    async def bug(_request: Request) -> Response:
        raise ZeroDivisionError

    async with serving(bug) as (client, _):
        assert (await client.get("/")).status_code == 500
        assert (await client.get("/")).status_code == 500
