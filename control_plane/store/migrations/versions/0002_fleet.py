"""The tables and columns of the fleet: the fence, the audit, and what rollouts, liveness and identity keep."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, String, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them. What older programs look at tells them to keep away."""
    op.add_column("database", Column("commits", BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE database SET schema_version = 2")
    _of_audit()
    _of_identity()
    _of_rollouts()
    _of_liveness()


def _of_audit() -> None:
    op.create_table(
        "audit",
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
    )
    op.create_table(
        "audit_heads",
        Column("realm", String(63), primary_key=True),
        Column("rows", BigInteger, nullable=False),
        Column("hash", String(64), nullable=False),
    )


def _of_identity() -> None:
    op.create_table(
        "admissions",
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
    op.create_table(
        "retired_keys",
        Column("realm", String(63), primary_key=True),
        Column("fingerprint", String(64), primary_key=True),
        Column("worker_id", String(63), nullable=False),
        Column("retired_at_ms", BigInteger, nullable=False),
        Column("retired_by", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("revision", BigInteger, nullable=False),
    )
    op.create_table(
        "tokens",
        Column("realm", String(63), primary_key=True),
        Column("name", String(63), primary_key=True),
        Column("sha256", String(64), nullable=False),
        Column("role", String(20), nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("expires_at_ms", BigInteger, nullable=False),
        Column("revoked_at_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "join_tokens",
        Column("realm", String(63), primary_key=True),
        Column("sha256", String(64), primary_key=True),
        Column("worker_id", String(63), nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
        Column("expires_at_ms", BigInteger, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("used_by", Text, nullable=False),
    )


def _of_rollouts() -> None:
    op.add_column("placements", Column("attempt", BigInteger, nullable=False, server_default="0"))
    op.add_column("rollouts", Column("waves", Text, nullable=False, server_default="[]"))
    op.add_column("rollouts", Column("failed", Text, nullable=False, server_default="{}"))
    op.add_column("rollouts", Column("actor", Text, nullable=False, server_default=""))
    op.add_column("rollouts", Column("started_ms", BigInteger, nullable=False, server_default="0"))
    op.add_column("rollouts", Column("ended_ms", BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "holds",
        Column("realm", String(63), primary_key=True),
        Column("id", String(63), primary_key=True),
        Column("generation", BigInteger, nullable=False),
        Column("against", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
    )


def _of_liveness() -> None:
    op.create_table(
        "cordons",
        Column("realm", String(63), primary_key=True),
        Column("worker_id", String(63), primary_key=True),
        Column("draining", Boolean, nullable=False),
        Column("reason", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        Column("until_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "evictions",
        Column("realm", String(63), primary_key=True),
        Column("worker_id", String(63), primary_key=True),
        Column("revision", BigInteger, nullable=False),
        Column("instances", Text, nullable=False),
        Column("fenced", Boolean, nullable=False),
        Column("at_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        Column("realm", String(63), primary_key=True),
        Column("lease_ms", BigInteger, nullable=False),
    )
