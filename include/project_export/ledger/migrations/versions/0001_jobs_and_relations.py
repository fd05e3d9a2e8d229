"""The job and relation_export tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)
_STATES = "state IN ('queued', 'started', 'finished', 'failed')"
_ACTIVE = "state IN ('queued', 'started')"


def upgrade() -> None:
    op.create_table(
        "project_export_job",
        sa.Column("id", _BIG_KEY, sa.Identity(), primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("project_id", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("consistency", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("errors", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("snapshot_generation", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("snapshot_id", sa.Text),
        sa.Column("snapshot_at", _TIME),
        sa.Column("archive_uri", sa.Text),
        sa.Column("archive_bytes", sa.BigInteger),
        sa.Column("archive_sha256", sa.Text),
        sa.Column("records", sa.BigInteger),
        sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint(_STATES, name="project_export_job_state"),
        sa.CheckConstraint("consistency IN ('relation', 'project')", name="project_export_job_consistency"),
        sa.CheckConstraint("project_id > 0", name="project_export_job_project_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "project_export_job_active",
        "project_export_job",
        ["source", "tree", "project_id"],
        unique=True,
        postgresql_where=sa.text(_ACTIVE),
        sqlite_where=sa.text(_ACTIVE),
    )
    op.create_index("project_export_job_run", "project_export_job", ["run_id"])
    op.create_index("project_export_job_project", "project_export_job", ["project_id", "state"])
    op.create_table(
        "relation_export",
        sa.Column("id", _BIG_KEY, sa.Identity(), primary_key=True),
        sa.Column(
            "job_id",
            _BIG_KEY,
            sa.ForeignKey("project_export_job.id", name="relation_export_job", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("relation", sa.Text, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False),
        sa.Column("parts", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("estimate", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("deaths", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("owner", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("sqlstate", sa.Text),
        sa.Column("generation", sa.BigInteger),
        sa.Column("rows", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("raw_bytes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("stored_bytes", sa.BigInteger),
        sa.Column("crc32", sa.BigInteger),
        sa.Column("stored_crc32", sa.BigInteger),
        sa.Column("sha256", sa.Text),
        sa.Column("uri", sa.Text),
        sa.Column("remarks", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("heartbeat_at", _TIME),
        sa.Column("available_at", _TIME),
        sa.Column("queued_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint(_STATES, name="relation_export_state"),
        sa.CheckConstraint("part >= 0 AND part < parts", name="relation_export_part"),
        sa.UniqueConstraint("job_id", "relation", "part", name="relation_export_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("relation_export_job_state", "relation_export", ["job_id", "state"])


def downgrade() -> None:
    op.drop_table("relation_export")
    op.drop_table("project_export_job")
