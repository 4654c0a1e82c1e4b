"""One number for all rows of a realm, kept up by difference: damage that a database does not notice shows against it.

The digest is the sum of the rows' hashes, so that it follows a change by the rows that the change takes away and puts.
It guards against failing disks and stray hands, not against somebody who knows how it is made. It knows no database.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

from control_plane.store import tables
from control_plane.store.rows import Slice, Values

BITS = 256
_MODULUS = 1 << BITS


def first_digest(epoch: str) -> int:
    """The digest of no rows, in the database of that epoch."""
    return _sum("database", [(epoch,)])


def digest_of(rows: Mapping[str, Sequence[Mapping[str, Any]]], *, epoch: str) -> int:
    """The digest of these rows, by table; each has its columns in their order."""
    found = sum(_sum(table, [tuple(row.values()) for row in some]) for table, some in rows.items())
    return (first_digest(epoch) + found) % _MODULUS


def digest_after(digest: int, table: str, change: Slice) -> int:
    """The digest after a change of a table."""
    put, taken = (*change.fresh, *change.altered), (*change.gone, *change.lost)
    return (digest + _sum(table, put) - _sum(table, taken)) % _MODULUS


def text_of(digest: int) -> str:
    """As it is stored: 64 hexadecimal digits."""
    return f"{digest:064x}"


def _sum(table: str, rows: Iterable[Values]) -> int:
    """Of the hashes of rows: of their values as text, with zeros between, which no text in a database has."""
    found, has_bytes = 0, tables.has_bytes(table)
    for row in rows:
        values = tuple([value.hex() if type(value) is bytes else value for value in row]) if has_bytes else row
        text = _form(table, len(values)) % values
        found += int.from_bytes(blake2b(text.encode(), digest_size=BITS // 8).digest(), "big")
    return found


@cache
def _form(table: str, columns: int) -> str:
    return "\0".join((table, *["%s"] * columns))
