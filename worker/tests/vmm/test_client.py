"""The REST client against servers that answer oddly: recorded bytes, silence, garbage, nobody."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from schema.errors import DeadlineExceeded, Internal, TooLarge, Unavailable
from worker.tests.vmm.subjects import PATIENCE, a_config, a_folder, running
from worker.vmm.client import CloudHypervisor, causes_of
from worker.vmm.port import HypervisorRefused, Refusal, VmAction

HEAD = b"HTTP/1.1 %d \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n"


def answer(status: int, body: bytes = b"") -> bytes:
    length = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    return HEAD % status + length + b"\r\n" + body


@contextmanager
def a_server(*answers: bytes) -> Iterator[tuple[Path, list[bytes]]]:
    """Answers one request after the other with fixed bytes, counting connections; then says nothing."""
    with a_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "api.sock"
        listener.bind(str(path))
        listener.listen()
        heard: list[bytes] = []
        left = list(answers)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                heard.append(b"connected")
                with connection:
                    while data := connection.recv(65_536):
                        heard.append(data)
                        if left:
                            connection.sendall(left.pop(0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path, heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


async def test_requests_share_one_connection() -> None:
    ping = answer(200, b'{"version":"53.0.0","pid":7}')
    with a_server(ping, answer(204), ping) as (path, heard):
        async with CloudHypervisor(str(path)) as client:
            assert (await client.ping()).pid == 7
            await client.act(VmAction.DELETE)
            await client.ping()
        assert heard.count(b"connected") == 1
        assert b"PUT /api/v1/vm.delete HTTP/1.1" in heard[2]


async def test_a_connection_that_was_hung_up_meanwhile_is_made_anew() -> None:
    ping = answer(200, b'{"version":"53.0.0","pid":7}')
    with a_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "api.sock"
        listener.bind(str(path))
        listener.listen()

        hung_up = threading.Event()

        def serve() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(ping)
                hung_up.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        async with CloudHypervisor(str(path)) as client:
            assert (await client.ping()).pid == 7
            assert await trio.to_thread.run_sync(hung_up.wait, PATIENCE)
            assert (await client.ping()).pid == 7
        thread.join(PATIENCE)


async def test_half_an_answer_is_unavailable_and_its_rest_is_not_taken_for_the_next() -> None:
    half = HEAD % 200 + b"Content-Length: 30\r\n\r\n" + b'{"version"'
    with a_server(half, answer(200, b'{"version":"53.0.0","pid":7}')) as (path, heard):
        async with CloudHypervisor(str(path), quick_seconds=3) as client:
            with pytest.raises(DeadlineExceeded):
                await client.ping()
            assert (await client.ping()).pid == 7
        assert heard.count(b"connected") == 2


async def test_concurrent_calls_queue_on_the_one_connection() -> None:
    with a_folder() as folder:
        async with running("fake", folder) as started, trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(started.client.ping)


async def test_an_error_without_length_and_body_is_read_without_waiting() -> None:
    with a_server(answer(400)) as (path, _):
        async with CloudHypervisor(str(path), quick_seconds=3 * PATIENCE) as client:
            with trio.fail_after(PATIENCE), pytest.raises(HypervisorRefused, match="answered 400 without a reason"):
                await client.info()


async def test_the_http_layers_object_with_a_raw_newline_is_understood() -> None:
    body = b'{ "error": "Invalid request.\nAll previous unanswered requests will be dropped." }'
    with a_server(answer(400, body)) as (path, _):
        async with CloudHypervisor(str(path)) as client:
            with pytest.raises(HypervisorRefused) as caught:
                await client.ping()
    assert caught.value.causes == ("Invalid request.",)


async def test_the_same_text_means_the_same_whatever_its_status() -> None:
    body = b'["Error from API","The VM could not boot","VM is already created"]'
    with a_server(answer(500, body), answer(409, body), answer(405, body)) as (path, _):
        async with CloudHypervisor(str(path)) as client:
            for _ in range(3):
                with pytest.raises(HypervisorRefused) as caught:
                    await client.act(VmAction.BOOT)
                assert caught.value.refusal is Refusal.VM_EXISTS


async def test_nobody_there_is_unavailable() -> None:
    with a_folder() as folder:
        async with CloudHypervisor(str(folder / "none.sock")) as client:
            with pytest.raises(Unavailable, match=r"nothing answers at .*none.sock"):
                await client.ping()


async def test_silence_ends_at_the_deadline_and_the_next_call_works() -> None:
    with a_server() as (path, _):
        async with CloudHypervisor(str(path), quick_seconds=0.1) as client:
            for _ in range(2):
                with pytest.raises(DeadlineExceeded, match=r"vmm.ping: no answer within 0.1 s"):
                    await client.ping()


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"version":1}'])
async def test_an_answer_that_makes_no_sense_is_internal(body: bytes) -> None:
    with a_server(answer(200, body)) as (path, _):
        async with CloudHypervisor(str(path)) as client:
            with pytest.raises(Internal):
                await client.ping()


async def test_garbage_instead_of_http_is_unavailable() -> None:
    with a_server(b"\0\1\2 garbage\r\n\r\n") as (path, _):
        async with CloudHypervisor(str(path)) as client:
            with pytest.raises(Unavailable):
                await client.ping()


async def test_a_huge_answer_is_not_read() -> None:
    head = HEAD % 200 + b"Content-Length: 999999999\r\n\r\n"
    with a_server(head) as (path, _):
        async with CloudHypervisor(str(path)) as client:
            with pytest.raises(TooLarge):
                await client.info()


async def test_a_config_over_the_body_limit_is_not_sent() -> None:
    with a_folder() as folder, a_server() as (path, heard):
        async with CloudHypervisor(str(path)) as client:
            long = "/" + "d" * 60_000
            config = a_config(folder, kernel=Path(long))
            with pytest.raises(TooLarge):
                await client.create(config)
        assert heard == []


@pytest.mark.parametrize(
    ("body", "causes"),
    [
        (b"", ()),
        (b'["Error from API","a","b"]', ("a", "b")),
        (b'["Not Found"]', ("Not Found",)),
        (b"\xff\xfe", ("\ufffd\ufffd",)),
        (b'{"other": 1}', ("{'other': 1}",)),
    ],
)
def test_causes_are_read_from_every_kind_of_error_body(body: bytes, causes: tuple[str, ...]) -> None:
    assert causes_of(body) == causes
