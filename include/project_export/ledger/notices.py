"""The project_export_notice table: which outcome of a job was reported over which channel."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportNotice
from project_export.ledger.records import Reported


class Notices:
    """Who sends which notice, so that each outcome is reported once over each channel.

    Reopening a job deletes its notices (`Jobs.reopen`), so its next end is reported again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, job_id: int, outcome: Reported, channel: str) -> bool:
        """Take over reporting an outcome, or that a job is late, on a channel; return False when it is already taken.

        Of several concurrent callers, one gets True.
        """
        values = {"job_id": job_id, "outcome": outcome, "channel": channel}
        with self._database.write() as connection:
            insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
            statement = insert(ProjectExportNotice).values(values).on_conflict_do_nothing()
            return bool(connection.execute(statement.returning(ProjectExportNotice.channel)).all())

    def release(self, job_id: int, outcome: Reported, channel: str) -> None:
        """Release a notice that was taken and could not be sent, so that it can be taken again."""
        statement = delete(ProjectExportNotice).where(
            ProjectExportNotice.job_id == job_id,
            ProjectExportNotice.outcome == outcome,
            ProjectExportNotice.channel == channel,
        )
        with self._database.write() as connection:
            connection.execute(statement)
