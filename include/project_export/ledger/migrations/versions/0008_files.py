"""A part with files lists them, so that manifest and index can be made from the ledger alone."""

import sqlite3

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DROPS_COLUMNS = (3, 35)
"""The first SQLite that can; a file that an older one kept has the column already."""


def upgrade() -> None:
    if "files" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("relation_export")}:
        return
    op.add_column("relation_export", sa.Column("files", sa.JSON, nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite" or sqlite3.sqlite_version_info >= DROPS_COLUMNS:
        op.drop_column("relation_export", "files")
