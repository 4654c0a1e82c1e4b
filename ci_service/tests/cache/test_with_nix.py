"""Real nix against the running program: what a publisher and a worker do."""

import os
import re
from pathlib import Path

import pytest

from ci_service.tests.cache.running import OTHER_KEY, Nix, Running, a_running_cache


@pytest.mark.parametrize("compression", ["zstd", "xz", "none"])
def test_a_closure_goes_up_and_comes_down(cache: Running, nix: Nix, compression: str) -> None:
    outer, inner = nix.a_closure()
    code, error = nix.push(cache, outer, compression=compression)
    assert code == 0, error
    code, error = nix.pull(cache, outer)
    assert code == 0, error
    assert (nix.root / f"worker{outer}").read_text() == f"refers to {inner}"
    assert (nix.root / f"worker{inner}").read_text() == "hello"


def test_pushing_again_sends_nothing(cache: Running, nix: Nix) -> None:
    outer, _ = nix.a_closure()
    assert nix.push(cache, outer)[0] == 0
    before = cache.log.read_text().count("stored")
    assert nix.push(cache, outer)[0] == 0
    assert cache.log.read_text().count("stored") == before == 2


def test_a_push_signed_by_another_key_is_refused_at_once_and_says_why(cache: Running, nix: Nix) -> None:
    outer, _ = nix.a_closure()
    code, error = nix.push(cache, outer, key=OTHER_KEY)
    assert code != 0
    assert "unknown key" in error
    assert "retrying" not in error
    assert not any(name.endswith(".narinfo") for name in cache.kept())


def test_a_push_with_a_wrong_token_is_refused_at_once(cache: Running, nix: Nix) -> None:
    outer, _ = nix.a_closure()
    code, error = nix.push(cache, outer, token="a-wrong-token-0123456789")
    assert code != 0
    assert "retrying" not in error
    assert cache.kept() == set()


def test_a_push_over_the_size_limit_ends_at_once(tmp_path: Path, nix: Nix) -> None:
    with a_running_cache(tmp_path, extra="max_upload_bytes = 10") as cache:
        code, error = nix.push(cache, nix.a_closure()[0])
        assert code != 0
        assert "max_upload_bytes" in error


def test_a_nar_tampered_with_on_the_servers_disk_is_refused_by_the_worker(cache: Running, nix: Nix) -> None:
    outer, _ = nix.a_closure("a text that is long enough to be changed")
    assert nix.push(cache, outer, compression="none")[0] == 0
    for path in (cache.directory / "nar").iterdir():
        path.write_bytes(path.read_bytes().replace(b"long enough", b"l0ng enough"))
    code, error = nix.pull(cache, outer)
    assert code != 0
    assert "hash mismatch" in error


def test_a_narinfo_tampered_with_on_the_servers_disk_is_refused_by_the_worker(cache: Running, nix: Nix) -> None:
    outer, _ = nix.a_closure()
    assert nix.push(cache, outer)[0] == 0
    narinfos = list(cache.directory.glob("*.narinfo"))
    for path in narinfos:  # as of a built path: nix takes content-addressed ones from anybody
        path.write_text(re.sub("CA: .*\n", "", path.read_text()))
    code, error = nix.pull(cache, outer)
    assert code == 0, error
    for path in narinfos:
        path.write_text(re.sub(r"NarSize: \d+", "NarSize: 8888", path.read_text()))
    code, error = nix.pull(cache, outer, into="another-worker")
    assert code != 0
    assert "signature" in error


def test_a_download_that_broke_off_goes_on_where_it_was(cache: Running, nix: Nix) -> None:
    """Nix asks for a range only after `Accept-Ranges: bytes`; a worker's resumed pull gets the right bytes."""
    source = nix.root / "blob"
    source.write_bytes(os.urandom(3 << 20))
    path = nix.run("store", "add-file", "--store", nix.store("source"), str(source)).stdout.strip()
    assert nix.push(cache, path, compression="none")[0] == 0
    name = next(iter((cache.directory / "nar").iterdir())).name
    with cache.client(token=None) as client:
        whole = client.get(f"/nar/{name}").content
        rest = client.get(f"/nar/{name}", headers={"Range": "bytes=1000000-"})
        assert whole[:1000000] + rest.content == whole
    assert nix.pull(cache, path)[0] == 0
    assert (nix.root / f"worker{path}").read_bytes() == source.read_bytes()
