"""Bring a database's tables up to date, inside the transaction of whoever opened it; it touches no row of its own.

A new database gets today's tables at once; a test holds that the migrations lead to the same. Alembic is only loaded
for a database that is behind, so that a start of the program does not pay for it.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from control_plane.store import tables
from schema.errors import Conflict

BEFORE_MIGRATIONS = "0001"
"""The revision of databases from before there were migrations: their `schema_version` is 1."""
DIRECTORY = Path(__file__).parent / "migrations"
VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Where Alembic keeps which revision a database has."""


def migrated(connection: Connection) -> None:
    """Make what `connection` is in a transaction of have `tables`. Raises Conflict for a newer program's database."""
    found = _revision(connection)
    if found == tables.REVISION:
        return
    if found is None:
        tables.metadata.create_all(connection)
        stamp(connection, tables.REVISION)
        return
    if found not in revisions():
        raise Conflict(
            f"the database has the tables of a newer version of this program ({found}), which knows up to"
            f" {tables.REVISION}: start that version, or restore a copy from before it"
        )
    upgrade(connection)


def upgrade(connection: Connection, *, to: str = "head") -> None:
    """Run the migrations that are missing, up to revision `to`."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    command.upgrade(config, to)


def revisions() -> frozenset[str]:
    """The revisions that this program knows: each file of `migrations/versions` begins with its own."""
    return frozenset(path.name.partition("_")[0] for path in (DIRECTORY / "versions").glob("[0-9]*.py"))


def stamp(connection: Connection, revision: str) -> None:
    """Say that the tables are those of `revision`."""
    VERSIONS.create(connection, checkfirst=True)
    connection.execute(VERSIONS.insert().values(version_num=revision))


def _revision(connection: Connection) -> str | None:
    """Where the database is; None for one without tables. One from before the migrations is told so to Alembic."""
    names = set(inspect(connection).get_table_names())
    if VERSIONS.name in names:
        return connection.scalar(select(VERSIONS.c.version_num)) or ""
    if tables.database.name not in names:
        return None
    version = connection.scalar(select(tables.database.c.schema_version))
    if version != 1:
        raise Conflict(f"the database has schema {version} of another program: this one cannot use it")
    stamp(connection, BEFORE_MIGRATIONS)
    return BEFORE_MIGRATIONS
