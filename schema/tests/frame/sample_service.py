"""A small service on the frame, run as a program by the tests."""

import sys

import trio

from schema.errors import Unavailable
from schema.http import Message, Receive, Scope, Send, serve_http
from schema.service import Instead, Ready, service_main
from schema.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the tests can ask it to do."""

    port: int = 0
    behaviour: str = "serve"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Say the path."""
    if scope["type"] != "http":
        raise NotImplementedError
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def run(settings: Settings, ready: Ready) -> None:
    """Serve, or fail in the way that the settings name."""
    match settings.behaviour:
        case "expected-failure":
            async with trio.open_nursery():
                raise Unavailable("the disk\x1b[31m is full")
        case "bug":
            raise ZeroDivisionError
        case "return":
            return
    async with trio.open_nursery() as nursery:
        address = await nursery.start(lambda task_status: serve(settings, task_status))
        ready({"http": address})
        try:
            await trio.sleep_forever()
        finally:
            print("cleaning up", flush=True)
            if settings.behaviour == "slow-end":
                with trio.CancelScope(shield=True):
                    await trio.sleep(60)


async def serve(settings: Settings, task_status: trio.TaskStatus[str]) -> None:
    """The server's task."""
    await serve_http(app, host="127.0.0.1", port=settings.port, task_status=task_status)


async def tidy(settings: Settings) -> None:
    """Something to do instead."""
    print(f"tidied {settings.port}")


main = service_main("sample", Settings, run, instead=[Instead("--tidy-up", "Tidy up and exit.", tidy)])

if __name__ == "__main__":
    sys.exit(main())
