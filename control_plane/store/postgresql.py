"""A database in PostgreSQL, by psycopg: an advisory lock, deadlines, and durable commits; it knows no table."""

import select
import time
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.errors import InvalidInput, Unavailable

LOCK = 0x70726F63
"""The advisory lock of the writer of a schema: the first four letters of our name. Such locks are per database."""
TRY_LOCK = "SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))"
LOCK_SECONDS = 2.0
"""How long it waits for the lock: the server may take a moment to notice that a killed control plane is gone."""
CONNECT_SECONDS = 5
ARGUMENTS = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "procurator-control-plane",
    # A server that vanished without a word is noticed after 20 s, not after two hours.
    **{"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 20_000},
}
SESSION = (
    # A lock must not outlive us for long when we vanish without a word.
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 2",
    "SET lock_timeout = '10s'",
    "SET statement_timeout = '60s'",
    "SET idle_in_transaction_session_timeout = '120s'",
)
TRANSIENT = ("08", "25006", "40", "53", "55P03", "57")
"""SQLSTATEs by their beginning: connection, read-only after a failover, conflicts, out of room, locks, shut down."""


class PostgresPlace:
    """`Place` for one database of a server."""

    def __init__(self, url: URL, *, password: str) -> None:
        self.name = url.render_as_string(hide_password=True)
        secret = {"password": password} if password else {}
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args={**ARGUMENTS, **secret}
        )

    def connect(self) -> Connection:
        """As Place.connect. Raises InvalidInput for a server that does not write commits to disk."""
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            raise Unavailable(f"the database {self.name} cannot be reached: {_line(error)}") from error
        with connection.begin():
            for statement in SESSION:
                connection.execute(text(statement))
            if _setting(connection, "synchronous_commit") == "off":
                connection.execute(text("SET synchronous_commit = on"))
            durable = _setting(connection, "fsync") == "on"
        if not durable:
            connection.close()
            raise InvalidInput(
                f"the database {self.name} runs with fsync off: what is acknowledged would not survive a power cut;"
                " set fsync = on in postgresql.conf"
            )
        return connection

    def lock(self, connection: Connection) -> None:
        """As Place.lock."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            with connection.begin():
                if connection.scalar(text(TRY_LOCK), {"key": LOCK}):
                    return
            if time.monotonic() > deadline:
                raise Unavailable(f"another control plane has the database {self.name} open")
            time.sleep(0.1)

    def lives(self, connection: Connection) -> bool:
        """As Place.lives: an idle server sends nothing but its farewell, so readable means over."""
        handle = connection.connection.dbapi_connection
        if handle is None:
            return False
        poll = select.poll()
        poll.register(handle.fileno(), select.POLLIN)
        return not poll.poll(0)

    def trouble(self, error: DBAPIError) -> str:
        """As Place.trouble."""
        state = getattr(error.orig, "sqlstate", None) or ""
        return _line(error) if error.connection_invalidated or state.startswith(TRANSIENT) else ""

    def close(self) -> None:
        """As Place.close."""
        self._engine.dispose()


def _setting(connection: Connection, name: str) -> Any:
    return connection.scalar(text("SELECT current_setting(:name)"), {"name": name})


def _line(error: DBAPIError) -> str:
    """The server's or the driver's own words, on one line."""
    return " ".join(str(error.orig).split())
