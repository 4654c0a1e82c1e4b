"""One realm's durable state: load the snapshot, write the next one with its audit in one transaction; no decisions.

Everything here blocks and is called from one thread at a time (`authority.py`).
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, Delete, Insert, bindparam, func, insert, select
from sqlalchemy.exc import DBAPIError

from control_plane.audit import Head, Kept, genesis, head_after
from control_plane.state import Snapshot
from control_plane.store import tables
from control_plane.store.digest import digest_after, digest_of, first_digest, text_of
from control_plane.store.migrate import migrated
from control_plane.store.places import place_of
from control_plane.store.rows import changes, snapshot_of
from control_plane.store.slices import put_slice
from control_plane.store.writer import Doubtful, Opened, Writer
from schema.errors import InvalidInput
from schema.operations import AuditEntry

MOST_AUDIT_ROWS = 1000
"""Rows of the audit that one question is answered with at most."""
USUAL_AUDIT_ROWS = 100
DAMAGED = (DBAPIError, UnicodeDecodeError)
"""What reading a damaged file ends in; the second comes from an error's own text."""
RESTORE = "restore a copy of it, or begin with a new one and publish again"


class Database:
    """One open database. `epoch` is its 128 random bits in hexadecimal, `starts` how often it has been opened."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.epoch = writer.opened.epoch
        self.starts = writer.opened.starts
        self._digests: dict[str, int] = {}
        self._doubtful: tuple[str, int] | None = None

    def load(self, realm: str) -> Snapshot:
        """All durable state of `realm`. Raises InvalidInput or HashMismatch when it is damaged."""
        try:
            rows, kept = self._writer.read(partial(_state, realm=realm))
        except DAMAGED as error:
            raise InvalidInput(f"the database cannot be read: {_words(error)}; {RESTORE}") from error
        found = digest_of(rows, epoch=self.epoch)
        if kept is not None and kept != text_of(found):
            raise InvalidInput(f"the database is not what was written to it: a row was changed or lost; {RESTORE}")
        self._digests[realm] = found
        return snapshot_of(epoch=self.epoch, realm=realm, rows=rows)

    def write(self, before: Snapshot | None, after: Snapshot, *, audit: Sequence[AuditEntry] = ()) -> None:
        """Put `after` in the place of `before`, and `audit` behind its chain; it is on disk when this returns.

        Raises Unavailable (nothing was written: the disk is full, the database away), Doubtful (`settle` then tells)
        and Superseded (this process must end).
        """
        found = changes(before, after)
        digest = self._digests.get(after.realm, first_digest(self.epoch))

        def body(connection: Connection) -> None:
            nonlocal digest
            for change in found:
                for rows in change.slices():
                    digest = digest_after(digest, change.table, rows)
                    put_slice(connection, change.table, rows)
            if found:
                _put_digest(connection, after.realm, digest)
            if audit:
                _append(connection, after.realm, audit)

        try:
            self._writer.write(body)
        except Doubtful:
            if self._doubtful is None:  # else it is still an earlier commit that is in doubt, and this was not begun
                self._doubtful = (after.realm, digest)
            raise
        self._digests[after.realm] = digest

    def settle(self) -> bool:
        """Whether the commit in doubt was written. Raises Unavailable while that cannot be told."""
        written = self._writer.settle()
        if written and self._doubtful:
            realm, digest = self._doubtful
            self._digests[realm] = digest
        self._doubtful = None
        return written

    def audit_start(self, realm: str) -> Head:
        """The head of the realm's empty chain."""
        return genesis(epoch=self.epoch, realm=realm)

    def audit_head(self, realm: str) -> Head:
        """The head that is kept beside the chain."""
        return self._writer.read(partial(_head, realm=realm)) or self.audit_start(realm)

    def audit_entries(self, realm: str, *, limit: int, before: int) -> tuple[AuditEntry, ...]:
        """The newest first; at most `limit` (0: 100), only sequences below `before` (0: all)."""
        table = tables.audit
        query = select(table).where(table.c.realm == realm).order_by(table.c.sequence.desc())
        if before:
            query = query.where(table.c.sequence < before)
        query = query.limit(min(limit or USUAL_AUDIT_ROWS, MOST_AUDIT_ROWS))
        return self._writer.read(lambda connection: _entries(connection, query))

    def audit_chain(self, realm: str, *, after: int, most: int) -> tuple[tuple[AuditEntry, ...], Kept]:
        """Up to `most` rows behind row `after` in their order, and what was kept beside them at the same moment."""
        table = tables.audit
        query = select(table).where(table.c.realm == realm, table.c.sequence > after)
        query = query.order_by(table.c.sequence).limit(most)

        def body(connection: Connection) -> tuple[tuple[AuditEntry, ...], Kept]:
            head = _head(connection, realm=realm) or self.audit_start(realm)
            return _entries(connection, query), Kept(head, _written(connection, realm=realm))

        return self._writer.read(body)

    def close(self) -> None:
        """Give the database back."""
        self._writer.close()


def open_database(url: str, *, new_epoch: Callable[[], str], password: str = "") -> Database:
    """Open the database at `url`, made or brought up to date if need be; `new_epoch` names a new one.

    `sqlite:////path` or `postgresql://user@host/name` (`password` is for the latter). Raises InvalidInput (no such kind
    of URL, or damaged), Conflict (a newer program's) and Unavailable (in use, away, or no such directory).
    """
    with ExitStack() as undo:
        place = place_of(url, password=password)
        undo.callback(place.close)
        try:
            database = Database(Writer(place, prepare=partial(_prepare, new_epoch=new_epoch)))
        except DAMAGED as error:
            raise InvalidInput(f"the database {place.name} cannot be used: {_words(error)}") from error
        undo.pop_all()
        return database


def _words(error: DBAPIError | UnicodeDecodeError) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else "what it says of itself is no text"


def _prepare(connection: Connection, *, new_epoch: Callable[[], str]) -> Opened:
    migrated(connection)
    database = tables.database
    row = connection.execute(select(database)).mappings().one_or_none()
    if row is None:
        opened = Opened(new_epoch(), starts=1, commits=0)
        connection.execute(database.insert().values(id=1, schema_version=tables.SCHEMA_VERSION, **asdict(opened)))
        return opened
    connection.execute(database.update().values(starts=row["starts"] + 1))
    return Opened(row["epoch"], row["starts"] + 1, row["commits"])


def _state(connection: Connection, *, realm: str) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """All rows of the snapshot by table, and the digest that is kept beside them."""
    rows = {
        name: [dict(row) for row in connection.execute(select(table).where(table.c.realm == realm)).mappings()]
        for name, table in tables.metadata.tables.items()
        if "realm" in table.c and not table.info.get("apart")
    }
    digests = tables.digests
    return rows, connection.scalar(select(digests.c.digest).where(digests.c.realm == realm))


def _put_digest(connection: Connection, realm: str, digest: int) -> None:
    connection.execute(_delete("digests"), {"key_realm": realm})
    connection.execute(_insert("digests"), {"realm": realm, "digest": text_of(digest)})


@cache
def _delete(table_name: str) -> Delete:
    table = tables.metadata.tables[table_name]
    return table.delete().where(table.c.realm == bindparam("key_realm"))


@cache
def _insert(table_name: str) -> Insert:
    return insert(tables.metadata.tables[table_name])


_AUDITED = tables.database.update().values(audited=tables.database.c.audited + bindparam("more"))


def _append(connection: Connection, realm: str, entries: Sequence[AuditEntry]) -> None:
    connection.execute(_insert("audit"), [{"realm": realm, **entry.model_dump()} for entry in entries])
    head = head_after(entries[-1])
    connection.execute(_delete("audit_heads"), {"key_realm": realm})
    connection.execute(_insert("audit_heads"), {"realm": realm, "rows": head.rows, "hash": head.hash})
    connection.execute(_AUDITED, {"more": len(entries)})


def _entries(connection: Connection, query: Any) -> tuple[AuditEntry, ...]:
    return tuple(AuditEntry.model_validate(dict(row)) for row in connection.execute(query).mappings())


def _head(connection: Connection, *, realm: str) -> Head | None:
    heads = tables.audit_heads
    row = connection.execute(select(heads.c.rows, heads.c.hash).where(heads.c.realm == realm)).one_or_none()
    return Head(row.rows, row.hash) if row else None


def _written(connection: Connection, *, realm: str) -> int:
    """How many rows of a realm's audit were ever written, by the row that makes the database this one."""
    others = select(func.count()).select_from(tables.audit).where(tables.audit.c.realm != realm)
    audited = connection.execute(select(tables.database.c.audited)).scalar_one()
    return int(audited) - int(connection.execute(others).scalar_one())
