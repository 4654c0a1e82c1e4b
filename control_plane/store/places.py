"""Where a database is: what SQLite and PostgreSQL do differently; it writes nothing and knows no table.

The rule that one process writes has its first half here: a place hands out a connection only while this process holds
the writer's lock. The second half, by which a writer that has lost its lock without noticing cannot commit, is the
fence in `writer.py`.
"""

from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from control_plane.store.postgresql import PostgresPlace
from control_plane.store.sqlite import SqlitePlace
from schema.errors import InvalidInput


class Place(Protocol):
    """A database that can be reached."""

    name: str
    """For messages: a path or an address, never a secret."""

    def connect(self) -> Connection:
        """A connection on which every commit that has returned is on disk. Raises Unavailable."""

    def lock(self, connection: Connection) -> None:
        """Take the writer's lock, for as long as `connection` lives. Raises Unavailable when another has it."""

    def lives(self, connection: Connection) -> bool:
        """Whether an idle connection is still open, as far as can be told without asking the server."""

    def trouble(self, error: DBAPIError) -> str:
        """Why a transaction did not come about that may later; empty for what no later attempt will cure."""

    def close(self) -> None:
        """Give everything back."""


def place_of(url: str, *, password: str = "") -> Place:
    """The place that `url` names: `sqlite:////path` or `postgresql://user@host/name`. `password` is for the latter.

    Raises InvalidInput for any other, and for a URL that shows a password; Unavailable where the file cannot be had.
    """
    parsed = _parsed(url)
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and not parsed.query:
            return SqlitePlace(parsed.database)
        case "postgresql" if parsed.password:
            raise InvalidInput("[database] url shows a password: put it into a file (0600) that password_file names")
        case "postgresql" if parsed.database:
            return PostgresPlace(parsed, password=password)
    raise InvalidInput(
        f"[database] url {parsed.render_as_string()!r} is neither sqlite:////path nor postgresql://user@host/name"
    )


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise InvalidInput("[database] url is not a database URL: sqlite:////path or postgresql://…") from error
