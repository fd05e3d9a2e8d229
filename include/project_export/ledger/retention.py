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
from project_export.ledger.series import Keep, Kept, staying
from project_export.ledger.states import ENDED, FINISHED, PENDING


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

        While a project is being exported again, its newest archive of the same mode does not expire.
        """
        return self._jobs(_archive_expired(seconds))

    def expired_jobs(self, seconds: float, archive_seconds: float) -> list[Job]:
        """Return the jobs that ended longer than `seconds` ago and have no archive or an expired one, oldest first.

        archive_seconds: the age at which an archive expires.
        """
        no_archive = or_(ProjectExportJob.archive_uri.is_(None), _archive_expired(archive_seconds))
        return self._jobs(_ended_before(seconds), no_archive)

    def staying(self, keep: Keep, archive_seconds: float) -> dict[int, str]:
        """Return why expired archives stay, by the ids of their jobs: see `series`.

        archive_seconds: the age at which an archive expires.
        """
        job = ProjectExportJob
        names = (job.id, job.source, job.tree, job.project_id, job.mode, job.state, job.params, job.predecessor_id)
        query = select(*names, job.window_end, job.finished_at, _archive_expired(archive_seconds).label("expired"))
        query = query.where(job.archive_uri.is_not(None), job.state.in_(ENDED), job.finished_at.is_not(None))
        active = select(job.predecessor_id).where(job.state.in_(PENDING), job.predecessor_id.is_not(None))
        with self._database.read() as connection:
            archives = [
                Kept(
                    found["id"],
                    (found["source"], found["tree"], found["project_id"], found["mode"]),
                    found["window_end"] or found["finished_at"],
                    found["state"] == FINISHED and not found["params"].get("relations"),
                    bool(found["expired"]),
                    found["predecessor_id"],
                )
                for found in connection.execute(query).mappings()
            ]
            needed = {job_id for job_id in connection.scalars(active) if job_id is not None}
        return staying(archives, keep, needed)

    @contextmanager
    def locked(self, job: Job) -> Iterator[Ended | None]:
        """Lock an ended job for the block; yield None if it was reopened or deleted after the caller read it.

        None is yielded as well if an active job complements its archive. The block's changes are committed unless it
        raises.
        """
        other = aliased(ProjectExportJob)
        base = exists().where(other.predecessor_id == job.id, other.state.in_(PENDING))
        ended = (ProjectExportJob.id == job.id, ProjectExportJob.state.in_(ENDED), ~base)
        query = select(JOB).where(*ended).with_for_update(of=ProjectExportJob)
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
    """Return the condition that a job has the newest archive of its series, to which an active job is to add one."""
    other = aliased(ProjectExportJob)
    same_series = and_(
        other.source == ProjectExportJob.source,
        other.tree == ProjectExportJob.tree,
        other.project_id == ProjectExportJob.project_id,
        other.mode == ProjectExportJob.mode,
    )
    active = exists().where(same_series, other.state.in_(PENDING))
    newer = exists().where(
        same_series, other.state.in_(ENDED), other.archive_uri.is_not(None), other.id > ProjectExportJob.id
    )
    return and_(active, ~newer)
