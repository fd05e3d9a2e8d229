"""Bring the ledger's tables to the version that this package needs, or say that they are not."""

from __future__ import annotations

from sqlalchemy import Engine, column, func, inspect, select, table

from project_export.errors import LedgerOutdated
from project_export.ledger.base import answering
from project_export.ledger.engine import prepare, writing
from project_export.ledger.models import REVISION

VERSION_TABLE = "project_export_alembic_version"

_LOCK = 0x70726F6A6578  # any constant of our own: two upgrades at once take turns


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables; does nothing when they are up to date. Safe to run several times at once.

    Raises LedgerBusy when the database does not answer.
    """
    from alembic import command  # 0.1 s to import, and only set-up needs it
    from alembic.config import Config

    prepare(engine)
    config = Config()
    config.set_main_option("script_location", "project_export.ledger:migrations")
    with answering(), writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(engine: Engine) -> None:
    """Raise LedgerOutdated unless the tables are of the version that this package needs, or LedgerBusy."""
    with answering(), engine.connect() as connection:
        found: list[str] = []
        if inspect(connection).has_table(VERSION_TABLE):
            found = list(connection.scalars(select(column("version_num")).select_from(table(VERSION_TABLE))))
    if found != [REVISION]:
        has = f"is at version {', '.join(found)}" if found else "has no tables"
        raise LedgerOutdated(
            f"The ledger {has}; this package needs version {REVISION}. Run: project-export ledger upgrade"
        )
