"""How a job ended, which rows were cancelled because of another, and what kind of error each row had: as columns."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OUTCOMES = ("finished", "failed", "cancelled")
# How earlier versions wrote it into the error's text.
_CANCELLED_ROW = "cancelled: "
_CANCELLED_JOB = "was cancelled or is gone"


def upgrade() -> None:
    op.add_column("relation_export", sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("relation_export", sa.Column("error_code", sa.Text))
    # Not by a batch: SQLite would rebuild the table, and dropping the old one would delete all rows of its jobs.
    among = ", ".join(repr(outcome) for outcome in _OUTCOMES)
    check = f"CONSTRAINT project_export_job_outcome CHECK (outcome IN ({among}))"
    op.execute(f"ALTER TABLE project_export_job ADD COLUMN outcome TEXT {check}")
    rows = sa.table("relation_export", sa.column("cancelled"), sa.column("error"), sa.column("state"))
    op.execute(
        rows.update().where(rows.c.state == "failed", rows.c.error.startswith(_CANCELLED_ROW)).values(cancelled=True)
    )
    jobs = sa.table("project_export_job", *map(sa.column, ("id", "state", "errors", "outcome")))
    ended = jobs.update().where(jobs.c.state.in_(("finished", "failed")))
    op.execute(ended.values(outcome=jobs.c.state))
    connection = op.get_bind()
    for job_id, errors in connection.execute(sa.select(jobs.c.id, jobs.c.errors).where(jobs.c.state == "failed")):
        listed = json.loads(errors) if isinstance(errors, str) else errors
        if any(error["message"].endswith(_CANCELLED_JOB) for error in listed):
            connection.execute(jobs.update().where(jobs.c.id == job_id).values(outcome="cancelled"))


def downgrade() -> None:
    op.execute("ALTER TABLE project_export_job DROP COLUMN outcome")
    with op.batch_alter_table("relation_export") as table:
        table.drop_column("error_code")
        table.drop_column("cancelled")
