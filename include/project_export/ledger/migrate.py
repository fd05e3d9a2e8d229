"""Migrate the ledger's tables to the version that this package needs, or check that they have it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, column, func, inspect, select, table

from project_export.errors import LedgerOutdated
from project_export.ledger.database import answering
from project_export.ledger.engine import prepare, writing
from project_export.ledger.models import REVISION

_MIGRATIONS = Path(__file__).with_name("migrations")

VERSION_TABLE = "project_export_alembic_version"

_LOCK = 0x70726F6A6578  # an arbitrary constant: concurrent upgrades take turns


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables; do nothing if they are up to date. Safe to run concurrently.

    Raises LedgerOutdated when a newer package has migrated the tables, LedgerBusy when the database does not answer.
    """
    prepare(engine)
    with answering(), writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = _versions(connection)
        if found == [REVISION]:
            return
        _refuse_newer(found)
        from alembic import command  # takes 0.1 s and 10 MB to import, and only outdated tables need it
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "project_export.ledger:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(engine: Engine) -> None:
    """Raise LedgerOutdated unless the tables have the version that this package needs. Raises LedgerBusy."""
    with answering(), engine.connect() as connection:
        found = _versions(connection)
    if found != [REVISION]:
        _refuse_newer(found)
        has = f"is at version {', '.join(found)}" if found else "has no tables"
        raise LedgerOutdated(
            f"The ledger {has}; this package needs version {REVISION}. Run: project-export ledger upgrade --dsn DSN"
        )


def _versions(connection: Connection) -> list[str]:
    if not inspect(connection).has_table(VERSION_TABLE):
        return []
    return list(connection.scalars(select(column("version_num")).select_from(table(VERSION_TABLE))))


def _refuse_newer(found: list[str]) -> None:
    """Raise LedgerOutdated when the tables have a version that this package does not know."""
    if not found:
        return
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if newer := sorted({*found} - known):
        raise LedgerOutdated(
            f"The ledger is at version {', '.join(newer)}, which this package does not know (it needs {REVISION}): a "
            "newer project-export has migrated it. Update project-export wherever it is installed."
        )
