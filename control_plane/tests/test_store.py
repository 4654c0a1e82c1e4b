"""The database on real SQLite: what is written is what is read, whole, after any end of the process."""

import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
import trio

from control_plane.events import GenerationPublished, apply
from control_plane.state import Snapshot
from control_plane.store.database import Database, open_database
from control_plane.tests.builders import EPOCH, a_generation, a_publish, a_snapshot, a_spec, some_facts
from control_plane.tests.world import World
from schema.blueprint import CheckType, Health, HealthCheck, Volume
from schema.errors import InvalidInput, ProcuratorError, Unavailable
from schema.status import RolloutState

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)


def a_database(path: Path, epoch: str = EPOCH) -> Database:
    return open_database(f"sqlite:///{path}", new_epoch=lambda: epoch)


def test_everything_that_a_rollout_writes_is_read_back_as_it_was(tmp_path: Path) -> None:
    database = a_database(tmp_path / "state")
    world = World(a_snapshot(w0=some_facts(extras={"gpu": 1}, labels={"zone": "a"}), w1=some_facts()))
    database.write(None, world.snapshot)

    def commit(before: Snapshot, after: Snapshot) -> Snapshot:
        database.write(before, after)
        loaded = database.load("default")
        assert loaded == after
        return loaded

    world.commit = commit
    volumes = {"data": Volume(size_mb=64, mount="/data")}
    web = a_spec("web", replicas=2, health=CHECKED, extras={"gpu": 1})
    world.publish(a_generation(1, web, a_spec("db", health=CHECKED, volumes=volumes)))
    assert world.run() is not RolloutState.SUCCEEDED  # two of web need two gpus, and there is one
    world.publish(a_generation(2, a_spec("web", replicas=2, health=CHECKED), a_spec("db", volumes=volumes)))
    assert world.run() is RolloutState.SUCCEEDED
    broken = a_spec("web", "2", replicas=2, health=CHECKED)
    world.bad = {broken.content_hash}
    world.publish(a_generation(3, broken))
    assert world.run() is RolloutState.ROLLED_BACK
    database.close()


def test_the_bytes_of_a_spec_are_kept_as_they_were_received(tmp_path: Path) -> None:
    database = a_database(tmp_path / "state")
    before = database.load("default")
    after = apply(before, GenerationPublished(a_generation(1, a_spec())))
    database.write(before, after)
    kept = database.load("default").generations[1]
    assert kept.vms["web"].sealed.data == after.generations[1].vms["web"].sealed.data
    assert kept.header == after.generations[1].header
    database.close()


def test_the_epoch_is_drawn_once_and_each_open_is_counted(tmp_path: Path) -> None:
    first = a_database(tmp_path / "state", "1" * 32)
    first.close()
    second = a_database(tmp_path / "state", "2" * 32)
    assert (second.epoch, second.starts) == ("1" * 32, 2)
    second.close()


def test_a_second_control_plane_cannot_open_the_same_database(tmp_path: Path) -> None:
    first = a_database(tmp_path / "state")
    with pytest.raises(Unavailable, match="another control plane"):
        a_database(tmp_path / "state")
    first.close()
    a_database(tmp_path / "state").close()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    a_database(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"not a database" * 100)
    with pytest.raises(InvalidInput, match="cannot be used"):
        a_database(tmp_path / "state")
    with pytest.raises(InvalidInput, match="only SQLite"):
        open_database("postgresql://x/y", new_epoch=lambda: EPOCH)
    with pytest.raises(Unavailable, match="No such file"):
        a_database(tmp_path / "missing" / "state")


def test_a_spec_that_was_changed_on_disk_is_not_served(tmp_path: Path) -> None:
    database = a_database(tmp_path / "state")
    before = database.load("default")
    database.write(before, apply(before, GenerationPublished(a_generation(1, a_spec()))))
    database.close()
    with sqlite3.connect(tmp_path / "state") as connection:
        connection.execute("update vm_specs set spec = cast(replace(spec, '256', '512') as blob)")
    connection.close()
    database = a_database(tmp_path / "state")
    with pytest.raises(ProcuratorError, match="does not match its content"):
        database.load("default")
    database.close()


def test_sqlite_is_asked_for_wal_and_full_synchronisation(tmp_path: Path) -> None:
    database = a_database(tmp_path / "state")
    with database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_a_full_disk_refuses_the_change_whole_and_the_next_one_works(tmp_path: Path) -> None:
    database = a_database(tmp_path / "state")
    before = database.load("default")
    with database._engine.connect() as connection:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used}")
    many = tuple(a_spec(f"vm{n}") for n in range(50))
    after = apply(before, GenerationPublished(a_generation(1, *many)))
    with pytest.raises(Unavailable, match="full"):
        database.write(before, after)
    assert database.load("default") == before
    with database._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    database.write(before, after)
    assert database.load("default") == after
    database.close()


PUBLISHER = """
import sys
from pathlib import Path
from control_plane.events import GenerationPublished, apply
from control_plane.tests.builders import a_generation, a_spec
from control_plane.tests.test_store import a_database

database = a_database(Path(sys.argv[1]))
snapshot = database.load("default")
number = max(snapshot.generations, default=0)
while True:
    number += 1
    after = apply(snapshot, GenerationPublished(a_generation(number, *(a_spec(f"vm{n}") for n in range(20)))))
    database.write(snapshot, after)
    snapshot = after
    print(number, flush=True)
"""


async def test_what_was_acknowledged_survives_kill_9_and_the_rest_is_whole_or_absent(tmp_path: Path) -> None:
    """A real process publishes without pause and is killed at moments that are spread over its work."""
    acknowledged = 0
    for delay in (0.011, 0.023, 0.037, 0.002):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PUBLISHER, str(tmp_path / "state")],
            stdout=-1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
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
        database = a_database(tmp_path / "state")
        numbers = set(database.load("default").generations)
        database.close()
        assert numbers >= set(range(1, acknowledged + 1))
        assert max(numbers) <= acknowledged + 1
        assert all(len(generation) == 20 for generation in _specs(tmp_path / "state", numbers))
        acknowledged = max(numbers)


def _specs(path: Path, numbers: set[int]) -> list[list[bytes]]:
    connection = sqlite3.connect(path)
    found = [
        [row[0] for row in connection.execute("select spec from vm_specs where number = ?", (number,))]
        for number in numbers
    ]
    connection.close()
    return found


def test_a_publish_is_a_value_that_can_be_made_again() -> None:
    assert a_publish(1, a_spec()) == a_publish(1, a_spec())
