"""The table of digests. Databases of 0002 may have it already: for a while 0002 made it."""

from alembic import op
from sqlalchemy import Column, String, inspect

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it where it is not."""
    if "digests" in inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        "digests",
        Column("realm", String(63), primary_key=True),
        Column("digest", String(64), nullable=False),
    )
