"""A database in a SQLite file: WAL, synchronous=FULL, BEGIN IMMEDIATE, and a lock file; it knows no table."""

import fcntl
import sqlite3
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.errors import Unavailable

BUSY_MS = 5000
"""How long a transaction waits for another process that has the file, for example a backup."""
TRANSIENT = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""Nothing was written and a later attempt may do. An I/O error is not among them: what is on disk is unknown then."""


class SqlitePlace:
    """`Place` for one file. The file and its lock are held from the start until `close`, and are 0600."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._lock = _lock(Path(path))
        self._engine = create_engine(
            URL.create("sqlite", database=path), poolclass=NullPool, connect_args={"check_same_thread": False}
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)

    def connect(self) -> Connection:
        """As Place.connect."""
        return self._engine.connect()

    def lock(self, connection: Connection) -> None:
        """As Place.lock: the lock file has been ours since the start."""

    def lives(self, connection: Connection) -> bool:
        """As Place.lives: a file does not go away by itself."""
        return not connection.invalidated

    def trouble(self, error: DBAPIError) -> str:
        """As Place.trouble."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without its extension
        return str(error.orig) if code in TRANSIENT else ""

    def close(self) -> None:
        """As Place.close."""
        self._engine.dispose()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    """Keep a second control plane away from the file, until this process ends."""
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


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own, late BEGIN would be a DEFERRED one
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
