"""From the hook's notes to CI: nothing is lost, nothing is told twice under two names, the last word is the truth."""

import json
import os
import signal
import sys
from pathlib import Path

import httpx
import tomli_w
import trio

from nix.run import open_process
from repohub.cgi import GitLimits
from repohub.outbox import Outbox
from repohub.store import RepositoryStore
from repohub.tests.running import FakeCi, Running, a_ci, a_repohub, a_token_file, commit, until
from repohub.updates import RefUpdate
from schema.builds import ZERO_SHA
from schema.tests.ports import a_quiet_port


async def test_each_push_reaches_ci_with_the_default_branch_and_its_note_goes(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create(defaultBranch="trunk")
        sha = await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main:trunk")
        await until(lambda: ci.notices and not hub.outbox())
        (notice,) = ci.notices
        assert (notice.repository, notice.ref, notice.old, notice.new, notice.default_branch) == (
            "demo/example",
            "refs/heads/trunk",
            ZERO_SHA,
            sha,
            "trunk",
        )


async def test_pushes_made_while_ci_is_away_are_told_when_it_comes_in_their_order(tmp_path: Path) -> None:
    ci = FakeCi()
    port = a_quiet_port()
    ci_url = f"http://127.0.0.1:{port}"
    async with a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        shas = []
        for text in ("one", "two", "three"):
            shas.append(await commit(hub, text=text))
            await hub.git("push", "-q", hub.remote(), "main")
        page = await hub.http.get("/demo/example")
        assert "3 pushes wait for CI" in page.text
        async with a_ci(ci, port=port):
            await until(lambda: len(ci.notices) == 3 and not hub.outbox())
    assert [notice.new for notice in ci.notices] == shas
    assert len({notice.delivery for notice in ci.notices}) == 3


async def test_a_transient_answer_is_tried_again_with_the_same_delivery_id(tmp_path: Path) -> None:
    ci = FakeCi(answers=[(503, "starting"), (500, "oops"), (429, "slowly"), (401, "rotated")])
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: ci.notices and not hub.outbox())
        assert ci.requests == 5
        assert ci.told == [notice.delivery for notice in ci.notices] * 5


async def test_what_ci_refuses_for_good_is_kept_aside_with_the_reason_and_shown(tmp_path: Path) -> None:
    ci = FakeCi(answers=[(422, "no \x1b[31mflake <b>here</b>")])
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: not hub.outbox())
        page = (await hub.http.get("/demo/example")).text
        assert "Refused by CI" in page
        assert "CI answered 422: no flake &lt;b&gt;here&lt;/b&gt;" in page
        await commit(hub, text="next")
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: len(ci.notices) == 1)


async def test_a_token_file_that_others_can_read_is_not_used_and_mending_it_is_enough(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        token = tmp_path / "hook-token"
        token.chmod(0o644)
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        await hub.page_with("/demo/example", "can be read by others")
        assert ci.requests == 0
        token.chmod(0o600)
        await until(lambda: ci.notices)


async def test_an_update_whose_hook_was_killed_is_told_all_the_same(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        first = await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: len(ci.notices) == 1)
        hook = hub.repository() / "hooks" / "post-receive"
        hook.write_text("#!/bin/sh\nkill -9 $$\n")
        second = await commit(hub, text="second")
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: len(ci.notices) == 2 and not hub.outbox())
        assert (ci.notices[1].old, ci.notices[1].new) == (first, second)


async def test_notes_in_the_wrong_order_end_with_the_truth(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        first = await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        second = await commit(hub, text="second")
        await hub.git("push", "-q", hub.remote(), "main")
        waiting = sorted((hub.repository() / "procurator" / "outbox").glob("*.json"))
        waiting[0].rename(waiting[0].with_name("9" + waiting[0].name[1:]))
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await until(lambda: len(ci.notices) == 3 and not hub.outbox())
    assert [notice.new for notice in ci.notices] == [second, first, second]


async def test_a_malformed_note_is_put_aside_and_stops_nothing(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        outbox = hub.repository() / "procurator" / "outbox"
        (outbox / "00000000000000000001-00000-x.json").write_text("{not json")
        (outbox / "00000000000000000002-00000-x.json").write_text('{"delivery": 7}')
        (outbox / ".half.tmp").write_text("torn")
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        await until(lambda: len(ci.notices) == 1)
        assert "this note is malformed" in (await hub.http.get("/demo/example")).text


async def test_killing_repohub_again_and_again_loses_no_push(tmp_path: Path) -> None:
    ci = FakeCi()
    work = tmp_path / "work"
    work.mkdir()
    pushed: list[str] = []
    port = a_quiet_port()
    ci_url = f"http://127.0.0.1:{port}"
    config = tmp_path / "repohub.toml"
    settings = {
        "state": str(tmp_path / "state"),
        "listen": {"http": "127.0.0.1:0"},
        "ci": {"url": ci_url, "hook_token_file": str(a_token_file(tmp_path))},
        "runtime": {"ready_file": str(tmp_path / "ready")},
    }
    config.write_text(tomli_w.dumps(settings))
    argv = [sys.executable, "-m", "repohub.app", "--config", str(config)]
    root = str(Path(__file__).parents[2])
    for round_number in range(4):
        (tmp_path / "ready").unlink(missing_ok=True)
        for lock in (work / ".git").rglob("*.lock"):
            lock.unlink()  # of the pusher's own git, which the end of the round before may have killed
        async with open_process(argv, env={}, cwd=Path(root), stdout=None, stderr=None, stdin=None) as process:
            await until((tmp_path / "ready").exists, seconds=60)
            address = json.loads((tmp_path / "ready").read_text())["addresses"]["http"]
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60, trust_env=False) as client:
                hub = Running(url=f"http://{address}", state=tmp_path / "state", work=work, http=client)
                await hub.create()
                async with trio.open_nursery() as nursery:

                    async def push_until_killed(hub: Running = hub, rounds: int = round_number) -> None:
                        for number in range(20):
                            sha = await commit(hub, text=f"{rounds} {number}")
                            done = await hub.git("push", "-q", hub.remote(), "+main", check=False)
                            if done.returncode == 0:
                                pushed.append(sha)

                    nursery.start_soon(push_until_killed)
                    if round_number == 2:
                        await nursery.start(lambda task_status: ci.serve(port=port, task_status=task_status))
                    await trio.sleep(0.35 + 0.2 * round_number)
                    if round_number == 3:
                        await until(lambda: pushed)
                    os.kill(process.pid, signal.SIGKILL)
                    await trio.sleep(0.2)
                    nursery.cancel_scope.cancel()
    async with a_ci(ci, port=port), a_repohub(tmp_path, ci_url=ci_url) as hub:
        current = (await hub.git("ls-remote", hub.remote(), "refs/heads/main")).stdout.split()[0].decode()
        await until(lambda: not hub.outbox() and ci.notices and ci.notices[-1].new == current)
    assert pushed
    told = [notice.new for notice in ci.notices]
    # A push whose hook died with its repohub may be told as part of the next one; the order never turns back.
    positions = [told.index(sha) for sha in pushed if sha in told]
    assert positions == sorted(positions)
    assert len({notice.delivery for notice in ci.notices}) == len(ci.notices)
    assert current == told[-1]


def test_an_outbox_keeps_order_and_only_so_many_refused(tmp_path: Path) -> None:
    from uuid import uuid4

    outbox = Outbox(tmp_path)
    for number in range(3):
        outbox.add((RefUpdate(f"refs/heads/{number}", ZERO_SHA, "1" * 40),), deliveries=(uuid4(),), now_ns=5)
    notes = outbox.pending()
    assert [note.update.ref for note in notes] == ["refs/heads/0", "refs/heads/1", "refs/heads/2"]
    outbox.delivered(notes[0])
    outbox.delivered(notes[0])
    outbox.refuse(notes[1], reason="no")
    assert outbox.count() == 1
    assert [push.reason for push in outbox.refused()] == ["no"]
    outbox.set_told({"refs/heads/0": "1" * 40})
    assert outbox.told() == {"refs/heads/0": "1" * 40}
    (tmp_path / "procurator" / "told.json").write_text("torn")
    assert outbox.told() == {}


async def test_a_note_that_cannot_be_written_is_said_to_the_pusher_and_made_up_for(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        outbox = hub.repository() / "procurator" / "outbox"
        outbox.rmdir()
        outbox.write_text("in the way")
        sha = await commit(hub)
        pushed = await hub.git("push", hub.remote(), "main")
        assert b"could not be noted for CI" in pushed.stderr
        assert (await hub.http.get("/demo/example")).status_code == 200
        outbox.unlink()
        await until(lambda: ci.notices)
        assert ci.notices[0].new == sha


async def test_hooks_are_mended_at_start_and_work_where_paths_have_spaces(tmp_path: Path) -> None:
    place = tmp_path / "a place with 'spaces'"
    place.mkdir()
    async with a_repohub(place) as hub:
        await hub.create()
        for hook in ("pre-receive", "post-receive", "receive.py"):
            (hub.repository() / "hooks" / hook).unlink()
        half = hub.state / "repositories" / ".new-x"
        half.mkdir()
    async with a_repohub(place) as hub:
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        assert len(hub.outbox()) == 1
        assert not half.exists()


async def test_packing_keeps_what_is_there(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        sha = await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        store = RepositoryStore(hub.state, GitLimits(max_push_bytes=1))
        await store.collect("demo/example")
        assert await store.refs("demo/example") == {"refs/heads/main": sha}
