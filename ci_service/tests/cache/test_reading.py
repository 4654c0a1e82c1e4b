import os
import re
import socket
import time
from pathlib import Path

import pytest

from ci_service.tests.cache.running import CI_KEY, Made, Running, a_path, a_running_cache

BIG = a_path(name="big", nar=os.urandom(3 << 20))


def upload(cache: Running, made: Made) -> None:
    with cache.client() as client:
        for url, body in ((made.nar_url, made.file), (made.narinfo_url, made.narinfo)):
            answer = client.put(url, content=body)
            assert answer.status_code == 201, answer.text


def test_what_was_uploaded_is_served_with_headers_to_cache_it_by(cache: Running) -> None:
    made = a_path()
    upload(cache, made)
    with cache.client(token=None) as client:
        info = client.get(made.narinfo_url)
        assert (info.status_code, info.content) == (200, made.narinfo)
        assert info.headers["content-type"] == "text/x-nix-narinfo"
        nar = client.get(made.nar_url)
        assert (nar.status_code, nar.content) == (200, made.file)
        assert nar.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert nar.headers["accept-ranges"] == "bytes"
        for url, answer in ((made.narinfo_url, info), (made.nar_url, nar)):
            again = client.get(url, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        for url, body in ((made.narinfo_url, made.narinfo), (made.nar_url, made.file)):
            head = client.head(url)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(body))


def test_a_big_nar_is_served_whole_and_from_anywhere(cache: Running) -> None:
    upload(cache, BIG)
    with cache.client(token=None) as client:
        assert client.get(BIG.nar_url).content == BIG.file
        assert client.head(BIG.nar_url).headers["content-length"] == str(len(BIG.file))
        for start in (0, 1, 1 << 20, len(BIG.file) - 1):
            part = client.get(BIG.nar_url, headers={"Range": f"bytes={start}-"})
            assert part.status_code == 206
            assert part.content == BIG.file[start:]
            assert part.headers["content-range"] == f"bytes {start}-{len(BIG.file) - 1}/{len(BIG.file)}"
        outside = client.get(BIG.nar_url, headers={"Range": f"bytes={len(BIG.file)}-"})
        assert outside.status_code == 416
        assert outside.headers["content-range"] == f"bytes */{len(BIG.file)}"


def test_what_is_not_there_says_so(cache: Running) -> None:
    made = a_path()
    with cache.client(token=None) as client:
        for url in (made.narinfo_url, made.nar_url, "/index.html", "/nar/..%2f..%2ftoken", "/%00"):
            answer = client.get(url, headers={"Accept": "application/json"})
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "not-found"
            assert answer.headers["cache-control"] == "no-store"
        assert client.post("/healthz").status_code == 405
        assert client.get("/healthz").json() == {"status": "ok"}


def raw(cache: Running) -> socket.socket:
    host, port = cache.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def wait_until_let_go(client: socket.socket) -> None:
    """Wait until the server has closed its end, which a client that reads nothing is not told."""
    ends = (f":{client.getpeername()[1]:04X}", f":{client.getsockname()[1]:04X}")
    deadline = time.monotonic() + 30
    while True:
        rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if not any((local[-5:], remote[-5:], state) == (*ends, "01") for local, remote, state in rows):
            return
        assert time.monotonic() < deadline, "the server waits on"
        time.sleep(0.02)


def test_long_headers_slow_headers_and_unread_answers_end_only_their_own_connection(tmp_path: Path) -> None:
    limits = "[limits]\nheader_seconds = 0.5\nunread_seconds = 0.5\n"
    with a_running_cache(tmp_path, keys=(CI_KEY,), extra=limits) as cache:
        big = a_path(name="big", nar=os.urandom(30 << 20))
        upload(cache, big)
        with raw(cache) as long, raw(cache) as slow, raw(cache) as silent, raw(cache) as unread:
            unread.sendall(f"GET {big.nar_url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            slow.sendall(b"GET / HTTP/1.1\r\nX: ")
            with pytest.raises((ConnectionError, TimeoutError)):
                for _ in range(100):
                    long.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000)
                    time.sleep(0.01)
            for waiting in (slow, silent):
                with pytest.raises(ConnectionResetError):
                    assert waiting.recv(1) == b""
                    raise ConnectionResetError  # an end of file is an end, too
            wait_until_let_go(unread)
            received = 0
            with pytest.raises(ConnectionResetError):
                while data := unread.recv(1 << 20):
                    received += len(data)
                raise ConnectionResetError
            assert received < len(big.file)
            with cache.client() as client:
                assert client.get("/healthz").status_code == 200


def test_connections_over_the_limit_are_closed_at_once(tmp_path: Path) -> None:
    limits = "[limits]\nconnections = 2\n"
    with (
        a_running_cache(tmp_path, extra=limits) as cache,
        raw(cache) as first,
        raw(cache) as second,
        raw(cache) as third,
    ):
        with pytest.raises(ConnectionResetError):
            assert third.recv(1) == b""
            raise ConnectionResetError
        for allowed in (first, second):
            allowed.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert allowed.recv(100).startswith(b"HTTP/1.1 200")


def test_the_quick_answer_is_the_apps_answer(cache: Running) -> None:
    made = a_path()
    upload(cache, made)
    with cache.client(token=None) as client:
        for url in (made.narinfo_url, made.nar_url):
            for method in ("GET", "HEAD"):
                quick = client.request(method, url)
                full = client.request(method, url, headers={"If-None-Match": '"another"'})
                assert quick.content == full.content
                for answer in (quick, full):
                    del answer.headers["date"]
                assert dict(quick.headers) == dict(full.headers)


def test_requests_in_one_packet_are_answered_in_their_order(cache: Running) -> None:
    upload(cache, BIG)
    small = a_path()
    upload(cache, small)
    asked = [f"HEAD {small.narinfo_url}", f"GET {BIG.nar_url}", f"HEAD {small.nar_url}", "GET /healthz", "GET /none"]
    packet = "".join(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n" for line in asked[:-1])
    packet += f"{asked[-1]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with raw(cache) as client:
        client.sendall(packet.encode())
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert BIG.file in received
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", received.replace(BIG.file, b""))
    assert statuses == [b"200", b"200", b"200", b"200", b"404"]


def test_a_client_of_http_1_0_gets_its_answer_and_an_end(cache: Running) -> None:
    made = a_path()
    upload(cache, made)
    with raw(cache) as client:
        client.sendall(f"GET {made.narinfo_url} HTTP/1.0\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert received.endswith(made.narinfo)


def test_a_client_that_leaves_in_mid_download_is_no_error(cache: Running) -> None:
    big = a_path(name="big", nar=os.urandom(20 << 20))
    upload(cache, big)
    with raw(cache) as client:
        client.sendall(f"GET {big.nar_url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    with cache.client() as other:
        assert other.get("/healthz").status_code == 200
