"""One number for all rows of a realm, kept up by difference: damage that a database does not notice shows against it.

The digest is the sum of the rows' hashes, so that it follows a change by the rows that the change takes away and puts.
It guards against failing disks and stray hands, not against somebody who knows how it is made. It knows no database.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from control_plane.store.rows import TableChange

BITS = 256
_MODULUS = 1 << BITS


def first_digest(epoch: str) -> int:
    """The digest of no rows, in the database of that epoch."""
    return _hash("database", {"epoch": epoch})


def digest_of(rows: Mapping[str, Sequence[Mapping[str, Any]]], *, epoch: str) -> int:
    """The digest of these rows, by table."""
    found = sum(_hash(table, row) for table, some in rows.items() for row in some)
    return (first_digest(epoch) + found) % _MODULUS


def digest_after(digest: int, changes: Iterable[TableChange]) -> int:
    """The digest after `changes`."""
    for change in changes:
        digest += sum(_hash(change.table, row) for row in change.rows)
        digest -= sum(_hash(change.table, row) for row in change.lost)
    return digest % _MODULUS


def text_of(digest: int) -> str:
    """As it is stored: 64 hexadecimal digits."""
    return f"{digest:064x}"


def _hash(table: str, row: Mapping[str, Any]) -> int:
    text = json.dumps([table, sorted(row.items())], default=bytes.hex, separators=(",", ":"))
    return int.from_bytes(blake2b(text.encode(), digest_size=BITS // 8).digest())
