"""Read-only questions about jobs and their rows, for every reader: commands, pages, scripts, and the steps."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, select

from project_export.errors import WHOLE, Failure
from project_export.ledger.columns import clock
from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.reading import JOB, active_job, job_of, missing, newest_job, of_project, rows_where, the_job
from project_export.ledger.records import Job, Progress, Row
from project_export.ledger.states import FAILED, FINISHED, QUEUED, STARTED


class Queries:
    """What the ledger says about jobs and their rows. Nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def job(self, job_id: int) -> Job:
        """Return a job. Raises JobMissing."""
        with self._database.read() as connection:
            return the_job(connection, job_id)

    def job_of_run(self, run_id: str) -> Job | None:
        """Return the newest job of a run, None if it has none."""
        with self._database.read() as connection:
            return newest_job(connection, ProjectExportJob.run_id == run_id)

    def latest_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the newest job of a project in any state, None if it has none."""
        with self._database.read() as connection:
            return newest_job(connection, *of_project(source, tree, project_id))

    def active_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the queued or started job of a project, None if it has none."""
        with self._database.read() as connection:
            return active_job(connection, source, tree, project_id)

    def latest_archive(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the newest job of a project that has published an archive, which may have been pruned; else None."""
        with self._database.read() as connection:
            had = ProjectExportJob.archive_bytes.is_not(None)
            return newest_job(connection, had, *of_project(source, tree, project_id))

    def jobs(self, most: int, project_id: int | None = None) -> list[Job]:
        """Return at most `most` jobs of one project, or of all, newest first."""
        query = select(JOB).order_by(ProjectExportJob.id.desc()).limit(most)
        if project_id is not None:
            query = query.where(ProjectExportJob.project_id == project_id)
        with self._database.read() as connection:
            return [job_of(found) for found in connection.execute(query).mappings()]

    def rows(self, job_id: int, state: str | None = None) -> list[Row]:
        """Return the rows of a job in the order of the archive: by position, then part.

        state: return only the rows in this state.
        """
        conditions = [RelationExport.job_id == job_id]
        if state is not None:
            conditions.append(RelationExport.state == state)
        with self._database.read() as connection:
            return rows_where(connection, *conditions)

    def progress(self, job_id: int) -> Progress:
        """Return how far a job is. Raises JobMissing."""
        with self._database.read() as connection:
            found = connection.execute(progress_query(job_id)).mappings().one_or_none()
        if found is None:
            raise missing(job_id)
        return Progress(**found)

    def failures(self, job_id: int) -> list[Failure]:
        """Return the last error of each failed row in the order of the archive, and the number of cancelled rows."""
        failed = self.rows(job_id, FAILED)
        own = [row for row in failed if not row.cancelled]
        found = [
            Failure(
                row.relation,
                row.attempt,
                (f"part {row.part + 1} of {row.parts}: " if row.parts > 1 else "") + (row.error or "no error was kept"),
                row.sqlstate,
                row.finished_at.isoformat(" ", "seconds") if row.finished_at else None,
                row.error_code,
            )
            for row in own
        ]
        if len(own) < len(failed):
            said = f"{len(failed) - len(own)} other relation(s) or part(s) were cancelled"
            found.append(Failure(WHOLE, 0, said, code="Cancelled"))
        return found

    def omissions(self, job_id: int) -> tuple[str, ...]:
        """Return what the source has, or may have, and the job's parts lack, without duplicates."""
        return tuple(dict.fromkeys(text for row in self.rows(job_id) for text in row.omissions))


def progress_query(job_id: int) -> Any:
    """Return the query behind `Queries.progress`."""

    def in_state(state: str) -> ColumnElement[int]:
        return func.count(RelationExport.id).filter(RelationExport.state == state).label(state)

    def total(column: Any) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(column), 0), BigInteger).label(column.key)

    return (
        select(
            ProjectExportJob.state,
            ProjectExportJob.snapshot_generation.label("generation"),
            *(in_state(state) for state in (QUEUED, STARTED, FINISHED, FAILED)),
            *(total(column) for column in (RelationExport.rows, RelationExport.raw_bytes, RelationExport.estimate)),
            cast(
                func.coalesce(func.sum(RelationExport.estimate).filter(RelationExport.state == FINISHED), 0), BigInteger
            ).label("estimate_done"),
            func.min(RelationExport.started_at).label("began"),
            clock().label("now"),
        )
        .outerjoin(RelationExport, RelationExport.job_id == ProjectExportJob.id)
        .where(ProjectExportJob.id == job_id)
        .group_by(ProjectExportJob.id)
    )
