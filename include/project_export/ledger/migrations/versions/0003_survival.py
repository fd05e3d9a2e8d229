"""How often a relation has failed since its job was opened, and how long a failed job's snapshot is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "relation_export",
        sa.Column("failed_attempts", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.add_column(
        "project_export_job", sa.Column("grace_seconds", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )


def downgrade() -> None:
    with op.batch_alter_table("project_export_job") as table:
        table.drop_column("grace_seconds")
    with op.batch_alter_table("relation_export") as table:
        table.drop_column("failed_attempts")
