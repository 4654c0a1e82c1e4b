"""The database on disk: open it, load one realm's snapshot, write the next one in one transaction; no decisions.

Everything here blocks and is called from one thread at a time (`authority.py`). SQLite in WAL mode with
synchronous=FULL: a commit that has returned survives a crash of the machine. Writers begin IMMEDIATE.
"""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, and_, bindparam, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from control_plane.state import Snapshot
from control_plane.store import tables
from control_plane.store.rows import TableChange, changes, snapshot_of
from schema.errors import Conflict, InvalidInput, Unavailable

BUSY_MS = 5000
"""How long a transaction waits for another process that has the file, for example a backup."""


class Database:
    """One open database. `epoch` is its 128 random bits in hexadecimal, `starts` how often it has been opened."""

    def __init__(self, engine: Engine, lock: IO[str], *, epoch: str, starts: int) -> None:
        self._engine = engine
        self._lock = lock
        self.epoch = epoch
        self.starts = starts

    def load(self, realm: str) -> Snapshot:
        """All durable state of `realm`. Raises InvalidInput or HashMismatch when it is damaged."""
        with self._engine.begin() as connection:
            rows = {
                name: [dict(row) for row in connection.execute(select(table).where(table.c.realm == realm)).mappings()]
                for name, table in tables.metadata.tables.items()
                if "realm" in table.c
            }
        return snapshot_of(epoch=self.epoch, realm=realm, rows=rows)

    def write(self, before: Snapshot | None, after: Snapshot) -> None:
        """Put `after` in the place of `before`, whole or not at all; it is on disk when this returns.

        Raises Unavailable when the disk is full or the file is locked: then nothing was written.
        """
        found = changes(before, after)
        try:
            with self._engine.begin() as connection:
                for change in found:
                    _write(connection, change)
        except OperationalError as error:
            reason = str(error.orig)
            if "full" in reason or "locked" in reason:
                raise Unavailable(f"the database cannot be written now: {reason}") from error
            raise

    def close(self) -> None:
        """Give the file back."""
        self._engine.dispose()
        self._lock.close()


def open_database(url: str, *, new_epoch: Callable[[], str]) -> Database:
    """Open the database at `url` (`sqlite:////path`), made if it is not there; `new_epoch` then names it.

    Raises InvalidInput (not SQLite, or damaged), Conflict (another version's) and Unavailable (in use, or no such
    directory).
    """
    path = _path_of(url)
    lock = _lock(path)
    engine = _engine(url)
    try:
        epoch, starts = _prepare(engine, new_epoch)
    except DatabaseError as error:
        engine.dispose()
        lock.close()
        raise InvalidInput(f"the database {path} cannot be used: {error.orig}") from error
    return Database(engine, lock, epoch=epoch, starts=starts)


def _path_of(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(f"[database] url {url!r} is not a database URL") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise InvalidInput(f"[database] url {url!r}: only SQLite files are supported yet (sqlite:////path)")
    return Path(parsed.database)


def _lock(path: Path) -> IO[str]:
    """Keep a second control plane away from the file, until this process ends. The file becomes 0600."""
    try:
        path.touch(mode=0o600)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise Unavailable(f"cannot open the database {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise Unavailable(f"another control plane has the database {path} open") from error
    return lock


def _engine(url: str) -> Engine:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own, late BEGIN would be a DEFERRED one
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _prepare(engine: Engine, new_epoch: Callable[[], str]) -> tuple[str, int]:
    database = tables.database
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        row = connection.execute(select(database)).mappings().one_or_none()
        if row is None:
            epoch = new_epoch()
            first = {"id": 1, "schema_version": tables.SCHEMA_VERSION, "epoch": epoch, "starts": 1}
            connection.execute(database.insert().values(first))
            return epoch, 1
        if row["schema_version"] != tables.SCHEMA_VERSION:
            raise Conflict(f"the database has schema {row['schema_version']}; this program has {tables.SCHEMA_VERSION}")
        connection.execute(database.update().values(starts=row["starts"] + 1))
        return str(row["epoch"]), int(row["starts"]) + 1


def _write(connection: Connection, change: TableChange) -> None:
    table = tables.metadata.tables[change.table]
    if change.gone:
        names = change.gone[0].keys()
        known = and_(*(table.c[name] == bindparam(f"key_{name}") for name in names))
        keys = [{f"key_{name}": value for name, value in row.items()} for row in change.gone]
        connection.execute(table.delete().where(known), keys)
    if change.rows:
        connection.execute(table.insert(), list(change.rows))
