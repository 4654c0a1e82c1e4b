"""The single writer on both databases: lock, fence, kill -9 at any point, a full disk, a server that goes away."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import pytest
import trio
from sqlalchemy import Engine, event

from control_plane.events import GenerationPublished, apply
from control_plane.state import Snapshot
from control_plane.store.database import Database
from control_plane.store.writer import Doubtful, Superseded
from control_plane.tests.builders import a_generation, a_spec
from control_plane.tests.conftest import of_postgres, of_sqlite
from control_plane.tests.postgres import Home, Postgres, a_proxy
from schema.errors import InvalidInput, Unavailable

VMS = 5


def published(snapshot: Snapshot, number: int, *, vms: int = VMS) -> Snapshot:
    return apply(snapshot, GenerationPublished(a_generation(number, *(a_spec(f"vm{n}") for n in range(vms)))))


def test_a_second_control_plane_cannot_open_the_same_database(home: Home) -> None:
    first = home.open()
    with pytest.raises(Unavailable, match="another control plane"):
        home.open()
    first.close()
    home.open().close()


def test_a_writer_that_has_lost_its_lock_cannot_commit_over_its_successor(home: Home) -> None:
    asleep = home.open()
    before = asleep.load("default")
    asleep.write(before, published(before, 1))
    lose_the_lock(home)
    successor = home.open()
    now = successor.load("default")
    successor.write(now, published(now, 2))
    with pytest.raises(Superseded, match="another control plane has opened"):
        asleep.write(now, published(now, 3))
    assert set(successor.load("default").generations) == {1, 2}
    successor.close()
    asleep.close()


def lose_the_lock(home: Home) -> None:
    if home.kind == "sqlite":
        Path(home.url.removeprefix("sqlite:///") + ".lock").unlink()
        return
    ours = "FROM pg_stat_activity WHERE application_name = 'procurator-control-plane' AND datname = current_database()"
    home.execute(f"SELECT pg_terminate_backend(pid, 30000) {ours}")


KILL_POINTS = 40
"""More than one write of the story has."""


def dies_at(home: Home, point: int, number: int, pipe: int) -> Never:
    """In a process of its own: publish `number`, and be killed before the `point`th statement or commit."""
    count = 0

    def step(*_any: Any) -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        database = home.open()
        before = database.load("default")
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(Engine, name, step)
        database.write(before, published(before, number))
        os.write(pipe, b"acknowledged")
    finally:
        os._exit(0)


def test_killed_before_or_after_any_statement_of_a_write_it_is_whole_or_absent(home: Home) -> None:
    home.open().close()
    known = 0
    for point in range(1, KILL_POINTS):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reads)
            dies_at(home, point, known + 1, writes)
        os.close(writes)
        acknowledged = os.read(reads, 100) == b"acknowledged"
        os.close(reads)
        _, status = os.waitpid(child, 0)
        home.wait_unlocked()
        database = home.open()
        generations = database.load("default").generations
        database.close()
        assert all(len(generation.vms) == VMS for generation in generations.values())
        assert set(generations) >= set(range(1, known + 1 + acknowledged))
        known = len(generations)
        if not os.WIFSIGNALED(status):
            assert acknowledged
            assert known >= 1
            return
    raise AssertionError(f"a write has more than {KILL_POINTS} steps")


PUBLISHER = """
import sys
from control_plane.store.database import open_database
from control_plane.tests.test_writer import published

database = open_database(sys.argv[1], new_epoch=lambda: "e" * 32)
snapshot = database.load("default")
number = max(snapshot.generations, default=0)
while True:
    number += 1
    after = published(snapshot, number)
    database.write(snapshot, after)
    snapshot = after
    print(number, flush=True)
"""


async def test_what_was_acknowledged_survives_kill_9_at_any_moment(home: Home) -> None:
    """A real process publishes without pause and is killed at moments that are spread over its work."""
    acknowledged = 0
    for delay in (0.011, 0.023):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PUBLISHER, home.url],
            stdout=-1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
        )
        assert process.stdout is not None
        with trio.fail_after(60):
            heard = await process.stdout.receive_some()
            await trio.sleep(delay)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            async for more in process.stdout:
                heard += more
        await process.stdout.aclose()
        complete = heard.decode().rpartition("\n")[0].split("\n")
        assert int(complete[0]) > acknowledged
        acknowledged = int(complete[-1])
        home.wait_unlocked()
        database = home.open()
        generations = database.load("default").generations
        database.close()
        assert set(generations) >= set(range(1, acknowledged + 1))
        assert max(generations) <= acknowledged + 1
        assert all(len(generation.vms) == VMS for generation in generations.values())
        acknowledged = max(generations)


@contextmanager
def a_small_disk(megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size (needs root)."""
    directory = Path(tempfile.mkdtemp(prefix="procurator-disk-"))
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)], check=True)
    try:
        directory.chmod(0o777)
        yield directory
    finally:
        subprocess.run(["/bin/umount", "-l", str(directory)], check=True)
        directory.rmdir()


def refuses_and_recovers(database: Database, filler: Path) -> None:
    """Fill the disk: the change is refused whole and reading goes on; with room again, the next one works."""
    before = database.load("default")
    first = published(before, 1)
    database.write(before, first)
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    huge = published(first, 2, vms=2000)
    with pytest.raises(Unavailable, match=r"No space|full"):
        database.write(first, huge)
    assert database.load("default") == first
    filler.unlink()
    database.write(first, huge)
    assert database.load("default") == huge


def test_a_full_disk_refuses_the_change_whole_and_the_next_one_works(tmp_path: Path) -> None:
    with a_small_disk(8) as disk:
        database = of_sqlite(disk / "state").open()
        refuses_and_recovers(database, disk / "filler")
        assert (
            database._writer.read(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar())
            == "ok"
        )
        database.close()


def test_a_full_disk_of_the_server_refuses_the_change_whole_and_the_next_one_works(postgres: Postgres) -> None:
    with a_small_disk(16) as disk:
        (disk / "space").mkdir()
        shutil.chown(disk / "space", *postgres.account)
        postgres.execute("postgres", f"CREATE TABLESPACE small LOCATION '{disk}/space'")
        postgres.execute("postgres", "CREATE DATABASE small TABLESPACE small")
        home = of_postgres(postgres, database="small")
        try:
            database = home.open()
            refuses_and_recovers(database, disk / "filler")
            database.close()
        finally:
            postgres.execute("postgres", "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")


def test_a_server_that_goes_away_refuses_changes_and_serves_them_again_when_it_is_back(postgres: Postgres) -> None:
    database = of_postgres(postgres).open()
    before = database.load("default")
    first = published(before, 1)
    database.write(before, first)
    for how in (signal.SIGINT, signal.SIGQUIT):
        number = max(first.generations) + 1
        after = published(first, number)
        postgres.stop(how)
        try:
            for _ in range(2):
                with pytest.raises(Unavailable, match=r"cannot be (written|reached)"):
                    database.write(first, after)
        finally:
            postgres.start()
        database.write(first, after)
        assert database.load("default") == after
        first = after
    database.close()


@pytest.mark.parametrize("written", [True, False])
def test_a_commit_whose_answer_is_lost_is_asked_for(postgres: Postgres, written: bool) -> None:
    home = of_postgres(postgres)
    with a_proxy(postgres) as proxy:
        database = proxy.before(home).open()
        before = database.load("default")
        proxy.break_at(b"COMMIT", delivered=written)
        after = published(before, 1)
        with pytest.raises(Doubtful, match="during a commit"):
            database.write(before, after)
        with pytest.raises(Doubtful, match="has not said yet"):
            database.write(before, after)
        assert database.settle() is written
        if not written:
            database.write(before, after)
        assert database.load("default") == after
        next_one = published(after, 2)
        database.write(after, next_one)
        assert database.load("default") == next_one
        database.close()


@pytest.mark.parametrize("written", [True, False])
def test_what_was_tried_while_a_commit_was_in_doubt_says_nothing_of_it(postgres: Postgres, written: bool) -> None:
    home = of_postgres(postgres)
    with a_proxy(postgres) as proxy:
        database = proxy.before(home).open()
        before = database.load("default")
        proxy.break_at(b"COMMIT", delivered=written)
        after = published(before, 1)
        with pytest.raises(Doubtful, match="during a commit"):
            database.write(before, after)
        with pytest.raises(Doubtful, match="has not said yet"):
            database.write(after, published(after, 7))
        assert database.settle() is written
        now = after if written else before
        database.write(now, published(now, 2))
        assert database.load("default") == published(now, 2)
        database.close()


def test_a_server_that_does_not_write_to_disk_is_refused(postgres: Postgres) -> None:
    home = of_postgres(postgres)
    postgres.stop()
    postgres.start(fsync="off")
    try:
        with pytest.raises(InvalidInput, match="fsync off"):
            home.open()
    finally:
        postgres.stop()
        postgres.start()
    home.open().close()
