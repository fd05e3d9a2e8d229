"""Retention: which jobs and archives have expired, and deleting them under a lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update
from sqlalchemy.orm import aliased

from project_export.ledger.columns import clock
from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportJob
from project_export.ledger.reading import JOB, job_of, jobs_where
from project_export.ledger.records import Job
from project_export.ledger.states import ENDED, PENDING


class Ended:
    """An ended job, locked: until the block ends, nobody can reopen it."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self.job = job
        self._connection = connection

    def forget_archive(self) -> None:
        """Record that the archive was removed from the store. Its size and checksum stay."""
        self._connection.execute(
            update(ProjectExportJob).where(ProjectExportJob.id == self.job.id).values(archive_uri=None)
        )

    def delete(self) -> None:
        """Delete the job with its relations and notices."""
        self._connection.execute(delete(ProjectExportJob).where(ProjectExportJob.id == self.job.id))


class Retention:
    """What pruning reads and deletes. Ages count from a job's end, by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def active_jobs(self) -> list[Job]:
        """Return all jobs that are queued or started, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(PENDING))

    def ended_jobs(self) -> list[Job]:
        """Return all jobs that are finished or failed, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(ENDED))

    def recently_ended(self, seconds: float) -> list[Job]:
        """Return the jobs that ended less than `seconds` ago, oldest first."""
        return self._jobs(ProjectExportJob.state.in_(ENDED), ProjectExportJob.finished_at >= clock(-seconds))

    def expired_archives(self, seconds: float) -> list[Job]:
        """Return the ended jobs whose archive is older than `seconds`, oldest first.

        While a project is being exported again, its newest archive does not expire.
        """
        return self._jobs(_archive_expired(seconds))

    def expired_jobs(self, seconds: float, archive_seconds: float) -> list[Job]:
        """Return the jobs that ended longer than `seconds` ago and have no archive or an expired one, oldest first.

        archive_seconds: the age at which an archive expires.
        """
        no_archive = or_(ProjectExportJob.archive_uri.is_(None), _archive_expired(archive_seconds))
        return self._jobs(_ended_before(seconds), no_archive)

    @contextmanager
    def locked(self, job: Job) -> Iterator[Ended | None]:
        """Lock an ended job for the block; yield None if it was reopened or deleted after the caller read it.

        The block's changes are committed unless it raises.
        """
        query = select(JOB).where(ProjectExportJob.id == job.id, ProjectExportJob.state.in_(ENDED)).with_for_update()
        with self._database.write() as connection:
            found = [job_of(row) for row in connection.execute(query).mappings()]
            same = [one for one in found if one.finished_at == job.finished_at]
            yield Ended(connection, same[0]) if same else None

    def _jobs(self, *conditions: ColumnElement[bool]) -> list[Job]:
        with self._database.read() as connection:
            return jobs_where(connection, *conditions)


def _ended_before(seconds: float) -> ColumnElement[bool]:
    return and_(ProjectExportJob.state.in_(ENDED), ProjectExportJob.finished_at < clock(-seconds))


def _archive_expired(seconds: float) -> ColumnElement[bool]:
    return and_(ProjectExportJob.archive_uri.is_not(None), _ended_before(seconds), ~_newest_of_active_project())


def _newest_of_active_project() -> ColumnElement[bool]:
    """Return the condition that a job has the newest archive of a series, and another is being exported."""
    other = aliased(ProjectExportJob)
    same_project = and_(
        other.source == ProjectExportJob.source,
        other.tree == ProjectExportJob.tree,
        other.project_id == ProjectExportJob.project_id,
        other.mode == ProjectExportJob.mode,
    )
    active = exists().where(same_project, other.state.in_(PENDING))
    newer = exists().where(
        same_project, other.state.in_(ENDED), other.archive_uri.is_not(None), other.id > ProjectExportJob.id
    )
    return and_(active, ~newer)
