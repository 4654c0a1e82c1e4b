"""The tables of the path: realms, generations, rollouts, placements, workers."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "database",
        Column("id", Integer, primary_key=True),
        Column("schema_version", Integer, nullable=False),
        Column("epoch", String(32), nullable=False),
        Column("starts", Integer, nullable=False),
    )
    op.create_table(
        "realms",
        Column("realm", String(63), primary_key=True),
        Column("origin", Text, nullable=False),
    )
    op.create_table(
        "generations",
        Column("realm", String(63), primary_key=True),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("header", Text, nullable=False),
        Column("rollout", LargeBinary, nullable=False),
        Column("published_at_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "vm_specs",
        Column("realm", String(63), primary_key=True),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("spec", LargeBinary, nullable=False),
    )
    op.create_table(
        "rollouts",
        Column("realm", String(63), primary_key=True),
        Column("generation", BigInteger, primary_key=True, autoincrement=False),
        Column("state", String(20), nullable=False),
        Column("reason", Text, nullable=False),
        Column("kinds", Text, nullable=False),
        Column("placed_ms", BigInteger, nullable=False),
    )
    _of_instances_and_workers()


def _of_instances_and_workers() -> None:
    op.create_table(
        "placements",
        Column("realm", String(63), primary_key=True),
        Column("instance", String(70), primary_key=True),
        Column("generation", BigInteger, nullable=False),
        Column("worker_id", String(63), nullable=False),
        Column("address", String(18), nullable=False),
        Column("reserved", Text, nullable=False),
        Column("leaving", Boolean, nullable=False),
        Column("revision", BigInteger, nullable=False),
        Column("reason", Text, nullable=False),
    )
    op.create_table(
        "workers",
        Column("realm", String(63), primary_key=True),
        Column("worker_id", String(63), primary_key=True),
        Column("facts", Text, nullable=False),
        Column("subnet", String(18), nullable=False),
        Column("revision", BigInteger, nullable=False),
    )
    op.create_table(
        "last_good",
        Column("realm", String(63), primary_key=True),
        Column("instance", String(70), primary_key=True),
        Column("generation", BigInteger, nullable=False),
    )
    op.create_table(
        "volume_bindings",
        Column("realm", String(63), primary_key=True),
        Column("instance", String(70), primary_key=True),
        Column("worker_id", String(63), nullable=False),
    )
