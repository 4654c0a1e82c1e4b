"""How many rows of the audit were ever written, beside what makes a database this one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add it, as many as the heads say now."""
    op.add_column("database", sa.Column("audited", sa.BigInteger, nullable=False, server_default="0"))
    heads = sa.table("audit_heads", sa.column("rows", sa.BigInteger))
    database = sa.table("database", sa.column("audited", sa.BigInteger))
    rows = sa.select(sa.func.coalesce(sa.func.sum(heads.c.rows), 0)).scalar_subquery()
    op.execute(database.update().values(audited=rows))
