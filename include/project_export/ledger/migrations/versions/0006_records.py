"""Records are called records, and indexes by which pages of jobs are read."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not by a batch: SQLite would rebuild the table. Since 3.25 it renames a column in place.
    op.execute("ALTER TABLE relation_export RENAME COLUMN rows TO records")
    for name in ("source", "project_id", "state"):
        op.create_index(_index(name), "project_export_job", [name, "id"])


def downgrade() -> None:
    for name in ("source", "project_id", "state"):
        op.drop_index(_index(name), "project_export_job")
    op.execute("ALTER TABLE relation_export RENAME COLUMN records TO rows")


def _index(column: str) -> str:
    return f"project_export_job_by_{column.removesuffix('_id')}"
