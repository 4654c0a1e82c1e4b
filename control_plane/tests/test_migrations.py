"""Migrations on both databases: they lead to today's tables, keep what is there, and never touch a newer database."""

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from control_plane.audit import OK, AuditDraft, sealed
from control_plane.state import NOTHING, Snapshot
from control_plane.store import tables
from control_plane.store.migrate import BEFORE_MIGRATIONS, revisions, stamp, upgrade
from control_plane.store.places import place_of
from control_plane.tests.postgres import Home
from control_plane.tests.world import World
from schema.errors import Conflict
from schema.status import RolloutState

RECORDED = Path(__file__).parent / "recorded" / "before_migrations.sql"
"""What the program wrote before there were migrations: a good generation, and a rollout that is half way back."""
RECORDED_EPOCH = "0123456789abcdef" * 2


def migrated_from_the_first(home: Home) -> None:
    """Every table made by the migrations alone."""
    place = place_of(home.url)
    connection = place.connect()
    with connection.begin():
        upgrade(connection)
    connection.close()
    place.close()


def differences(home: Home) -> str:
    """What the tables of the program have and the database has not, or the other way round; empty when equal."""
    place = place_of(home.url)
    connection = place.connect()
    with connection.begin():
        found = _differences(connection)
    connection.close()
    place.close()
    return found


def _differences(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    if not compare_metadata(context, tables.metadata):
        return ""
    operations = produce_migrations(context, tables.metadata).upgrade_ops
    assert operations is not None
    return render_python_code(operations)


def test_migrations_from_nothing_lead_to_todays_tables(home: Home) -> None:
    migrated_from_the_first(home)
    missing = differences(home)
    assert missing == "", f"write a migration in control_plane/store/migrations/versions with this in it:\n{missing}"


def test_a_new_database_has_todays_tables_and_says_so(home: Home) -> None:
    home.open().close()
    assert differences(home) == ""
    assert home.execute("SELECT version_num FROM alembic_version") == [(tables.REVISION,)]
    assert max(revisions()) == tables.REVISION


def recorded(home: Home) -> None:
    """The recorded database, as `home`'s kind writes it."""
    statements = []
    for line in RECORDED.read_text().split(";\n"):
        statement = line.strip()
        if home.kind == "postgresql":
            statement = statement.replace("BLOB", "BYTEA").replace("X'", "'\\x")
            statement = re.sub(r"',0,(\d+),'\{", r"',false,\1,'{", statement)
        if statement and statement not in ("BEGIN TRANSACTION", "COMMIT"):
            statements.append(statement)
    home.execute(*statements)


def test_a_database_from_before_the_migrations_keeps_its_content(home: Home) -> None:
    recorded(home)
    database = home.open()
    assert (database.epoch, database.starts) == (RECORDED_EPOCH, 2)
    snapshot = database.load("default")
    _is_the_recorded(snapshot)
    entry = sealed(AuditDraft("uid:0", "test"), head=database.audit_head("default"), at_ms=1, result=OK)
    database.write(snapshot, snapshot, audit=(entry,))
    database.close()
    assert differences(home) == ""
    again = home.open()
    assert again.load("default") == snapshot
    assert again.audit_entries("default", limit=0, before=0) == (entry,)
    again.close()


def _is_the_recorded(snapshot: Snapshot) -> None:
    assert set(snapshot.generations) == {1, 2}
    assert {number: rollout.state for number, rollout in snapshot.rollouts.items()} == {
        1: RolloutState.SUCCEEDED,
        2: RolloutState.RUNNING,
    }
    assert {name: one.worker_id for name, one in snapshot.placements.items() if one.generation != NOTHING} == {
        "db-0": "w0",
        "web-0": "w0",
        "web-1": "w1",
    }
    assert snapshot.workers["w0"].facts.extras == {"gpu": 1}
    assert snapshot.volume_bindings == {"db-0": "w0"}
    assert snapshot.last_good == {"db-0": 1, "web-0": 1, "web-1": 1}


@pytest.mark.parametrize("has_digests", [True, False])
def test_a_database_of_0002_is_brought_up_whether_0002_had_made_the_digests_or_not(
    home: Home, *, has_digests: bool
) -> None:
    home.open().close()
    home.execute("ALTER TABLE database DROP COLUMN audited", "UPDATE alembic_version SET version_num = '0002'")
    if not has_digests:
        home.execute("DROP TABLE digests")
    database = home.open()
    snapshot = database.load("default")
    database.write(snapshot, snapshot)
    database.close()
    assert differences(home) == ""
    assert home.execute("SELECT version_num FROM alembic_version") == [(tables.REVISION,)]


def test_the_program_from_before_the_migrations_keeps_away(home: Home) -> None:
    """It compares this number with its own 1 and refuses with words."""
    recorded(home)
    home.open().close()
    assert home.execute("SELECT schema_version FROM database") == [(tables.SCHEMA_VERSION,)]


def test_a_newer_programs_database_is_refused_with_words_and_not_touched(home: Home) -> None:
    home.open().close()
    other = "UPDATE alembic_version SET version_num = '{}'"
    home.execute(other.format("9999"))
    with pytest.raises(Conflict, match=r"a newer version of this program \(9999\), which knows up to"):
        home.open()
    assert home.execute("SELECT starts FROM database") == [(1,)]
    home.execute(other.format(tables.REVISION))
    home.open().close()


def test_another_programs_tables_are_refused(home: Home) -> None:
    recorded(home)
    home.execute("UPDATE database SET schema_version = 7")
    with pytest.raises(Conflict, match="schema 7"):
        home.open()


def test_a_migration_that_fails_leaves_the_database_as_it_was(home: Home) -> None:
    recorded(home)
    home.execute("CREATE TABLE audit_heads (x INTEGER)")  # in the way of 0002
    with pytest.raises(Exception, match="audit_heads"):
        home.open()
    home.execute("DROP TABLE audit_heads")
    database = home.open()
    _is_the_recorded(database.load("default"))
    assert database.starts == 2
    database.close()


def test_a_stamp_is_what_alembic_itself_would_write(home: Home) -> None:
    place = place_of(home.url)
    connection = place.connect()
    with connection.begin():
        stamp(connection, BEFORE_MIGRATIONS)
        assert MigrationContext.configure(connection).get_current_revision() == BEFORE_MIGRATIONS
    connection.close()
    place.close()


def test_a_rollout_that_was_half_way_when_the_program_was_updated_comes_to_its_end(home: Home) -> None:
    recorded(home)
    database = home.open()
    world = World(database.load("default"))
    broken = next(spec for spec in world.snapshot.generations[2].vms.values() if spec.value.name == "web")
    world.bad = {broken.content_hash}
    assert world.run() is RolloutState.ROLLED_BACK
    assert set(world.wanted().values()) == {1}
    database.close()
