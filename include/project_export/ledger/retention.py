"""What may be forgotten: jobs and archives past their time, and the lock under which that is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update
from sqlalchemy.orm import aliased

from project_export.ledger.base import Book
from project_export.ledger.columns import clock
from project_export.ledger.jobs import job_record
from project_export.ledger.models import ProjectExportJob
from project_export.ledger.records import Job
from project_export.ledger.states import ENDED, PENDING

_JOB = ProjectExportJob.__table__


class Ended:
    """An ended job, locked: as long as the block lasts, nobody can open it again or work for it."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self.job = job
        self._connection = connection

    def forget_archive(self) -> None:
        """Say that the archive is no longer in the store. Its size and checksum stay."""
        self._connection.execute(
            update(ProjectExportJob).where(ProjectExportJob.id == self.job.id).values(archive_uri=None)
        )

    def delete(self) -> None:
        """Delete the job with its relations and notices."""
        self._connection.execute(delete(ProjectExportJob).where(ProjectExportJob.id == self.job.id))


class Retention(Book):
    """What pruning reads and forgets. All ages are by the database's clock, from a job's end."""

    def active_jobs(self) -> list[Job]:
        """Return all jobs that are queued or started, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(PENDING))

    def ended_jobs(self) -> list[Job]:
        """Return all jobs that are finished or failed, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(ENDED))

    def recently_ended(self, seconds: float) -> list[Job]:
        """Return the jobs that ended less than so many seconds ago, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(ENDED), ProjectExportJob.finished_at >= clock(-seconds))

    def expired_archives(self, seconds: float) -> list[Job]:
        """Return the ended jobs whose archive is older than that, but for the last archive of a project in work."""
        return self._jobs(_archive_expired(seconds))

    def expired_jobs(self, seconds: float, archive_seconds: float) -> list[Job]:
        """Return the jobs that ended longer ago than `seconds` and have no archive, or an expired one."""
        no_archive = or_(ProjectExportJob.archive_uri.is_(None), _archive_expired(archive_seconds))
        return self._jobs(_ended_before(seconds), no_archive)

    @contextmanager
    def locked(self, job: Job) -> Iterator[Ended | None]:
        """Lock a job that was seen as ended, and give None when it has been opened again or deleted since.

        What the block forgets is kept when it raises nothing.
        """
        query = select(_JOB).where(ProjectExportJob.id == job.id, ProjectExportJob.state.in_(ENDED)).with_for_update()
        with self._write() as connection:
            found = [job_record(row) for row in connection.execute(query).mappings()]
            same = [one for one in found if one.finished_at == job.finished_at]
            yield Ended(connection, same[0]) if same else None

    def _jobs(self, *conditions: ColumnElement[bool]) -> list[Job]:
        query = select(_JOB).where(*conditions).order_by(ProjectExportJob.id)
        with self._read() as connection:
            return [job_record(found) for found in connection.execute(query).mappings()]


def _ended_before(seconds: float) -> ColumnElement[bool]:
    return and_(ProjectExportJob.state.in_(ENDED), ProjectExportJob.finished_at < clock(-seconds))


def _archive_expired(seconds: float) -> ColumnElement[bool]:
    return and_(ProjectExportJob.archive_uri.is_not(None), _ended_before(seconds), ~_last_while_in_work())


def _last_while_in_work() -> ColumnElement[bool]:
    """Return the condition that a job has the newest archive of a project that is being exported anew."""
    other = aliased(ProjectExportJob)
    same_project = and_(
        other.source == ProjectExportJob.source,
        other.tree == ProjectExportJob.tree,
        other.project_id == ProjectExportJob.project_id,
    )
    in_work = exists().where(same_project, other.state.in_(PENDING))
    newer = exists().where(
        same_project, other.state.in_(ENDED), other.archive_uri.is_not(None), other.id > ProjectExportJob.id
    )
    return and_(in_work, ~newer)
