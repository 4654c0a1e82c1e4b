"""The test peers of the transport: an Echo server, a client of it, and a sink."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capnp
import trio

from schema.errors import DeadlineExceeded, ProcuratorError, error_from_code
from schema.rpc.transport.connection import Connection
from schema.rpc.transport.faults import error_of
from schema.rpc.transport.limits import Limits
from schema.rpc.transport.serve import Dialled, connect, serve
from schema.rpc.transport.sockets import Address, TcpAddress
from schema.rpc.transport.tls import ClientTls, ServerTls
from schema.tests.certificates import NAME

ECHO = capnp.load(str(Path(__file__).with_name("echo.capnp")))


@dataclass
class EchoServer:
    """What the server saw."""

    trusting: bool = True
    sink_seconds: float = 30.0
    cancelled: int = 0
    running: int = 0
    most_running: int = 0
    connections: list[Connection] = field(default_factory=list)
    held: trio.Event = field(default_factory=trio.Event)
    let_go: trio.Event = field(default_factory=trio.Event)

    def bootstrap(self, connection: Connection) -> Any:
        self.connections.append(connection)
        if self.trusting:
            connection.trust()
        names = ("echo", "hold", "fail", "fill", "feed", "thread")
        return connection.export(ECHO.Echo, {name: getattr(self, name) for name in names})

    def echo(self, call: Any) -> None:
        call.results.data = call.params.data

    def fill(self, call: Any) -> None:
        call.results.data = b"x" * call.params.bytes

    def fail(self, call: Any) -> None:
        code = call.params.code
        if code == "bug":
            raise ZeroDivisionError("with a secret in it")
        raise error_from_code(code, f"because of {code}")

    async def hold(self, call: Any) -> None:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        self.held.set()
        try:
            with trio.move_on_after(call.params.milliseconds / 1000):
                await self.let_go.wait()
            call.results.held = True
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def thread(self, call: Any) -> None:
        value = call.params.value
        call.results.value = await trio.to_thread.run_sync(lambda: value + (threading.current_thread().name != "x"))

    async def feed(self, call: Any) -> None:
        sink, count = call.params.sink, call.params.count
        for value in range(count):
            with trio.move_on_after(self.sink_seconds) as scope:
                await sink.push(value=value)
            if scope.cancelled_caught:
                raise DeadlineExceeded(f"the sink did not take {value}")
            call.results.delivered = value + 1


@asynccontextmanager
async def echo_server(address: Address, limits: Limits | None = None, **kwargs: Any) -> AsyncIterator[Any]:
    """A running server: (its record, its real address)."""
    server = EchoServer(**kwargs)
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            await serve(server.bootstrap, address=address, limits=limits, task_status=task_status)

        real = await nursery.start(run)
        yield server, real
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def echo_client(address: Address) -> AsyncIterator[Dialled]:
    """A client; of a server with the certificates of the tests, one that believes it."""
    match address:
        case TcpAddress(host, port, ServerTls(certificate)) if port > 1:
            address = TcpAddress(host, port, ClientTls(certificate.with_name("ca.pem"), NAME))
        case _:
            pass
    async with connect(address, interface=ECHO.Echo, deadline=30) as dialled:
        yield dialled


async def failure_of(call: Callable[[], Any]) -> ProcuratorError:
    """The error that a call ends in."""
    try:
        await call()
    except capnp.KjException as error:
        return error_of(error)
    raise AssertionError("the call did not fail")


async def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for what has no event."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 # the conditions are of objects that know no events
            await trio.sleep(0.005)
