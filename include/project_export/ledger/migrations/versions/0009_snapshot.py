"""A row that needs no snapshot keeps its part when the job's snapshot is replaced."""

import sqlite3

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DROPS_COLUMNS = (3, 35)
"""The first SQLite that can; a file that an older one kept has the column already."""


def upgrade() -> None:
    if "snapshot" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("relation_export")}:
        return
    op.add_column("relation_export", sa.Column("snapshot", sa.Boolean, nullable=False, server_default=sa.true()))


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite" or sqlite3.sqlite_version_info >= DROPS_COLUMNS:
        op.drop_column("relation_export", "snapshot")
