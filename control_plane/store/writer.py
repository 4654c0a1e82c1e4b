"""The single writer of a database: one connection, a fence in every transaction, and what became of a lost commit.

The fence: each open raises `database.starts`; each transaction begins by raising `database.commits` of the row that
still has this writer's `starts`. A writer whose lock went elsewhere (its connection broke and it slept meanwhile, or
somebody deleted the lock file) finds no such row, or waits until the other's transaction is over and then finds none:
it cannot commit over what the other has written. It decides nothing about what is written.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Never, TypeVar

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.exc import DBAPIError

from control_plane.store.places import Place
from control_plane.store.tables import database
from schema.errors import Conflict, Unavailable

T = TypeVar("T")
_COLUMNS = database.c
_FENCE = (
    database.update()
    .where(_COLUMNS.id == 1, _COLUMNS.starts == bindparam("mine"), _COLUMNS.commits == bindparam("known"))
    .values(commits=bindparam("next"))
)
"""Made once: making a statement anew costs more than carrying it out."""


class Superseded(Conflict):
    """Another control plane has opened the database since; this one must end."""


class Doubtful(Unavailable):
    """The connection broke while a commit was under way: `settle` tells whether it was written."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the database says of itself: its epoch, how often it was opened, and how many commits it has seen."""

    epoch: str
    starts: int
    commits: int


class Writer:
    """The connection that writes. Everything blocks, and is called from one thread at a time."""

    def __init__(self, place: Place, *, prepare: Callable[[Connection], Opened]) -> None:
        """Take the lock and `prepare` the database in one transaction. Raises Unavailable, and what `prepare` does."""
        self._place = place
        self._doubt = False
        with ExitStack() as undo:
            connection = place.connect()
            undo.callback(connection.close)
            place.lock(connection)
            with connection.begin():
                self.opened = prepare(connection)
            undo.pop_all()
        self._commits = self.opened.commits
        self._connection: Connection | None = connection

    def write(self, body: Callable[[Connection], T]) -> T:
        """Do `body` in one transaction, whole or not at all; it is on disk when this returns.

        Raises Unavailable (nothing was written), Doubtful and Superseded; and DBAPIError, after which the process must
        not go on, for it is unknown what is on disk.
        """
        if self._doubt:
            raise Doubtful("the database has not said yet whether the commit before this one was written")
        committing = False
        try:
            connection = self._reached()
            with connection.begin():
                self._pass_fence(connection)
                answer = body(connection)
                committing = True
        except DBAPIError as error:
            self._doubt = committing and error.connection_invalidated
            self._raise(error)
        self._commits += 1
        return answer

    def read(self, body: Callable[[Connection], T]) -> T:
        """Do `body` in a transaction that writes nothing. Raises as `write`."""
        try:
            connection = self._reached()
            with connection.begin():
                return body(connection)
        except DBAPIError as error:
            self._raise(error)

    def settle(self) -> bool:
        """Whether the doubtful commit was written. Raises Unavailable while the database cannot be reached."""
        expected = self._commits + 1
        written = bool(self.read(_row).commits == expected)
        if written:
            self._commits = expected
        self._doubt = False
        return written

    def close(self) -> None:
        """Give the database back."""
        self._drop()
        self._place.close()

    def _pass_fence(self, connection: Connection) -> None:
        known = {"mine": self.opened.starts, "known": self._commits, "next": self._commits + 1}
        if connection.execute(_FENCE, known).rowcount != 1:
            raise self._superseded()

    def _superseded(self) -> Superseded:
        return Superseded(f"another control plane has opened the database {self._place.name}; this one ends")

    def _reached(self) -> Connection:
        """The connection; a new one, with the lock, where the last one broke or was ended from the other side."""
        if self._connection is not None and not self._place.lives(self._connection):
            self._drop()
        if self._connection is None:
            with ExitStack() as undo:
                connection = self._place.connect()
                undo.callback(connection.close)
                self._check_row(connection)  # first, for whoever has taken over also has the lock
                self._place.lock(connection)
                self._check_row(connection)
                undo.pop_all()
            self._connection = connection
        return self._connection

    def _check_row(self, connection: Connection) -> None:
        with connection.begin():
            if _row(connection).starts != self.opened.starts:
                raise self._superseded()

    def _raise(self, error: DBAPIError) -> Never:
        if error.connection_invalidated:
            self._drop()
        if self._doubt:
            raise Doubtful(f"the database {self._place.name} went away during a commit: {error.orig}") from error
        if reason := self._place.trouble(error):
            raise Unavailable(f"the database cannot be written now: {reason}") from error
        raise error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _row(connection: Connection) -> Row[Any]:
    return connection.execute(select(database).where(database.c.id == 1)).one()
