"""Real git clients against a real repohub."""

import gzip
import os
from pathlib import Path

import httpx
import trio

from repohub.tests.running import Running, a_repohub, commit, git
from schema.builds import ZERO_SHA


async def test_a_new_repository_is_cloned_pushed_to_and_cloned_again(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await hub.git("clone", "-q", hub.remote(), "empty", cwd=tmp_path)
        sha = await commit(hub)
        pushed = await hub.git("push", f"{hub.url}/demo/example", "main")
        await hub.git("clone", "-q", hub.remote(), "again")
        assert (hub.work / "again" / "file").read_text() == "hello"
        assert f"{hub.url}/demo/example" in pushed.stderr.decode()
        assert hub.outbox() == [
            {"delivery": hub.outbox()[0]["delivery"], "ref": "refs/heads/main", "old": ZERO_SHA, "new": sha}
        ]


async def test_force_pushes_deletions_and_tags_are_each_noted(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        first = await commit(hub)
        await hub.git("tag", "-a", "v1", "-m", "one")
        await hub.git("push", "-q", hub.remote(), "main", "main:side", "v1")
        await hub.git("commit", "-q", "--amend", "-m", "another")
        refused = await hub.git("push", hub.remote(), "main", check=False)
        assert refused.returncode != 0
        await hub.git("push", "-q", "--force", hub.remote(), "main")
        await hub.git("push", "-q", hub.remote(), ":side")
        second = (await hub.git("rev-parse", "main")).stdout.decode().strip()
        tag = (await hub.git("rev-parse", "v1")).stdout.decode().strip()
        noted = [(note["ref"], note["old"], note["new"]) for note in hub.outbox()]
        assert set(noted[:3]) == {
            ("refs/heads/main", ZERO_SHA, first),
            ("refs/heads/side", ZERO_SHA, first),
            ("refs/tags/v1", ZERO_SHA, tag),
        }
        assert noted[3:] == [("refs/heads/main", first, second), ("refs/heads/side", first, ZERO_SHA)]


async def test_the_default_branch_cannot_be_deleted(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        assert (await hub.git("push", hub.remote(), ":main", check=False)).returncode != 0


async def test_shallow_partial_and_old_protocol_clones_work_and_a_shallow_one_can_push(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        for number in range(5):
            await commit(hub, text=f"{number}")
        await hub.git("push", "-q", hub.remote(), "main")
        await hub.git("clone", "-q", "--depth", "2", hub.remote(), "shallow")
        assert (await hub.git("rev-list", "--count", "HEAD", cwd=hub.work / "shallow")).stdout == b"2\n"
        await hub.git("clone", "-q", "--filter=blob:none", hub.remote(), "partial")
        for version in ("0", "1", "2"):
            await hub.git("-c", f"protocol.version={version}", "clone", "-q", hub.remote(), f"v{version}")
        shallow = Running(url=hub.url, state=hub.state, work=hub.work / "shallow", http=hub.http)
        sha = await commit(shallow, text="more")
        await shallow.git("push", "-q", hub.remote(), "HEAD:refs/heads/more")
        assert (await hub.git("ls-remote", hub.remote(), "refs/heads/more")).stdout.startswith(sha.encode())


async def test_a_commit_is_fetched_by_its_name_as_ci_does(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        first = await commit(hub)
        await commit(hub, text="second")
        await hub.git("push", "-q", hub.remote(), "main")
        await hub.git("init", "-q", "--bare", "ci")
        await hub.git("fetch", "-q", hub.remote(), f"+{first}:refs/procurator/1", cwd=hub.work / "ci")


async def test_a_large_push_goes_through_in_pieces_and_comes_back_the_same(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        (hub.work / "big").write_bytes(os.urandom(24 * 1024 * 1024))
        await commit(hub, text="with the big one")
        await hub.git("push", "-q", hub.remote(), "main")
        await hub.git("clone", "-q", hub.remote(), "again")
        assert (hub.work / "again" / "big").read_bytes() == (hub.work / "big").read_bytes()


async def test_a_push_with_expect_100_continue_goes_through(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        (hub.work / "big").write_bytes(os.urandom(2 * 1024 * 1024))
        await commit(hub)
        await hub.git("-c", "http.extraHeader=Expect: 100-continue", "push", "-q", hub.remote(), "main")


async def test_a_fetch_with_a_compressed_body_is_understood(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        body = b"0014command=ls-refs\n0000"
        headers = {
            "content-type": "application/x-git-upload-pack-request",
            "content-encoding": "gzip",
            "git-protocol": "version=2",
        }
        answer = await hub.http.post("/demo/example/git-upload-pack", content=gzip.compress(body), headers=headers)
        assert answer.status_code == 200
        assert b"refs/heads/main" in answer.content


async def test_many_commits_are_negotiated_over_gzip_by_a_real_client(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        stream = "".join(
            f"commit refs/heads/main\ncommitter A <a@b> {1_700_000_000 + n} +0000\ndata 2\nc\n"
            + (f"from {'refs/heads/main^0'}\n" if n == 0 else "")
            for n in range(400)
        )
        await git("fast-import", "--quiet", "--force", cwd=hub.work, stdin=stream.encode())
        await hub.git("push", "-q", hub.remote(), "main")
        await hub.git("clone", "-q", hub.remote(), "other")
        other = hub.work / "other"
        for number in range(3):
            await git("commit", "-q", "--allow-empty", "-m", f"mine {number}", cwd=other)
        await hub.git("commit", "-q", "--allow-empty", "-m", "theirs")
        await hub.git("push", "-q", hub.remote(), "main")
        await git("fetch", "-q", "origin", cwd=other)
        await git("-c", "protocol.version=0", "fetch", "-q", "origin", cwd=other)


async def test_pushes_at_once_to_one_repository_all_arrive(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        sha = await commit(hub)
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(hub.git, "push", "-q", hub.remote(), f"main:refs/heads/b{number}")
        listed = (await hub.git("ls-remote", hub.remote())).stdout.decode().split()
        assert {f"refs/heads/b{n}" for n in range(8)} <= set(listed)
        assert {note["ref"] for note in hub.outbox()} == {f"refs/heads/b{n}" for n in range(8)}
        assert {note["new"] for note in hub.outbox()} == {sha}


async def test_a_pack_over_the_limit_is_refused_with_the_reason_and_changes_nothing(tmp_path: Path) -> None:
    async with a_repohub(tmp_path, max_push_mb=1) as hub:
        await hub.create()
        (hub.work / "big").write_bytes(os.urandom(3 * 1024 * 1024))
        await commit(hub)
        refused = await hub.git("push", hub.remote(), "main", check=False)
        assert refused.returncode != 0
        assert b"exceeds maximum allowed size" in refused.stderr
        assert hub.outbox() == []
        (hub.work / "big").write_bytes(os.urandom(40 * 1024 * 1024))
        await commit(hub, text="far over it")
        refused = await hub.git("push", hub.remote(), "main", check=False)
        assert refused.returncode != 0
        assert (await hub.git("ls-remote", hub.remote())).stdout == b""
        await no_git_is_left(hub)


async def test_a_malformed_object_is_refused(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        await commit(hub)
        tree = (await hub.git("rev-parse", "HEAD:file")).stdout.strip()
        listing = b"100644 blob " + tree + b"\t.git\n"
        evil = (await git("mktree", "-z", cwd=hub.work, stdin=listing.replace(b"\n", b"\0"), check=False)).stdout
        raw = b"tree " + (evil.strip() or b"") + b"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
        made = await git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", cwd=hub.work, stdin=raw)
        await hub.git("update-ref", "refs/heads/evil", made.stdout.decode().strip())
        refused = await hub.git("push", hub.remote(), "evil", check=False)
        assert refused.returncode != 0
        assert b"hasDotgit" in refused.stderr


async def test_a_client_that_goes_away_in_the_middle_of_a_push_leaves_no_process(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        host, port = hub.url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(
            b"POST /demo/example/git-receive-pack HTTP/1.1\r\nHost: " + host.encode() + b"\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\n00a0\r\n"
        )
        await a_git_runs(hub)
        await stream.aclose()
        await no_git_is_left(hub)


async def test_a_client_that_sends_nothing_is_left_after_the_idle_deadline(tmp_path: Path) -> None:
    async with a_repohub(tmp_path, idle_seconds=0.5) as hub:
        await hub.create()

        host, port = hub.url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(
            b"POST /demo/example/git-receive-pack HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000\r\n\r\n00a0"
        )
        with trio.fail_after(60):
            answer = b"".join([bytes(piece) async for piece in stream])
        await stream.aclose()
        assert not answer.endswith(b"0\r\n\r\n"), "an answer that was cut must not look complete"
        await no_git_is_left(hub)


async def test_stopping_repohub_ends_the_gits_that_it_started(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        host, port = hub.url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(
            b"POST /demo/example/git-upload-pack HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: 100\r\n\r\n0000"
        )
        await a_git_runs(hub)
    await no_git_is_left(hub)
    await stream.aclose()


async def test_what_is_no_repository_or_no_smart_request_gets_a_plain_answer(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        missing = await hub.git("clone", f"{hub.url}/demo/none.git", check=False)
        assert b"there is no repository demo/none" in missing.stderr
        statuses = {
            "/demo/example.git/info/refs": 400,
            "/demo/example.git/info/refs?service=git-upload-archive": 400,
            "/demo/example.git/info/refs?service=git-upload-pack&x=1": 400,
            "/demo/example.git/HEAD": 404,
            "/demo/example.git/objects/info/packs": 404,
            "/demo/example.git/procurator/told.json": 404,
            "/demo/..%2f..%2fetc/info/refs?service=git-upload-pack": 404,
            "/api/x/info/refs?service=git-upload-pack": 400,
            "/Demo/Example/info/refs?service=git-upload-pack": 400,
        }
        for path, status in statuses.items():
            assert (path, (await hub.http.get(path)).status_code) == (path, status)


async def test_the_machines_and_the_users_git_configuration_is_not_read(tmp_path: Path) -> None:
    evil = tmp_path / "home"
    evil.mkdir()
    marker = tmp_path / "marker"
    (evil / "hooks").mkdir()
    hook = evil / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    async with a_repohub(tmp_path) as hub:
        (hub.state / ".gitconfig").write_text(f"[core]\n\thooksPath = {evil}/hooks\n")
        await hub.create()
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")
        assert not marker.exists()
        assert len(hub.outbox()) == 1


async def test_a_repository_of_another_owner_on_disk_is_served_all_the_same(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        for path in (hub.repository(), *hub.repository().rglob("*")):
            os.chown(path, 1234, 1234)
        await commit(hub)
        await hub.git("push", "-q", hub.remote(), "main")


async def test_a_page_of_another_site_can_neither_push_nor_create_nor_come_by_another_name(tmp_path: Path) -> None:
    push = {"content-type": "application/x-git-receive-pack-request"}
    async with a_repohub(tmp_path) as hub:
        await hub.create()

        async def pushed(**headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await hub.http.post("/demo/example/git-receive-pack", content=b"0000", headers=push | named)

        assert (await pushed()).status_code == 200
        assert (await pushed(origin="http://evil.example")).status_code == 403
        assert (await pushed(origin="null")).status_code == 403
        assert (await pushed(sec_fetch_site="cross-site")).status_code == 403
        assert (await pushed(sec_fetch_site="same-site")).status_code == 403
        assert (await pushed(host="evil.example")).status_code == 403
        assert (await pushed(content_type="text/plain")).status_code == 400
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            refused = await hub.http.post("/api/repositories", json={"name": "demo/evil"}, headers=headers)
            assert refused.status_code == 403
        form = await hub.http.post(
            "/api/repositories", content=b'{"name":"demo/evil"}', headers={"content-type": "text/plain"}
        )
        assert form.status_code == 400
        assert not hub.repository("demo/evil").exists()


async def gits(hub: Running) -> list[str]:
    """The git processes of that repohub."""
    root = f"GIT_PROJECT_ROOT={hub.state}/".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if words[0].rsplit(b"/", 1)[-1].startswith(b"git") and root in environ:
            found.append(b" ".join(words).decode(errors="replace"))
    return found


async def a_git_runs(hub: Running) -> None:
    with trio.fail_after(60):
        while not await gits(hub):  # noqa: ASYNC110 - nobody tells us when a process has begun
            await trio.sleep(0.02)


async def no_git_is_left(hub: Running) -> None:
    with trio.move_on_after(60):
        while await gits(hub):  # noqa: ASYNC110 - nobody tells us when a process has ended
            await trio.sleep(0.05)
    assert await gits(hub) == []


async def test_a_client_that_does_not_read_its_clone_holds_no_git_for_long(tmp_path: Path) -> None:
    async with a_repohub(tmp_path, idle_seconds=3) as hub:
        await hub.create()
        (hub.work / "big").write_bytes(os.urandom(16 * 1024 * 1024))
        sha = await commit(hub)
        await hub.git("push", "-q", str(hub.repository()), "main")
        body = b"0032want " + sha.encode() + b"\n00000009done\n"
        host, port = hub.url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(
                b"POST /demo/example/git-upload-pack HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-git-upload-pack-request\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await a_git_runs(hub)
            await no_git_is_left(hub)
