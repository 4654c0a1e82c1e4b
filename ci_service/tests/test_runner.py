"""The runner with a real store and log, and a fetcher that does what no fetcher should."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from ci_service.git import Commit
from ci_service.logs import BuildLog
from ci_service.runner import Runner, explained
from ci_service.store import BuildStore
from ci_service.tests.builders import a_notice
from ci_service.updates import Updates
from schema.builds import BuildState
from schema.errors import CommandFailed, InvalidInput, Unavailable


@dataclass
class BrokenFetcher:
    """Fails by a defect for one repository, as it should for the others."""

    defective: str

    async def fetch(self, *, repository: str, sha: str, run_id: int) -> Commit:
        if repository == self.defective:
            raise RecursionError("of a kind that nobody thought of")
        raise InvalidInput(f"{repository} has no {sha} ({run_id})")


@dataclass
class NoWorkshop:
    warnings: tuple[str, ...] = ()


def a_runner(store: BuildStore, folder: Path) -> Runner:
    nothing = cast(Any, None)
    clock = count(1)
    return Runner(
        store=store,
        updates=Updates(),
        fetcher=cast(Any, BrokenFetcher("evil/flake")),
        workshop=cast(Any, NoWorkshop()),
        publisher=nothing,
        open_master=nothing,
        logs=folder / "logs",
        now_ms=lambda: next(clock),
        fetch_seconds=60,
        publish_seconds=60,
        push_seconds=60,
        published=lambda: None,
        wake=trio.Event(),
    )


async def test_a_defect_that_one_push_meets_fails_its_build_and_the_next_one_runs(tmp_path: Path) -> None:
    store = BuildStore(f"sqlite:///{tmp_path}/ci.db")
    await store.open()
    deliveries = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
    for delivery, repository in zip(deliveries, ("evil/flake", "demo/example"), strict=True):
        await store.accept(a_notice(delivery=delivery, repository=repository), now_ms=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_runner(store, tmp_path).run)
        with trio.fail_after(60):
            while await store.unfinished():  # noqa: ASYNC110 - another task works on it
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    evil, demo = await store.build(1), await store.build(2)
    assert (evil.state, evil.error) == (BuildState.FAILED, "evaluate failed: a defect of CI: RecursionError")
    assert (demo.state, "has no" in demo.error) == (BuildState.FAILED, True)
    await store.close()


async def test_a_full_disk_refuses_a_builds_change_whole_and_the_next_one_works(tmp_path: Path) -> None:
    store = BuildStore(f"sqlite:///{tmp_path}/ci.db")
    await store.open()
    await store.accept(a_notice(repository="demo/example"), now_ms=1)
    used = await store._run(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar())
    await store._run(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {used}"))
    build = await store.build(1)
    long = build.model_copy(update={"error": "x" * 100_000})
    with pytest.raises(Unavailable, match="full"):
        await store.save(long)
    assert await store.build(1) == build
    await store._run(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 100000"))
    await store.save(long)
    await store.close()


def test_a_log_on_a_full_disk_fails_no_build(tmp_path: Path) -> None:
    (tmp_path / "1.log").symlink_to("/dev/full")
    log = BuildLog(tmp_path / "1.log")
    log.line("first")
    log.line("second")
    assert log.tail == ["first", "second"]


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (
            b"fatal: no\nerror: program 'git' failed with exit code 128\n",
            "program 'git' failed with exit code 128: fatal: no",
        ),
        (b"fatal: no\nerror: attribute 'x' missing\n", "attribute 'x' missing"),
        (b"warning: dirty\nsegfault\n", "segfault"),
        (b"", "exit code 1"),
    ],
)
def test_a_failure_is_told_by_the_line_that_says_why(stderr: bytes, told: str) -> None:
    failed = CommandFailed(argv=["nix"], cwd=None, returncode=1, stdout=b"", stderr=stderr)
    assert explained(failed) == told
