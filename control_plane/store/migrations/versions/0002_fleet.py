"""The tables and columns of the fleet: the fence, the audit, and what rollouts, liveness and identity keep."""

from alembic import op
from sqlalchemy import BigInteger, Column, String, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them. What older programs look at tells them to keep away."""
    op.add_column("database", Column("commits", BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE database SET schema_version = 2")
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
