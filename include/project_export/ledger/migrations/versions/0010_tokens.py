"""Tokens of the API, how often each user has called it in the present minute, and jobs by the path of their project."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "project_export_token",
        sa.Column("id", _BIG_KEY, sa.Identity(), primary_key=True),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("claims", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("sha256", name="project_export_token_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("project_export_token_user", "project_export_token", ["user_name", "id"])
    op.create_table(
        "project_export_rate",
        sa.Column("user_name", sa.Text, primary_key=True),
        sa.Column("action", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    op.create_index("project_export_rate_minute", "project_export_rate", ["minute"])
    path = "json_extract(plan, '$.project')" if op.get_bind().dialect.name == "sqlite" else "plan ->> 'project'"
    op.create_index("project_export_job_by_path", "project_export_job", [sa.text(f"lower({path})"), "id"])


def downgrade() -> None:
    op.drop_index("project_export_job_by_path", "project_export_job")
    op.drop_table("project_export_rate")
    op.drop_table("project_export_token")
