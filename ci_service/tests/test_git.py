"""CI's bare repositories by the real git, served by git's own dumb HTTP, and what becomes of old runs."""

import http.server
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from ci_service.git import GitFetcher, git_env, ref_of_run
from ci_service.retention import KEEP_RUNS, Retention
from ci_service.store import BuildStore
from ci_service.tests.builders import a_notice
from nix.left_behind import end_left_behind
from nix.run import open_process, run
from schema.errors import InvalidInput, Unavailable


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def git(directory: Path, *arguments: str) -> str:
    env = git_env(directory) | {"GIT_AUTHOR_NAME": "A\x1b[31m", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "C"}
    argv = ["git", "-C", str(directory), *arguments]
    return (await run(argv, deadline=120, env=env | {"GIT_COMMITTER_EMAIL": "c@d"})).stdout.decode().strip()


async def a_repository(served_from: Path, *, subject: str = "first") -> str:
    bare = served_from / "demo/example.git"
    work = served_from / "work"
    for path in (bare, work):
        path.mkdir(parents=True)
    await git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    await git(work, "init", "--quiet", "--initial-branch=main")
    await git(work, "commit", "--quiet", "--allow-empty", "-m", subject)
    (bare / "git-daemon-export-ok").touch()
    env = git_env(work) | {"GIT_ALLOW_PROTOCOL": "file"}
    await run(["git", "-C", str(work), "push", "--quiet", str(bare), "main"], deadline=120, env=env)
    await git(bare, "update-server-info")
    return await git(work, "rev-parse", "HEAD")


async def test_a_commit_is_fetched_and_kept_as_the_runs_ref(tmp_path: Path) -> None:
    sha = await a_repository(tmp_path, subject="a subject \x1b]0;title\x07 with an escape")
    with served(tmp_path) as url:
        fetcher = GitFetcher(directory=tmp_path / "ci", base_url=url, deadline=120)
        (tmp_path / "ci").mkdir()
        commit = await fetcher.fetch(repository="demo/example", sha=sha, run_id=7)
    assert (commit.sha, commit.ref) == (sha, ref_of_run(7))
    assert commit.subject == "a subject  with an escape"
    assert "\x1b" not in commit.author
    assert await git(commit.repository, "rev-parse", commit.ref) == sha


async def test_a_commit_that_the_repository_does_not_have_is_named(tmp_path: Path) -> None:
    await a_repository(tmp_path)
    (tmp_path / "ci").mkdir()
    with served(tmp_path) as url:
        fetcher = GitFetcher(directory=tmp_path / "ci", base_url=url, deadline=120)
        with pytest.raises(InvalidInput, match="cannot fetch " + "b" * 40):
            await fetcher.fetch(repository="demo/example", sha="b" * 40, run_id=1)


async def test_only_http_is_spoken(tmp_path: Path) -> None:
    sha = await a_repository(tmp_path)
    (tmp_path / "ci").mkdir()
    fetcher = GitFetcher(directory=tmp_path / "ci", base_url=f"file://{tmp_path}", deadline=120)
    with pytest.raises(InvalidInput, match="transport 'file' not allowed"):
        await fetcher.fetch(repository="demo/example", sha=sha, run_id=1)


async def test_a_server_that_is_away_is_a_passing_failure(tmp_path: Path) -> None:
    fetcher = GitFetcher(directory=tmp_path / "ci", base_url="http://127.0.0.1:1", deadline=120)
    with pytest.raises(Unavailable, match="Failed to connect"):
        await fetcher.fetch(repository="demo/example", sha="a" * 40, run_id=1)


FETCHES = """
import sys, trio
from pathlib import Path
from ci_service.git import GitFetcher
directory, url, sha = sys.argv[1:]
fetcher = GitFetcher(directory=Path(directory), base_url=url, deadline=120)
fetcher.tidy()
async def fetch():
    print("begins", flush=True)
    while True:
        await fetcher.fetch(repository="demo/example", sha=sha, run_id=1)
trio.run(fetch)
"""


async def test_a_fetch_that_was_killed_at_any_moment_succeeds_the_next_time(tmp_path: Path) -> None:
    sha = await a_repository(tmp_path)
    state = tmp_path / "ci"
    state.mkdir()
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with served(tmp_path) as url:
        fetcher = GitFetcher(directory=state, base_url=url, deadline=120)
        for after in (0.0, 0.002, 0.004, 0.007, 0.011, 0.017, 0.029, 0.053):
            argv = [sys.executable, "-c", FETCHES, str(state), url, sha]
            async with open_process(argv, env=environment) as killed:
                assert killed.stdout is not None
                assert await killed.stdout.receive_some() == b"begins\n"
                await trio.sleep(after)
                os.kill(killed.pid, signal.SIGKILL)
            end_left_behind(state)
            fetcher.tidy()
            assert (await fetcher.fetch(repository="demo/example", sha=sha, run_id=1)).sha == sha


async def test_what_a_power_cut_left_locked_or_half_made_is_cleared(tmp_path: Path) -> None:
    sha = await a_repository(tmp_path)
    fetcher = GitFetcher(directory=tmp_path / "ci", base_url="", deadline=120)
    with served(tmp_path) as url:
        fetcher = replace(fetcher, base_url=url)
        bare = (await fetcher.fetch(repository="demo/example", sha=sha, run_id=1)).repository
        for lock in ("refs/procurator/2.lock", "packed-refs.lock"):
            (bare / lock).touch()
        (tmp_path / "ci/demo/other.git.new").mkdir()
        with pytest.raises(InvalidInput, match=r"2\.lock"):
            await fetcher.fetch(repository="demo/example", sha=sha, run_id=2)
        fetcher.tidy()
        await fetcher.fetch(repository="demo/example", sha=sha, run_id=2)
        await fetcher.forget(repository="demo/example", run_id=1)
    assert not (tmp_path / "ci/demo/other.git.new").exists()


async def test_old_runs_let_go_of_their_commits_and_results(tmp_path: Path) -> None:
    sha = await a_repository(tmp_path)
    state, roots = tmp_path / "ci", tmp_path / "ci/roots"
    roots.mkdir(parents=True)
    store = BuildStore(f"sqlite:///{state / 'ci.db'}")
    await store.open()
    for number in range(KEEP_RUNS + 1):
        await store.accept(a_notice(delivery=f"00000000-0000-4000-8000-{number:012d}"), now_ms=number)
    with served(tmp_path) as url:
        fetcher = GitFetcher(directory=state, base_url=url, deadline=120)
        for run_id in (1, 2):
            commit = await fetcher.fetch(repository="demo/example", sha=sha, run_id=run_id)
            (roots / str(run_id)).mkdir()
        retention = Retention(store=store, fetcher=fetcher, roots=roots)
        assert await retention.sweep() == (1,)
        assert await retention.sweep() == ()
    assert [path.name for path in roots.iterdir()] == ["2"]
    assert (await git(commit.repository, "for-each-ref", "--format=%(refname)")).split() == [ref_of_run(2)]
    await store.close()
