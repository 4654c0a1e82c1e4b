"""The tables of the control plane's database; it opens none and writes no row.

Every table of a realm's state carries the realm, and is part of the snapshot unless it is set APART. A change of the
tables needs a migration (`migrations/versions`); a test compares both and prints what is missing.
"""

from functools import cache

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text

SCHEMA_VERSION = 2
"""Of the column `database.schema_version`: what programs from before the migrations look at, and refuse."""
REVISION = "0005"
"""The newest of the migrations: what databases have that were made from the tables below."""
APART = {"apart": True}
"""A table's `info`: its rows are not loaded with the snapshot, but asked for."""

metadata = MetaData()

database = Table(
    "database",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("starts", Integer, nullable=False),
    Column("commits", BigInteger, nullable=False),
    Column("audited", BigInteger, nullable=False, server_default="0"),
)
realms = Table(
    "realms",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("origin", Text, nullable=False),
)
generations = Table(
    "generations",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("header", Text, nullable=False),
    Column("rollout", LargeBinary, nullable=False),
    Column("published_at_ms", BigInteger, nullable=False),
)
vm_specs = Table(
    "vm_specs",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("spec", LargeBinary, nullable=False),
)
rollouts = Table(
    "rollouts",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("placed_ms", BigInteger, nullable=False),
    Column("waves", Text, nullable=False),
    Column("failed", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
)
placements = Table(
    "placements",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("instance", String(70), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("worker_id", String(63), nullable=False),
    Column("address", String(18), nullable=False),
    Column("reserved", Text, nullable=False),
    Column("leaving", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
)
workers = Table(
    "workers",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("worker_id", String(63), primary_key=True),
    Column("facts", Text, nullable=False),
    Column("subnet", String(18), nullable=False),
    Column("revision", BigInteger, nullable=False),
)
last_good = Table(
    "last_good",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("instance", String(70), primary_key=True),
    Column("generation", BigInteger, nullable=False),
)
volume_bindings = Table(
    "volume_bindings",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("instance", String(70), primary_key=True),
    Column("worker_id", String(63), nullable=False),
)
holds = Table(
    "holds",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("against", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)
admissions = Table(
    "admissions",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("worker_id", String(63), primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("admission", String(20), nullable=False),
    Column("facts", Text, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    Column("peer", Text, nullable=False),
    Column("decided_at_ms", BigInteger, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
retired_keys = Table(
    "retired_keys",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("worker_id", String(63), nullable=False),
    Column("retired_at_ms", BigInteger, nullable=False),
    Column("retired_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
tokens = Table(
    "tokens",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("role", String(20), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger, nullable=False),
)
join_tokens = Table(
    "join_tokens",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("worker_id", String(63), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("used_by", Text, nullable=False),
)
cordons = Table(
    "cordons",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("worker_id", String(63), primary_key=True),
    Column("draining", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
evictions = Table(
    "evictions",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("worker_id", String(63), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("instances", Text, nullable=False),
    Column("fenced", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("lease_ms", BigInteger, nullable=False),
)
digests = Table(
    "digests",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("digest", String(64), nullable=False),
    info=APART,
)
audit = Table(
    "audit",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("old", Text, nullable=False),
    Column("new", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    info=APART,
)
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("realm", String(63), primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    info=APART,
)


@cache
def has_bytes(name: str) -> bool:
    """Whether any column of the table is of bytes; not where there is no such table."""
    table = metadata.tables.get(name)
    return table is not None and any(isinstance(column.type, LargeBinary) for column in table.columns)


def columns_of(name: str) -> tuple[str, ...]:
    """The columns of a table in their order, the realm first."""
    return tuple(metadata.tables[name].columns.keys())


def keys_of(name: str) -> tuple[str, ...]:
    """The columns that a table's rows are known by, in their order; the first ones of the table."""
    return tuple(column.name for column in metadata.tables[name].primary_key.columns)
