"""A job's description is one of its request's parameters, which params has."""

import sqlite3

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DROPS_COLUMNS = (3, 35)
"""The first SQLite that can. Before, only a new table could do it, and dropping the old one would delete all rows."""


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite" or sqlite3.sqlite_version_info >= DROPS_COLUMNS:
        op.drop_column("project_export_job", "description")


def downgrade() -> None:
    bind = op.get_bind()
    if "description" not in {column["name"] for column in sa.inspect(bind).get_columns("project_export_job")}:
        op.add_column("project_export_job", sa.Column("description", sa.Text))
    if bind.dialect.name == "sqlite":
        op.execute("UPDATE project_export_job SET description = json_extract(params, '$.description')")
    else:
        op.execute("UPDATE project_export_job SET description = params ->> 'description'")
