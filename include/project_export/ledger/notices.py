"""The project_export_notice table: which outcome of a job was told over which channel."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from project_export.ledger.base import Book
from project_export.ledger.models import ProjectExportNotice
from project_export.ledger.records import Outcome


class Notices(Book):
    """What whoever tells people of a job's end needs, so that each outcome is told once over each channel.

    A job that is opened again has no notices (`Jobs.reopen_job`): its next end is another one.
    """

    def take_notice(self, job_id: int, outcome: Outcome, channel: str) -> bool:
        """Take it upon oneself to tell an outcome over a channel; return False when somebody else has.

        Of many at once, one is told True.
        """
        values = {"job_id": job_id, "outcome": outcome, "channel": channel}
        with self._write() as connection:
            insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
            statement = insert(ProjectExportNotice).values(values).on_conflict_do_nothing()
            return bool(connection.execute(statement.returning(ProjectExportNotice.channel)).all())

    def release_notice(self, job_id: int, outcome: Outcome, channel: str) -> None:
        """Say that a notice that was taken could not be sent, so that it can be tried again."""
        statement = delete(ProjectExportNotice).where(
            ProjectExportNotice.job_id == job_id,
            ProjectExportNotice.outcome == outcome,
            ProjectExportNotice.channel == channel,
        )
        with self._write() as connection:
            connection.execute(statement)
