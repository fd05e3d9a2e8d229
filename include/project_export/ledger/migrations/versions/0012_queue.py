"""Jobs are admitted in turn, and a notice may say that a job is late."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_JOB, _NOTICE = "project_export_job", "project_export_notice"
_USER, _CHECK = "project_export_job_user", "project_export_notice_outcome"
_OUTCOMES = ("finished", "failed", "cancelled")


def upgrade() -> None:
    op.add_column(_JOB, sa.Column("admitted_at", sa.DateTime(timezone=True)))
    op.create_index(_USER, _JOB, ["requested_by", "admitted_at"])
    _allow(*_OUTCOMES, "late")


def downgrade() -> None:
    notice = sa.table(_NOTICE, sa.column("outcome"))
    op.execute(notice.delete().where(notice.c.outcome == "late"))
    _allow(*_OUTCOMES)
    op.drop_index(_USER, _JOB)
    op.execute(f"ALTER TABLE {_JOB} DROP COLUMN admitted_at")


def _allow(*outcomes: str) -> None:
    condition = f"outcome IN ({', '.join(map(repr, outcomes))})"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(_CHECK, _NOTICE)
        op.create_check_constraint(_CHECK, _NOTICE, condition)
        return
    # The copy of the table has no CHECK but this one.
    with op.batch_alter_table(_NOTICE, recreate="always") as table:
        table.create_check_constraint(_CHECK, condition)
