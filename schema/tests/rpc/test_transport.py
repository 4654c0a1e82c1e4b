"""Calls over real sockets: what comes back, what is cancelled, what is closed."""

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import capnp
import pytest
import trio

from schema.errors import Conflict, DeadlineExceeded, Internal, InvalidInput, Stale, Unavailable, Unimplemented
from schema.rpc.transport.loop import AnswersFirst
from schema.rpc.transport.serve import Dialled, connect, serve
from schema.rpc.transport.sockets import Address, TcpAddress, UnixAddress, parse_address
from schema.tests.certificates import certificates
from schema.tests.rpc.peers import ECHO, echo_client, echo_server, failure_of, wait_until


@pytest.fixture(params=["unix", "tcp", "tls"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param == "unix":
        return UnixAddress(tmp_path / "rpc.sock")
    return TcpAddress("127.0.0.1", 0, certificates(tmp_path).server if request.param == "tls" else None)


async def test_a_call_returns_what_the_handler_set(address: Address) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        assert (await client.bootstrap.echo(data=b"hello")).data == b"hello"


async def test_messages_of_megabytes_cross_whole(address: Address) -> None:
    data = bytes(range(256)) * 4096 * 5
    async with echo_server(address) as (_, real), echo_client(real) as client:
        assert (await client.bootstrap.echo(data=data)).data == data


async def test_what_was_sent_is_kept_by_neither_side(address: Address) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        tracemalloc.start()
        try:
            assert len((await client.bootstrap.echo(data=bytes(5 << 20))).data) == 5 << 20
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 1 << 20
        finally:
            tracemalloc.stop()


async def test_many_calls_run_at_once_and_each_gets_its_own_answer(address: Address) -> None:
    got: dict[int, bytes] = {}
    async with echo_server(address) as (server, real), echo_client(real) as client:

        async def one(number: int) -> None:
            if number % 3 == 0:
                assert (await client.bootstrap.hold(milliseconds=number % 7)).held
            got[number] = (await client.bootstrap.echo(data=str(number).encode() * number)).data

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(one, number)
        assert got == {number: str(number).encode() * number for number in range(300)}
        assert 1 < server.most_running <= 64


async def test_no_more_than_64_handlers_of_a_connection_run_at_once(address: Address) -> None:
    async with echo_server(address) as (server, real), echo_client(real) as client:
        done = []

        async def hold() -> None:
            done.append((await client.bootstrap.hold(milliseconds=60_000)).held)

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(hold)
            await wait_until(lambda: server.running == 64)
            await trio.sleep(0.05)
            server.let_go.set()
        assert done == [True] * 200
        assert server.most_running == 64


async def test_trio_code_works_inside_a_handler_threads_too(address: Address) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        assert (await client.bootstrap.thread(value=41)).value == 42


async def test_an_error_comes_out_as_the_exception_that_went_in(address: Address) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        error = await failure_of(lambda: client.bootstrap.fail(code="stale"))
        assert error == Stale("because of stale")
        assert (await failure_of(lambda: client.bootstrap.fail(code="of-the-future"))) == Internal(
            "because of of-the-future"
        )


async def test_a_bug_in_a_handler_costs_one_call_and_tells_nothing(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        error = await failure_of(lambda: client.bootstrap.fail(code="bug"))
        assert isinstance(error, Internal)
        assert "secret" not in error.message
        assert "secret" in caplog.text
        assert (await client.bootstrap.echo(data=b"still here")).data == b"still here"


async def test_a_method_without_a_handler_is_unimplemented(address: Address) -> None:
    async with echo_server(address) as (_, real), echo_client(real) as client:
        assert isinstance(await failure_of(client.bootstrap.missing), Unimplemented)


async def test_cancelling_the_caller_cancels_the_handler(address: Address) -> None:
    async with echo_server(address) as (server, real), echo_client(real) as client:

        async def hold() -> None:
            await client.bootstrap.hold(milliseconds=60_000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await server.held.wait()
            nursery.cancel_scope.cancel()
        await wait_until(lambda: server.cancelled == 1)
        assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_a_caller_that_disconnects_in_mid_call_cancels_its_handlers(address: Address) -> None:
    async with echo_server(address) as (server, real):
        async with echo_client(real) as client, trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(failure_of, lambda: client.bootstrap.hold(milliseconds=60_000))
            await wait_until(lambda: server.running == 64)
            client.connection.drop("test")
        await wait_until(lambda: server.running == 0)
        assert server.cancelled == 64
        async with echo_client(real) as client:
            assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_shutdown_with_calls_in_flight_fails_them_as_unavailable(address: Address) -> None:
    errors = []
    async with trio.open_nursery() as nursery:
        stop = trio.Event()

        async def server(task_status: Any) -> None:
            async with echo_server(address) as (record, real):
                task_status.started((record, real))
                await stop.wait()

        record, real = await nursery.start(server)

        async def hold(client: Any) -> None:
            errors.append(await failure_of(lambda: client.bootstrap.hold(milliseconds=60_000)))

        async with echo_client(real) as client, trio.open_nursery() as calls:
            for _ in range(80):
                calls.start_soon(hold, client)
            await wait_until(lambda: record.running == 64)
            stop.set()
    assert len(errors) == 80
    assert {type(error) for error in errors} == {Unavailable}
    assert record.cancelled == 64


async def test_a_call_after_the_connection_was_lost_is_unavailable(address: Address) -> None:
    async with echo_server(address) as (server, real), echo_client(real) as client:
        await client.bootstrap.echo(data=b"")
        server.connections[0].drop("test")
        await client.connection.lost.wait()
        assert isinstance(await failure_of(lambda: client.bootstrap.echo(data=b"")), Unavailable)


async def test_a_long_poll_holds_while_other_calls_pass(address: Address) -> None:
    async with echo_server(address) as (server, real), echo_client(real) as client:
        done = []

        async def poll() -> None:
            done.append((await client.bootstrap.hold(milliseconds=60_000)).held)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await server.held.wait()
            for _ in range(50):
                await client.bootstrap.echo(data=b"beat")
            assert not done
            server.let_go.set()
        assert done == [True]


async def test_a_sink_is_awaited_push_by_push(address: Address) -> None:
    got: list[int] = []
    async with echo_server(address) as (_, real), echo_client(real) as client:

        async def push(call: Any) -> None:
            await trio.sleep(0.001)
            got.append(call.params.value)

        sink = client.connection.export(ECHO.Sink, {"push": push})
        assert (await client.bootstrap.feed(sink=sink, count=20)).delivered == 20
        assert got == list(range(20))


async def test_a_sink_that_hangs_meets_its_deadline_and_is_cancelled(address: Address) -> None:
    async with echo_server(address, sink_seconds=0.2) as (_, real), echo_client(real) as client:
        gave_up = trio.Event()

        async def push(call: Any) -> None:
            try:
                await trio.sleep_forever()
            finally:
                gave_up.set()

        sink = client.connection.export(ECHO.Sink, {"push": push})
        error = await failure_of(lambda: client.bootstrap.feed(sink=sink, count=1))
        assert error == DeadlineExceeded("the sink did not take 0")
        await gave_up.wait()


async def test_an_error_of_the_body_leaves_the_client_as_itself(address: Address) -> None:
    async with echo_server(address) as (_, real):
        with pytest.raises(Stale):
            async with echo_client(real):
                raise Stale("not wrapped in a group")


async def test_a_unix_socket_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    for mode in (0o600, 0o660):
        path = tmp_path / f"{mode}.sock"
        async with echo_server(UnixAddress(path, mode=mode)):
            assert path.stat().st_mode & 0o777 == mode
        assert not path.exists()


async def test_a_unix_peer_has_a_uid_and_a_tcp_peer_has_none(address: Address) -> None:
    async with echo_server(address) as (server, real), echo_client(real) as client:
        await client.bootstrap.echo(data=b"")
        uid = server.connections[0].peer.uid
        assert uid == (Path("/proc/self").stat().st_uid if isinstance(real, UnixAddress) else None)


async def test_a_live_unix_socket_is_refused_to_a_second_server(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "rpc.sock")
    async with echo_server(address) as (server, real):
        with pytest.raises(Conflict, match="already serves"):
            await serve(server.bootstrap, address=address)
        (tmp_path / "rpc.sock.lock").unlink()
        with pytest.raises(Conflict, match="already serves"):
            await serve(server.bootstrap, address=address)
        async with echo_client(real) as client:
            assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_a_stale_unix_socket_is_reclaimed(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    left = trio.socket.socket(trio.socket.AF_UNIX)
    await left.bind(str(path))
    left.close()
    async with echo_server(UnixAddress(path)) as (_, real), echo_client(real) as client:
        assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    path.write_text("precious")
    with pytest.raises(Conflict, match="not a socket"):
        await serve(lambda _: None, address=UnixAddress(path))
    assert path.read_text() == "precious"


async def test_an_overlong_socket_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="107 bytes"):
        await serve(lambda _: None, address=UnixAddress(tmp_path / ("x" * 120)))


async def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    for address in (UnixAddress(tmp_path / "none.sock"), TcpAddress("127.0.0.1", 1)):
        with pytest.raises(Unavailable):
            async with echo_client(address):
                pass


async def test_the_loop_starts_again_after_its_last_user_left(address: Address) -> None:
    for _ in range(3):
        async with echo_server(address) as (_, real), echo_client(real) as client:
            assert (await client.bootstrap.echo(data=b"x")).data == b"x"


async def test_two_clients_may_end_in_any_order(address: Address) -> None:
    async with echo_server(address) as (_, real):
        first, second = echo_client(real), echo_client(real)
        one, two = await first.__aenter__(), await second.__aenter__()
        assert (await one.bootstrap.echo(data=b"1")).data == b"1"
        # Contexts of trio must nest; a task each lets them end as they like.
        await second.__aexit__(None, None, None)
        assert (await one.bootstrap.echo(data=b"2")).data == b"2"
        await first.__aexit__(None, None, None)
        assert two.connection.lost.is_set()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", UnixAddress(Path("/run/x.sock"))),
        ("/run/x.sock", UnixAddress(Path("/run/x.sock"))),
        ("127.0.0.1:7400", TcpAddress("127.0.0.1", 7400)),
        ("tcp:example.net:1", TcpAddress("example.net", 1)),
        ("[::1]:7400", TcpAddress("::1", 7400)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["", "unix:relative", "host", "host:", ":1", "host:x", "host:65536", "host:-1"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)


async def test_a_connection_that_nobody_answers_meets_its_deadline() -> None:
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]

    occupied = 0

    async def occupy() -> None:
        nonlocal occupied
        async with await trio.open_tcp_stream("127.0.0.1", port):
            occupied += 1
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(3):  # fill the backlog
            nursery.start_soon(occupy)
        await wait_until(lambda: occupied > 0)
        await trio.sleep(0.05)
        with pytest.raises(DeadlineExceeded):
            async with connect(TcpAddress("127.0.0.1", port), interface=ECHO.Echo, deadline=0.2):
                pass
        nursery.cancel_scope.cancel()
    listener.close()


def test_capnp_is_the_version_that_this_was_measured_with() -> None:
    assert tuple(map(int, capnp.__version__.split(".")[:2])) >= (2, 2)


async def test_shutting_down_while_calls_wait_on_each_other_ends_cleanly_every_time(tmp_path: Path) -> None:
    async def push(call: Any) -> None:
        await trio.sleep(0.0001)

    async def feed(client: Any, sink: Any) -> None:
        await client.bootstrap.feed(sink=sink, count=1000)

    for round_ in range(60):
        async with echo_server(UnixAddress(tmp_path / "rpc.sock")) as (_, real), trio.open_nursery() as nursery:

            async def run(real: Address = real) -> None:
                async with echo_client(real) as client, trio.open_nursery() as calls:
                    sink = client.connection.export(ECHO.Sink, {"push": push})
                    for _ in range(5):
                        calls.start_soon(feed, client, sink)

            nursery.start_soon(run)
            await trio.sleep(0.002 + round_ / 20_000)
            nursery.cancel_scope.cancel()


async def test_while_answers_go_first_patient_peers_are_not_heard_and_all_others_are(address: Address) -> None:
    heard: list[str] = []

    async def ask(client: Dialled, name: str) -> None:
        await client.bootstrap.echo(data=b"x")
        heard.append(name)

    async with echo_server(address) as (server, real), echo_client(real) as a, echo_client(real) as b:
        await ask(a, "a")
        await ask(b, "b")
        server.connections[0].be_patient(True)
        server.connections[1].be_patient(True)
        first = AnswersFirst()
        async with echo_client(real) as other, trio.open_nursery() as nursery:
            nursery.start_soon(ask, a, "a held")
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.start_soon(ask, b, "b held")
            await trio.testing.wait_all_tasks_blocked(0.05)
            await ask(other, "other")
            first.hear()
            await wait_until(lambda: len(heard) == 4)
            await ask(other, "other")
            assert heard == ["a", "b", "other", "a held", "other"]
            first.end()
        assert heard[-1] == "b held"
