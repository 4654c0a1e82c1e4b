"""The store on real SQLite and PostgreSQL: what is written is what is read, and only a sound database is served."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from control_plane.events import GenerationPublished, apply
from control_plane.state import Snapshot
from control_plane.store.database import open_database
from control_plane.tests.builders import EPOCH, a_generation, a_publish, a_snapshot, a_spec, some_facts
from control_plane.tests.conftest import of_sqlite
from control_plane.tests.postgres import Home
from control_plane.tests.world import World
from schema.blueprint import CheckType, Health, HealthCheck, Volume
from schema.errors import InvalidInput, ProcuratorError, Unavailable
from schema.status import RolloutState

CHECKED = Health(checks=(HealthCheck(type=CheckType.TCP, port=80),), start_deadline_ms=10_000)


def test_everything_that_a_rollout_writes_is_read_back_as_it_was(home: Home) -> None:
    database = home.open()
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


def test_the_bytes_of_a_spec_are_kept_as_they_were_received(home: Home) -> None:
    database = home.open()
    before = database.load("default")
    after = apply(before, GenerationPublished(a_generation(1, a_spec())))
    database.write(before, after)
    kept = database.load("default").generations[1]
    assert kept.vms["web"].sealed.data == after.generations[1].vms["web"].sealed.data
    assert kept.header == after.generations[1].header
    database.close()


def test_the_epoch_is_drawn_once_and_each_open_is_counted(home: Home) -> None:
    first = home.open("1" * 32)
    first.close()
    second = home.open("2" * 32)
    assert (second.epoch, second.starts) == ("1" * 32, 2)
    second.close()


def test_text_that_a_database_cannot_hold_is_written_without_what_it_cannot_hold(home: Home) -> None:
    """PostgreSQL has no zero characters, and no UTF-8 has halves of surrogate pairs; a worker may send both."""
    world = World()
    world.publish(a_generation(1, a_spec()))
    rollout = world.snapshot.rollouts[1]
    odd = replace(world.snapshot, rollouts={1: replace(rollout, reason="tcp \x00\ud800refused")})
    database = home.open()
    database.write(None, odd)
    assert database.load("default").rollouts[1].reason == "tcp refused"
    database.close()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    of_sqlite(tmp_path / "state").open().close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"not a database" * 100)
    with pytest.raises(InvalidInput, match="cannot be used"):
        of_sqlite(tmp_path / "state").open()
    with pytest.raises(Unavailable, match="No such file"):
        of_sqlite(tmp_path / "missing" / "state").open()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://x/y", "neither sqlite"),
        ("sqlite://", "neither sqlite"),
        ("postgresql://x", "neither sqlite"),
        ("nonsense", "not a database URL"),
        ("postgresql://me:swordfish@x/y", "shows a password"),
    ],
)
def test_a_url_of_another_kind_is_refused_and_no_password_is_shown(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        open_database(url, new_epoch=lambda: EPOCH)
    assert "swordfish" not in refused.value.message


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with pytest.raises(Unavailable, match=r"postgresql://me@/y.* cannot be reached"):
        open_database("postgresql://me@/y?host=/nonexistent", new_epoch=lambda: EPOCH, password="swordfish")


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE placements SET worker_id = 'w1' WHERE instance = 'web-0'",
        "UPDATE placements SET leaving = true WHERE instance = 'web-0'",
        "UPDATE workers SET revision = revision + 1",
        "DELETE FROM last_good WHERE instance = 'web-0'",
        "INSERT INTO volume_bindings VALUES ('default', 'web-0', 'w0')",
        "UPDATE vm_specs SET position = position + 10",
        "UPDATE generations SET published_at_ms = 7",
    ],
)
def test_rows_that_something_else_has_changed_are_not_served(home: Home, harm: str) -> None:
    a_story(home)
    home.execute(harm)
    database = home.open()
    with pytest.raises(ProcuratorError, match="not what was written"):
        database.load("default")
    database.close()


def a_story(home: Home) -> Snapshot:
    """A cluster with everything in it; what was written last."""
    database = home.open()
    world = World()
    database.write(None, world.snapshot)

    def commit(before: Snapshot, after: Snapshot) -> Snapshot:
        database.write(before, after)
        return after

    world.commit = commit
    world.publish(a_generation(1, a_spec("web", replicas=2, health=CHECKED), a_spec("db", health=CHECKED)))
    assert world.run() is RolloutState.SUCCEEDED
    database.close()
    return world.snapshot


def test_flipped_bits_anywhere_in_the_file_are_refused_or_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state"
    written = a_story(of_sqlite(path))
    sound = path.read_bytes()
    random = Random(7)  # noqa: S311 where to flip, the same in every run
    refused = 0
    used = [offset for offset, byte in enumerate(sound) if byte]
    for offset in random.sample(used, 120):
        harmed = bytearray(sound)
        harmed[offset] ^= 1 << random.randrange(8)
        path.write_bytes(harmed)
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        try:
            database = of_sqlite(path).open()
        except ProcuratorError:
            refused += 1
            continue
        try:
            assert database.load("default") == written
        except ProcuratorError:
            refused += 1
        finally:
            database.close()
    assert refused > 60


def test_sqlite_is_asked_for_wal_and_full_synchronisation(tmp_path: Path) -> None:
    database = of_sqlite(tmp_path / "state").open()
    ask = database._writer.read
    assert ask(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    assert ask(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar()) == 2
    database.close()


def test_a_publish_is_a_value_that_can_be_made_again() -> None:
    assert a_publish(1, a_spec()) == a_publish(1, a_spec())
