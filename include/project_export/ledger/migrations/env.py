"""Alembic's environment: migrates over the connection that `project_export.ledger.migrate.upgrade` hands in."""

from alembic import context

from project_export.ledger.migrate import VERSION_TABLE
from project_export.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
