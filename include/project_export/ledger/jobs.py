"""The project_export_job table: opening and ending jobs, and the snapshot that a job's relations share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Delete, Update, and_, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from project_export.errors import AttemptRevoked, Failure, JobActive, JobMissing, MoveRefused
from project_export.ledger.base import Book
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob, ProjectExportNotice, RelationExport
from project_export.ledger.records import Job, JobRequest, Outcome, Planned, Snapshot
from project_export.ledger.relations import requeued
from project_export.ledger.scrub import scrub
from project_export.ledger.states import FAILED, FINISHED, PENDING, PROJECT_EXPORT_JOB, QUEUED, STARTED

T = TypeVar("T")

_JOB = ProjectExportJob.__table__
_TAKEN = ("project_export_job_active", "project_export_job.project_id")
"""How PostgreSQL and SQLite call the index that a second active job of a project violates."""


class Jobs(Book):
    """What create, merge and the snapshot's holder do with a job."""

    def open_job(self, request: JobRequest, planned: Sequence[Planned]) -> Job:
        """Write a started job and its queued rows in one transaction and return the job.

        Raises JobActive, naming the job that runs, when the project has an active one in this source and tree.
        """

        def write() -> Job:
            with self._write() as connection:
                job_id = connection.execute(
                    insert(ProjectExportJob)
                    .values(**asdict(request), state=STARTED, started_at=clock())
                    .returning(ProjectExportJob.id)
                ).scalar_one()
                if planned:
                    connection.execute(
                        insert(RelationExport), [{**asdict(row), "job_id": job_id, "state": QUEUED} for row in planned]
                    )
                return _one(connection, job_id)

        return self._alone(request, write)

    def job(self, job_id: int) -> Job:
        """Return a job. Raises JobMissing."""
        with self._read() as connection:
            return _one(connection, job_id)

    def job_of_run(self, run_id: str) -> Job | None:
        """Return the newest job of a run, if it has one."""
        return self._newest(ProjectExportJob.run_id == run_id)

    def last_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the newest job of this project, whatever became of it."""
        return self._newest(
            ProjectExportJob.source == source,
            ProjectExportJob.tree == tree,
            ProjectExportJob.project_id == project_id,
        )

    def newest_jobs(self, most: int, project_id: int | None = None) -> list[Job]:
        """Return so many jobs at the most, of one project or of all, the newest first."""
        query = select(_JOB).order_by(ProjectExportJob.id.desc()).limit(most)
        if project_id is not None:
            query = query.where(ProjectExportJob.project_id == project_id)
        with self._read() as connection:
            return [job_record(found) for found in connection.execute(query).mappings()]

    def take_over(self, job: Job, run_id: str) -> bool:
        """Give a job to another run, and queue what was worked on; return False when it is not as it was seen.

        For a job whose run is gone for good: of several who take it over, one does.
        """
        taken = (
            update(ProjectExportJob)
            .where(
                ProjectExportJob.id == job.id,
                ProjectExportJob.run_id == job.run_id,
                ProjectExportJob.state == job.state,
            )
            .values(run_id=run_id)
        )
        left = requeued("its run was taken over").where(
            RelationExport.job_id == job.id, RelationExport.state == STARTED
        )
        with self._write() as connection:
            if not self._announce(connection, taken):
                return False
            connection.execute(left)
            return True

    def active_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the job of this project that is queued or started, if there is one."""
        return self._newest(
            ProjectExportJob.state.in_(PENDING),
            ProjectExportJob.source == source,
            ProjectExportJob.tree == tree,
            ProjectExportJob.project_id == project_id,
        )

    def finish_job(
        self,
        job_id: int,
        archive_uri: str,
        archive_bytes: int,
        archive_sha256: str,
        records: int,
        *,
        attempts: int | None = None,
    ) -> bool:
        """Say that the archive is published; return False when the job was finished already, with this archive.

        attempts: of all rows together, when the archive was made of them; each must still be finished and at the same
        attempt. Raises AttemptRevoked, having changed nothing, when they are not, or when another archive was published
        for them; MoveRefused when the job is not started, JobMissing when there is none.
        """
        archive = _archive(archive_uri, archive_bytes, archive_sha256, records)
        if self._move(job_id, "finish", when=_merged(attempts), outcome="finished", finished_at=clock(), **archive):
            return True
        if self.job(job_id).archive_uri != archive_uri:
            raise AttemptRevoked(f"Another archive of job {job_id} was published than {archive_uri}.")
        return False

    def publish_job(
        self, job_id: int, archive_uri: str, archive_bytes: int, archive_sha256: str, records: int, *, attempts: int
    ) -> None:
        """Say that the archive is published, and leave the job started, since something is still to be done with it.

        attempts and errors: as of `finish_job`.
        """
        archive = _archive(archive_uri, archive_bytes, archive_sha256, records)
        self._move(job_id, "publish", when=_merged(attempts), **archive)

    def fail_job(self, job_id: int, errors: Sequence[Failure], *, cancelled: bool = False) -> bool:
        """Fail a job with its errors; return False when it was failed already (and keep the errors it has).

        cancelled: it is failed because its run is gone. Raises MoveRefused when the job is finished, JobMissing when
        there is none.
        """
        kept = [{**asdict(error), "message": scrub(error.message)} for error in errors]
        outcome: Outcome = "cancelled" if cancelled else "failed"
        return self._move(job_id, "fail", errors=kept, outcome=outcome, finished_at=clock())

    def reopen_job(self, job_id: int, again: Collection[str] = (), reason: str = "the job was opened again") -> bool:
        """Start an ended job again; return False when it was started already.

        again: the states of the rows that are queued anew, for that reason; the others stay as they are.
        How it ended is forgotten, and that it was told: its next end is told anew, and each row has all its attempts
        again. Raises JobActive when another job of the project is active, JobMissing when there is none.
        """
        job = self.job(job_id)
        told = delete(ProjectExportNotice).where(ProjectExportNotice.job_id == job_id)
        tried = update(RelationExport).where(RelationExport.job_id == job_id).values(failed_attempts=0)
        rows = requeued(reason).where(RelationExport.job_id == job_id, RelationExport.state.in_(again))
        forgotten: dict[str, Any] = {"errors": [], "outcome": None, "finished_at": None}
        return self._alone(job, lambda: self._move(job_id, "reopen", told, tried, rows, **forgotten))

    def snapshot(self, job_id: int) -> Snapshot:
        """Return the job's generation and the snapshot that is held for it, if any. Raises JobMissing."""
        job = self.job(job_id)
        return Snapshot(job.snapshot_generation, job.snapshot_id, job.snapshot_at)

    def begin_generation(self, job_id: int, generation: int, snapshot_id: str, reason: str) -> None:
        """Begin the generation after generation - 1 with a snapshot that is held, and requeue the rows of older ones.

        Of several who found the snapshot of generation - 1 gone, one is first; for the others it raises AttemptRevoked,
        so that two snapshots are never mixed, and they read the first one's. It also raises that when the job is not
        started. A row that has failed for good stays so until it is asked for anew: it may be what ended the snapshot.
        """
        begin = (
            update(ProjectExportJob)
            .where(
                ProjectExportJob.id == job_id,
                PROJECT_EXPORT_JOB.ready("work", ProjectExportJob.state),
                ProjectExportJob.snapshot_generation == generation - 1,
            )
            .values(snapshot_generation=generation, snapshot_id=snapshot_id, snapshot_at=clock())
        )
        older = requeued(reason).where(
            RelationExport.job_id == job_id, RelationExport.generation < generation, RelationExport.state != "failed"
        )
        with self._write() as connection:
            if not self._announce(connection, begin):
                raise self._superseded(job_id, generation)
            connection.execute(older)

    def in_grace(self, job_id: int) -> bool:
        """Say whether the snapshot of a failed job is still to be kept: not for longer than the job's grace, and not
        once its project has a newer job. Raises JobMissing.
        """
        job, newer = self.job(job_id), aliased(ProjectExportJob)
        same = and_(newer.source == job.source, newer.tree == job.tree, newer.project_id == job.project_id)
        query = select(ProjectExportJob.id).where(
            ProjectExportJob.id == job_id,
            ProjectExportJob.state == FAILED,
            ProjectExportJob.finished_at > clock(-job.grace_seconds),
            ~exists().where(same, newer.id > job_id),
        )
        with self._read() as connection:
            return connection.execute(query).one_or_none() is not None

    def _superseded(self, job_id: int, generation: int) -> AttemptRevoked:
        return AttemptRevoked(
            f"Job {job_id} is not where generation {generation} of its snapshot could be set; another holder was first "
            "or the job has ended."
        )

    def last_archive_bytes(self, source: str, tree: str, project_id: int) -> int | None:
        """Return the size of the newest archive that this project had, None when it never had one."""
        job = self._newest(
            ProjectExportJob.archive_bytes.is_not(None),
            ProjectExportJob.source == source,
            ProjectExportJob.tree == tree,
            ProjectExportJob.project_id == project_id,
        )
        return job.archive_bytes if job else None

    def _newest(self, *conditions: ColumnElement[bool]) -> Job | None:
        query = select(_JOB).where(*conditions).order_by(ProjectExportJob.id.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).mappings().one_or_none()
        return None if found is None else job_record(found)

    def _move(
        self, job_id: int, verb: str, *also: Delete | Update, when: Sequence[ColumnElement[bool]] = (), **values: Any
    ) -> bool:
        statement = update(ProjectExportJob).where(ProjectExportJob.id == job_id, *when)
        with self._write() as connection:
            if self._announce(connection, PROJECT_EXPORT_JOB.move(statement, verb).values(**values)):
                for other in also:
                    connection.execute(other)
                return True
            state = _one(connection, job_id).state
        if when and state in PROJECT_EXPORT_JOB.moves[verb].sources:
            raise AttemptRevoked(f"Job {job_id} has moved on since its parts were merged; this merge changes nothing.")
        if state == PROJECT_EXPORT_JOB.moves[verb].target:
            return False
        raise MoveRefused(f"Job {job_id} cannot {verb}: {PROJECT_EXPORT_JOB.refusal(verb, state)}.")

    def _alone(self, project: Job | JobRequest, write: Callable[[], T]) -> T:
        """Write what makes a job the active one of its project. Raises JobActive, naming the one that is."""
        while True:
            try:
                return write()
            except IntegrityError as error:
                if not any(name in str(error.orig) for name in _TAKEN):
                    raise
                running = self.active_job(project.source, project.tree, project.project_id)
                if running is not None:
                    raise being_exported(running) from None
                # It has ended between the two statements, so that the place is free again.


def _archive(uri: str, size: int, sha256: str, records: int) -> dict[str, Any]:
    return {"archive_uri": uri, "archive_bytes": size, "archive_sha256": sha256, "records": records}


def _merged(attempts: int | None) -> list[ColumnElement[bool]]:
    """Return the condition that all rows of a job are finished and have had so many attempts together.

    An attempt is only ever added, so that the sum tells whether any row was exported anew.
    """
    if attempts is None:
        return []
    rows = select(RelationExport.id).where(RelationExport.job_id == ProjectExportJob.id)
    had = select(func.coalesce(func.sum(RelationExport.attempt), 0)).where(RelationExport.job_id == ProjectExportJob.id)
    return [~rows.where(RelationExport.state != FINISHED).exists(), had.scalar_subquery() == attempts]


def being_exported(job: Job) -> JobActive:
    """Return the error that names the job which runs."""
    since = job.started_at or job.created_at
    return JobActive(
        f"Project {job.project_id} of {job.source} (tree {job.tree}) is being exported by job {job.id}: "
        f"run {job.run_id}, {job.state} since {since:%Y-%m-%d %H:%M:%S %Z}, "
        f"asked for by {job.requested_by}. Wait for it, or cancel that run, and trigger again."
    )


def _one(connection: Connection, job_id: int) -> Job:
    found = connection.execute(select(_JOB).where(ProjectExportJob.id == job_id)).mappings().one_or_none()
    if found is None:
        raise JobMissing(f"The ledger has no job {job_id}.")
    return job_record(found)


def job_record(found: Any) -> Job:
    """Return a row of the table as a Job."""
    return Job(**{**found, "errors": tuple(Failure(**error) for error in found["errors"])})
