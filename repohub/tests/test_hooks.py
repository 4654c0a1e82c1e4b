"""The receive hook as git runs it: every byte that a client can choose is data."""

import json
from pathlib import Path

import pytest

from repohub.hooks import receive
from repohub.tests.running import a_repohub, commit, git
from schema.builds import ZERO_SHA, PushNotice

NASTY_REFS = (
    "refs/heads/$(touch${IFS}x)",
    "refs/heads/;reboot;",
    "refs/heads/`id`",
    "refs/heads/'quoted\"",
    "refs/heads/<script>alert(1)</script>",
    "refs/heads/--upload-pack=evil",
    "refs/heads/-h",
    "refs/heads/a|b&c",
    "refs/heads/%s%n{0}",
    "refs/heads/ünïcödé-ref-\u202e\u2066",
    "refs/tags/$HOME",
    "refs/notes/x",
)


async def test_refs_of_every_nasty_kind_arrive_as_they_are(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        sha = await commit(hub, message="$(evil) \x1b[31m`x` <b>\u202e")
        await hub.git("push", "-q", hub.remote(), *(f"{sha}:{ref}" for ref in NASTY_REFS))
        noted = {note["ref"] for note in hub.outbox()}
        assert noted == set(NASTY_REFS)
        for note in hub.outbox():
            PushNotice.model_validate(note | {"repository": "demo/example"})


async def test_every_byte_that_git_allows_in_a_ref_is_taken_as_utf_8_or_refused(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        sha = await commit(hub)
        forbidden = set(b" ~^:?*[\\") | set(range(0x20)) | {0x7F}
        allowed = [byte for byte in range(256) if byte not in forbidden]
        packed = b"".join(sha.encode() + b" refs/heads/x" + bytes([byte]) + b"y\n" for byte in allowed)
        (hub.work / ".git" / "packed-refs").write_bytes(packed)
        for byte in range(0x80, 0x100):
            name = b"refs/heads/x" + bytes([byte]) + b"y"
            assert receive.refusal([(ZERO_SHA, sha, name)]) is not None
        refused = await hub.git("push", hub.remote(), "refs/heads/*:refs/heads/*", check=False)
        assert refused.returncode != 0
        assert b"is not UTF-8" in refused.stderr
        assert hub.outbox() == []
        ascii_only = b"".join(line + b"\n" for line in packed.splitlines() if line.isascii())
        (hub.work / ".git" / "packed-refs").write_bytes(ascii_only)
        await hub.git("push", "-q", hub.remote(), "refs/heads/x*:refs/heads/x*")
        assert {note["ref"] for note in hub.outbox()} == {
            line.split(b" ", 1)[1].decode() for line in ascii_only.splitlines()
        }


async def test_reserved_and_endless_refs_are_refused_by_name(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        reserved = await hub.git("push", hub.remote(), "main:refs/procurator/7", check=False)
        assert b"belongs to the pipeline" in reserved.stderr
        long = await hub.git("push", hub.remote(), "main:refs/heads/" + "/".join(["a" * 100] * 3), check=False)
        assert b"longer than 255 bytes" in long.stderr
        assert hub.outbox() == []


@pytest.mark.parametrize("page", ["", "http://127.0.0.1:3001/demo/example"])
def test_a_note_is_whole_and_private_and_the_pusher_is_told_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    sha = "1" * 40
    receive.post_receive([(ZERO_SHA, sha, b"refs/heads/main")], outbox=tmp_path / "outbox", page=page, now_ns=5)
    (note,) = (tmp_path / "outbox").iterdir()
    assert note.stat().st_mode & 0o777 == 0o600
    assert json.loads(note.read_bytes())["new"] == sha
    assert ("http" in capsys.readouterr().err) == bool(page)


def test_a_deleted_ref_is_noted_without_promising_a_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receive.post_receive([("1" * 40, ZERO_SHA, b"refs/heads/x")], outbox=tmp_path, page="http://p", now_ns=5)
    assert len(list(tmp_path.iterdir())) == 1
    assert capsys.readouterr().err == ""


def test_a_push_of_too_many_refs_is_refused() -> None:
    pushed = [(ZERO_SHA, "1" * 40, b"refs/heads/%d" % n) for n in range(receive.MAX_UPDATES + 1)]
    assert "at most 10000" in (receive.refusal(pushed) or "")
    assert receive.refusal(pushed[1:]) is None


def test_lines_of_git_are_split_into_their_three_words() -> None:
    assert receive.updates(b"a b refs/heads/c d\n\nc d e\n") == [("a", "b", b"refs/heads/c d"), ("c", "d", b"e")]


async def test_a_push_that_bypasses_http_is_noted_too(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        await git("push", "-q", str(hub.repository()), "main", cwd=hub.work)
        assert len(hub.outbox()) == 1
