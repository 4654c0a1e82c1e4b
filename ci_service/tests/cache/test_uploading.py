import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ci_service.cache.narinfo import Compression, NarFile, print_narinfo
from ci_service.tests.cache.running import CI_KEY, OTHER_KEY, TOKEN, Made, Running, a_path, a_running_cache, pack


def put(cache: Running, url: str, body: bytes, *, token: str | None = TOKEN) -> tuple[int, str]:
    with cache.client(token=token) as client:
        answer = client.put(url, content=body, headers={"Accept": "application/json"})
        return answer.status_code, answer.text if answer.status_code == 201 else answer.json()["error"]["message"]


def put_both(cache: Running, made: Made) -> tuple[int, str]:
    assert put(cache, made.nar_url, made.file)[0] == 201
    return put(cache, made.narinfo_url, made.narinfo)


@pytest.mark.parametrize("compression", Compression)
def test_a_true_path_becomes_visible(cache: Running, compression: Compression) -> None:
    made = a_path(compression=compression)
    assert put_both(cache, made)[0] == 201
    assert cache.kept() == {made.nar_url[1:], made.narinfo_url[1:]}


def test_the_same_upload_twice_changes_nothing(cache: Running) -> None:
    made = a_path()
    for _ in range(2):
        assert put_both(cache, made)[0] == 201
    assert cache.kept() == {made.nar_url[1:], made.narinfo_url[1:]}


@pytest.mark.parametrize("token", [None, "another-token-0123456789"])
def test_without_the_token_nothing_is_taken(cache: Running, token: str | None) -> None:
    made = a_path()
    assert put(cache, made.nar_url, made.file, token=token)[0] == 401
    assert put(cache, "/etc/passwd", b"x", token=token)[0] == 401
    assert cache.kept() == set()


def test_bytes_that_are_not_their_name_are_refused_and_not_kept(cache: Running) -> None:
    made = a_path()
    status, reason = put(cache, made.nar_url, made.file[:-1] + b"\0")
    assert status == 400
    assert made.info.nar_file.url in reason
    assert cache.kept() == set()


def test_a_narinfo_before_its_nar_is_refused(cache: Running) -> None:
    made = a_path()
    status, reason = put(cache, made.narinfo_url, made.narinfo)
    assert status == 409
    assert "upload the nar before" in reason


Change = Callable[[Made], Made]
REFUSED: dict[str, tuple[Change, str]] = {
    "a wrong FileSize": (lambda made: made.changed(file_size=made.info.file_size + 1), "FileSize"),
    "a wrong NarSize": (lambda made: made.changed(nar_size=made.info.nar_size + 1).signed(CI_KEY), "NarSize"),
    "a NarSize that is too small": (
        lambda made: made.changed(nar_size=made.info.nar_size - 1).signed(CI_KEY),
        "more than its NarSize",
    ),
    "a wrong NarHash": (lambda made: made.changed(nar_hash=b"\1" * 32).signed(CI_KEY), "NarHash"),
    "a changed claim": (lambda made: made.changed(nar_size=1), "does not match"),
    "another key": (lambda made: made.signed(OTHER_KEY), "unknown key"),
    "no signature": (lambda made: made.signed(), "not signed"),
    "no signature on a content-addressed path": (
        lambda made: made.signed().changed(content_address="text:sha256:" + "0" * 52),
        "not signed",
    ),
    "a reference that is missing": (
        lambda made: made.changed(references=("3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner",)).signed(CI_KEY),
        "which this cache lacks",
    ),
    "a nar over the limit": (lambda made: made.changed(nar_size=2**53 - 1).signed(CI_KEY), "max_nar_bytes"),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_an_untrue_narinfo_stays_invisible(cache: Running, what: str) -> None:
    change, reason = REFUSED[what]
    made = a_path()
    assert put(cache, made.nar_url, made.file)[0] == 201
    status, message = put(cache, made.narinfo_url, change(made).narinfo)
    assert 400 <= status < 500
    assert reason in message
    assert made.info.store_path in message
    with cache.client() as client:
        assert client.get(made.narinfo_url).status_code == 404
    assert cache.kept() == {made.nar_url[1:]}


def test_a_narinfo_under_another_name_is_refused(cache: Running) -> None:
    made, other = a_path(), a_path(name="other")
    assert put(cache, made.nar_url, made.file)[0] == 201
    status, message = put(cache, other.narinfo_url, made.narinfo)
    assert status == 400
    assert f"{made.info.hash_part}.narinfo" in message


def test_a_file_that_does_not_unpack_is_refused(cache: Running) -> None:
    made = a_path()
    broken = pack(b"x" * 5000, Compression.ZSTD)[:-2]
    nar = NarFile(hashlib.sha256(broken).digest(), Compression.ZSTD)
    assert put(cache, f"/{nar.url}", broken)[0] == 201
    info = replace(made.info, nar_file=nar, file_size=len(broken))
    status, message = put(cache, made.narinfo_url, print_narinfo(info))
    assert status == 400
    assert "does not unpack" in message or "cut off" in message


def test_a_path_that_refers_to_itself_and_to_what_is_there_is_taken(cache: Running) -> None:
    inner = a_path(name="inner")
    assert put_both(cache, inner)[0] == 201
    outer = a_path(name="outer")
    names = tuple(sorted((inner.info.base_name, outer.info.base_name)))
    outer = outer.changed(references=names).signed(CI_KEY)
    assert put_both(cache, outer)[0] == 201


def test_a_path_never_changes_its_content(cache: Running) -> None:
    first, second = a_path(nar=b"one"), a_path(nar=b"two")
    assert put_both(cache, first)[0] == 201
    status, message = put_both(cache, second)
    assert status == 409
    assert "never changes" in message
    with cache.client() as client:
        assert client.get(first.narinfo_url).content == first.narinfo


def test_a_second_key_adds_its_signature(tmp_path: Path) -> None:
    with a_running_cache(tmp_path, keys=(CI_KEY, OTHER_KEY)) as cache:
        for key in (CI_KEY, OTHER_KEY):
            assert put_both(cache, a_path(key=key))[0] == 201
        with cache.client() as client:
            text = client.get(a_path().narinfo_url).text
    assert "Sig: ci-test-1:" in text
    assert "Sig: other-1:" in text


def test_an_upload_over_the_limit_is_refused_before_its_body(tmp_path: Path) -> None:
    with a_running_cache(tmp_path, extra="max_upload_bytes = 1000") as cache:
        made = a_path(nar=os.urandom(2000))
        status, message = put(cache, made.nar_url, made.file)
        assert status == 413
        assert "max_upload_bytes" in message
        assert cache.kept() == set()


@pytest.mark.parametrize("url", ["/nix-cache-info", "/healthz", "/3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4.ls", "/nar/../x"])
def test_nothing_else_can_be_uploaded(cache: Running, url: str) -> None:
    assert put(cache, url, b"StoreDir: /nix/store\n")[0] in (404, 405)
    assert cache.kept() == set()


def connect(cache: Running) -> socket.socket:
    host, port = cache.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(url: str, *lines: str) -> bytes:
    wanted = [f"PUT {url} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *lines]
    return ("\r\n".join(wanted) + "\r\n\r\n").encode()


def test_an_upload_that_is_cut_off_leaves_nothing(cache: Running) -> None:
    made = a_path(nar=os.urandom(3 << 20))
    with connect(cache) as client:
        client.sendall(head(made.nar_url, f"Content-Length: {len(made.file)}") + made.file[:-1])
    deadline = time.monotonic() + 30
    while "cut off" not in cache.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert cache.kept() == set()


def test_an_upload_that_stalls_is_refused_by_400_and_leaves_nothing(tmp_path: Path) -> None:
    with a_running_cache(tmp_path, extra="[limits]\nstall_seconds = 0.3\n") as cache:
        made = a_path()
        with connect(cache) as client:
            client.sendall(head(made.nar_url, f"Content-Length: {len(made.file)}") + made.file[:5])
            answer = client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"5 of" in answer + client.recv(4096)
        assert cache.kept() == set()


def test_an_upload_that_trickles_is_ended_by_its_whole_deadline(tmp_path: Path) -> None:
    limits = "[limits]\nstall_seconds = 0.4\nupload_bytes_per_second = 1000000\n"
    with a_running_cache(tmp_path, extra=limits) as cache:
        made = a_path(nar=os.urandom(10_000))
        with connect(cache) as client:
            client.sendall(head(made.nar_url, f"Content-Length: {len(made.file)}"))
            client.setblocking(False)
            for _ in range(300):  # far fewer than there would be to send
                time.sleep(0.1)
                try:
                    assert client.recv(100).startswith(b"HTTP/1.1 400")
                    break
                except BlockingIOError:
                    client.send(b"x")
            else:
                raise AssertionError("it goes on for ever")


@pytest.mark.parametrize(
    "line", ["Transfer-Encoding: chunked", "X: y", "Content-Length: +5", "Content-Length: 99999999999999999999"]
)
def test_the_length_must_be_said(cache: Running, line: str) -> None:
    with connect(cache) as client:
        client.sendall(head(a_path().nar_url, line))
        assert client.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))


def test_a_client_that_asks_first_is_told_to_go_on_only_when_it_may(cache: Running) -> None:
    made = a_path()
    expect = ("Expect: 100-continue", f"Content-Length: {len(made.file)}")
    with connect(cache) as client:
        client.sendall(head(made.nar_url, *expect))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(made.file)
        assert client.recv(100).startswith(b"HTTP/1.1 201")
    with connect(cache) as client:
        client.sendall(head(made.nar_url, *expect).replace(TOKEN.encode(), b"wrong"))
        assert client.recv(100).startswith(b"HTTP/1.1 401")


def test_a_full_disk_is_a_clean_refusal_and_reads_go_on(tmp_path: Path) -> None:
    mount = tmp_path / "cache"
    mount.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=True)
    try:
        with a_running_cache(tmp_path) as cache:
            small, big = a_path(), a_path(name="big", nar=os.urandom(3 << 20))
            assert put_both(cache, small)[0] == 201
            status, message = put(cache, big.nar_url, big.file)
            assert status == 413
            assert "no room" in message
            with cache.client() as client:
                assert client.get(small.nar_url).content == small.file
            again = a_path(name="again", nar=b"small as well")
            assert put_both(cache, again)[0] == 201
            fill = mount / "fill"
            with suppress(OSError), fill.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            for size in (100, 5000, 9000):  # less than a buffer, and more: each fails at another place
                made = a_path(name=f"none-{size}", nar=os.urandom(size))
                assert put(cache, made.nar_url, made.file)[0] == 413
            assert not list(mount.glob("**/incoming/*")), "what was refused keeps no room"
            fill.unlink()
            assert put_both(cache, a_path(name="at-last", nar=os.urandom(9000)))[0] == 201
    finally:
        subprocess.run(["/bin/umount", str(mount)], check=True)


def test_killed_in_mid_upload_it_starts_clean(tmp_path: Path) -> None:
    made = a_path(nar=os.urandom(3 << 20))
    with pytest.raises(AssertionError), a_running_cache(tmp_path) as cache:
        assert put_both(cache, a_path())[0] == 201
        with connect(cache) as client:
            client.sendall(head(made.nar_url, f"Content-Length: {len(made.file)}") + made.file[:-1])
            time.sleep(0.3)
            os.kill(cache.pid, signal.SIGKILL)
    (tmp_path / "ready.json").unlink()
    with a_running_cache(tmp_path) as cache:
        assert cache.kept() == {a_path().nar_url[1:], a_path().narinfo_url[1:]}


def test_many_uploads_at_once_all_arrive(cache: Running) -> None:
    paths = [a_path(name=f"path-{number}", nar=os.urandom(5000)) for number in range(40)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda made=made: statuses.append(put_both(cache, made)[0])) for made in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 40


def test_settings_are_refused_with_their_key(tmp_path: Path) -> None:
    config = tmp_path / "cache.toml"
    config.write_text(
        f'directory = "{tmp_path}/c"\npublic_keys = ["x"]\nuplod_token_file = "t"\n[listen]\nhttp = "x"\n'
    )
    argv = [sys.executable, "-m", "ci_service.cache", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "uplod_token_file" in done.stderr
    assert "public_keys.0" in done.stderr
    assert "listen.http" in done.stderr
