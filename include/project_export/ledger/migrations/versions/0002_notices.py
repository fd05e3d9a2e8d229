"""Which notices were sent, and what retention asks for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "project_export_notice",
        sa.Column(
            "job_id",
            _BIG_KEY,
            sa.ForeignKey("project_export_job.id", name="project_export_notice_job", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("outcome IN ('finished', 'failed', 'cancelled')", name="project_export_notice_outcome"),
    )
    op.create_index("project_export_job_ended", "project_export_job", ["finished_at"])


def downgrade() -> None:
    op.drop_index("project_export_job_ended", "project_export_job")
    op.drop_table("project_export_notice")
