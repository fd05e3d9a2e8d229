"""Exports of what changed in a window, and jobs that wait for their turn without being their project's active job."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLE = "project_export_job"
_ACTIVE = "project_export_job_active"
_PENDING = "state IN ('queued', 'started')"
_WINDOW = "(mode = 'changes') = (window_end IS NOT NULL) AND (window_start IS NULL OR window_start < window_end)"


def upgrade() -> None:
    op.drop_index(_ACTIVE, _TABLE)
    # Not by a batch: SQLite would rebuild the table, and dropping the old one would delete all rows of its jobs.
    mode = "CONSTRAINT project_export_job_mode CHECK (mode IN ('full', 'changes'))"
    op.execute(f"ALTER TABLE {_TABLE} ADD COLUMN mode TEXT NOT NULL DEFAULT 'full' {mode}")
    op.add_column(_TABLE, sa.Column("predecessor_id", sa.BigInteger))
    op.add_column(_TABLE, sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column(_TABLE, sa.Column("window_start", sa.DateTime(timezone=True)))
    kind = "TIMESTAMP WITH TIME ZONE" if op.get_bind().dialect.name == "postgresql" else "DATETIME"
    op.execute(
        f"ALTER TABLE {_TABLE} ADD COLUMN window_end {kind} CONSTRAINT project_export_job_window CHECK ({_WINDOW})"
    )
    _create_active(f"{_PENDING} AND NOT waiting")


def downgrade() -> None:
    op.drop_index(_ACTIVE, _TABLE)
    # A project may have several jobs that wait, which the older index does not allow.
    jobs = sa.table(_TABLE, *map(sa.column, ("state", "outcome", "waiting")))
    waiting = jobs.update().where(jobs.c.state == "queued", jobs.c.waiting)
    op.execute(waiting.values(state="failed", outcome="cancelled"))
    for name in ("window_end", "window_start", "waiting", "predecessor_id", "mode"):
        op.execute(f"ALTER TABLE {_TABLE} DROP COLUMN {name}")
    _create_active(_PENDING)


def _create_active(condition: str) -> None:
    op.create_index(
        _ACTIVE,
        _TABLE,
        ["source", "tree", "project_id"],
        unique=True,
        postgresql_where=sa.text(condition),
        sqlite_where=sa.text(condition),
    )
