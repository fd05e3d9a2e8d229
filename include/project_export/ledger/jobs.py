"""Changes of project_export_job: opening, publishing, ending and reopening jobs, and the snapshot they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Delete, Table, Update, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from project_export.errors import AttemptRevoked, Failure, JobActive, MoveRefused
from project_export.ledger.changes import described, note
from project_export.ledger.claims import requeued
from project_export.ledger.columns import clock
from project_export.ledger.database import Database, announce
from project_export.ledger.models import ProjectExportJob, ProjectExportNotice, RelationExport
from project_export.ledger.queue import lock, require_room
from project_export.ledger.reading import active_job, newest_job, the_job
from project_export.ledger.records import Job, JobRequest, Outcome, Planned
from project_export.ledger.scrub import scrub
from project_export.ledger.states import FINISHED, PENDING, PROJECT_EXPORT_JOB, QUEUED, STARTED

T = TypeVar("T")

_TABLE = cast("Table", ProjectExportJob.__table__)

_TAKEN = ("project_export_job_active", "project_export_job.project_id")
"""What PostgreSQL and SQLite call the index that a second active job of a project violates."""

_REPLACED = ("plan", "consistency", "params", "grace_seconds", "window_start", "window_end", "predecessor_id")
"""What a queued job gets when it starts."""

_FORGOTTEN: Mapping[str, Any] = {"errors": [], "outcome": None, "finished_at": None}


class Jobs:
    """Every change of a job's state. A project has at most one active job for each source and tree."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, request: JobRequest, planned: Sequence[Planned], *, most: int | None = None) -> Job:
        """Write a started job and its queued rows in one transaction and return the job.

        most: how many exports may run at a time, 0: no limit; None: the job is not limited, and does not count.
        Raises JobActive, which names the active job, when the project already has one in this source and tree, and
        AwaitsTurn when the job may not start at once.
        """

        def write() -> Job:
            with self._database.write() as connection:
                values: dict[str, Any] = {"started_at": clock()}
                if most is not None:
                    lock(connection)
                    require_room(connection, most)
                    values["admitted_at"] = clock()
                job_id = _insert(connection, "start", request, state=STARTED, **values)
                _insert_rows(connection, job_id, planned)
                return the_job(connection, job_id)

        return self._alone(request, write)

    def queue(self, request: JobRequest) -> Job:
        """Write a queued job for a run that is yet to be triggered, or to be admitted, and return the job.

        It has neither a plan nor rows. Raises JobActive, which names the active job, when the project already has one
        in this source and tree. A job that waits is queued all the same, but a run has only one.
        """

        def write() -> Job:
            with self._database.write() as connection:
                if request.waiting:
                    lock(connection)
                    own = (ProjectExportJob.run_id == request.run_id, ProjectExportJob.state.in_(PENDING))
                    if twins := newest_job(connection, *own):
                        return twins
                return the_job(connection, _insert(connection, "queue", request, state=QUEUED))

        return self._alone(request, write)

    def start(self, job_id: int, request: JobRequest, planned: Sequence[Planned]) -> Job:
        """Start a queued job with its plan and its queued rows, in one transaction, and return the job.

        request: its plan, consistency, parameters, grace period and window replace those of the queued job. A job that
        is started already, by a twin of the caller, is returned as it is. Raises MoveRefused when it has ended;
        JobMissing.
        """
        values = {name: getattr(request, name) for name in _REPLACED}
        start = PROJECT_EXPORT_JOB.move(update(ProjectExportJob).where(ProjectExportJob.id == job_id), "start")
        with self._database.write() as connection:
            if announce(connection, "start", start.values(**values, waiting=False, started_at=clock())):
                _insert_rows(connection, job_id, planned)
            job = the_job(connection, job_id)
        if job.state != STARTED:
            raise MoveRefused(f"Job {job_id} cannot start: {PROJECT_EXPORT_JOB.refusal('start', job.state)}.")
        return job

    def queue_again(self, job_id: int, *, waiting: bool = False) -> Job:
        """Queue a failed job that was never started, and return it; one that is queued is returned as it is.

        waiting: see `Job`. It forgets its turn, how it ended and which notices were sent. Raises JobActive when another
        job of the project is active, MoveRefused when the job was started, JobMissing.
        """
        again = PROJECT_EXPORT_JOB.move(update(ProjectExportJob).where(ProjectExportJob.id == job_id), "queue again")

        def write() -> Job:
            with self._database.write() as connection:
                unplaced = {**_FORGOTTEN, "waiting": waiting, "admitted_at": None}
                if announce(
                    connection, "queue again", again.where(ProjectExportJob.started_at.is_(None)).values(**unplaced)
                ):
                    connection.execute(_notices(job_id))
                return the_job(connection, job_id)

        job = self._alone(self._read(job_id), write)
        if job.state != QUEUED:
            raise MoveRefused(f"Job {job_id} cannot be queued again: it is {job.state}, and was started before.")
        return job

    def take_over(self, job: Job, run_id: str) -> bool:
        """Give a job to another run and queue its started rows again; return False when the job has changed.

        job: as the caller read it. This is for a job whose run is gone for good; of several callers, one succeeds.
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
        started = requeued("its run was taken over").where(
            RelationExport.job_id == job.id, RelationExport.state == STARTED
        )
        with self._database.write() as connection:
            if not announce(connection, "take over", taken):
                return False
            announce(connection, "requeue", started)
            return True

    def finish(
        self,
        job_id: int,
        archive_uri: str,
        archive_bytes: int,
        archive_sha256: str,
        records: int,
        *,
        attempts: int | None = None,
    ) -> bool:
        """Finish a job with its published archive; return False when it is already finished with this archive.

        archive_bytes: its size. archive_sha256: in hexadecimal. attempts: the sum over all rows when the archive was
        made; every row must still be finished, at the same attempt. Raises AttemptRevoked, having changed nothing, when
        that is not so or when another archive was published; MoveRefused when the job is not started; JobMissing.
        """
        archive = _archive(archive_uri, archive_bytes, archive_sha256, records)
        if self._move(job_id, "finish", when=_merged(attempts), outcome="finished", finished_at=clock(), **archive):
            return True
        if self._read(job_id).archive_uri != archive_uri:
            raise AttemptRevoked(f"Another archive of job {job_id} was published, not {archive_uri}.")
        return False

    def publish(
        self, job_id: int, archive_uri: str, archive_bytes: int, archive_sha256: str, records: int, *, attempts: int
    ) -> None:
        """Record the published archive of a job that stays started, because its archive is still to be uploaded.

        Parameters and errors: as of `finish`.
        """
        archive = _archive(archive_uri, archive_bytes, archive_sha256, records)
        self._move(job_id, "publish", when=_merged(attempts), **archive)

    def fail(
        self, job_id: int, errors: Sequence[Failure], *, cancelled: bool = False, queued_only: bool = False
    ) -> bool:
        """Fail a job with its errors; return False when it has already failed, which keeps its errors.

        cancelled: the job fails because its run is gone. queued_only: do not fail a job that has started. Raises
        MoveRefused when the job is finished, or started with `queued_only`; JobMissing.
        """
        kept = [{**asdict(error), "message": scrub(error.message)} for error in errors]
        outcome: Outcome = "cancelled" if cancelled else "failed"
        verb = "refuse" if queued_only else "fail"
        return self._move(job_id, verb, errors=kept, outcome=outcome, waiting=False, finished_at=clock())

    def reopen(self, job_id: int, again: Collection[str] = (), reason: str = "the job was reopened") -> bool:
        """Reopen an ended job; return False when it is already started.

        again: the states of the rows to queue again; reason: kept as their error. All other rows stay unchanged. The
        job forgets how it ended and which notices were sent, so its next end is reported again, and each row gets all
        its attempts again. Raises JobActive when another job of the project is active; JobMissing.
        """
        job = self._read(job_id)
        attempts = update(RelationExport).where(RelationExport.job_id == job_id).values(failed_attempts=0)
        rows = requeued(reason).where(RelationExport.job_id == job_id, RelationExport.state.in_(again))
        also = (_notices(job_id), attempts)
        return self._alone(job, lambda: self._move(job_id, "reopen", *also, requeue=rows, **_FORGOTTEN))

    def begin_generation(self, job_id: int, generation: int, snapshot_id: str, reason: str) -> None:
        """Begin a generation with a snapshot that the caller holds, and queue the rows of older generations again.

        Rows that need no snapshot stay unchanged.
        Two snapshots are never mixed: when several callers found the snapshot of generation - 1 gone, the first one
        succeeds, and the others get AttemptRevoked and read its snapshot. AttemptRevoked is also raised when the job is
        not started. Rows that have failed for good stay failed until they are requeued: one of them may be what ended
        the snapshot. reason: kept as the error of the queued rows.
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
            RelationExport.job_id == job_id,
            RelationExport.generation < generation,
            RelationExport.state != "failed",
            RelationExport.snapshot,
        )
        with self._database.write() as connection:
            if not announce(connection, "snapshot", begin):
                raise AttemptRevoked(
                    f"Generation {generation} of job {job_id} cannot begin: another holder was first, or the job has "
                    "ended."
                )
            announce(connection, "requeue", older)

    def _move(
        self,
        job_id: int,
        verb: str,
        *also: Delete | Update,
        when: Sequence[ColumnElement[bool]] = (),
        requeue: Update | None = None,
        **values: Any,
    ) -> bool:
        statement = update(ProjectExportJob).where(ProjectExportJob.id == job_id, *when)
        with self._database.write() as connection:
            if announce(connection, verb, PROJECT_EXPORT_JOB.move(statement, verb).values(**values)):
                for other in also:
                    connection.execute(other)
                if requeue is not None:
                    announce(connection, "requeue", requeue)
                return True
            state = the_job(connection, job_id).state
        if when and state in PROJECT_EXPORT_JOB.moves[verb].sources:
            raise AttemptRevoked(f"Job {job_id} has changed since its parts were merged; this merge changes nothing.")
        if state == PROJECT_EXPORT_JOB.moves[verb].target:
            return False
        raise MoveRefused(f"Job {job_id} cannot {verb}: {PROJECT_EXPORT_JOB.refusal(verb, state)}.")

    def _alone(self, project: Job | JobRequest, write: Callable[[], T]) -> T:
        """Run a write that makes a job the active one of its project. Raises JobActive, which names the one that is."""
        while True:
            try:
                return write()
            except IntegrityError as error:
                if not any(name in str(error.orig) for name in _TAKEN):
                    raise
                with self._database.read() as connection:
                    running = active_job(connection, project.source, project.tree, project.project_id)
                if running is not None:
                    raise being_exported(running) from None
                # It ended between the two statements, so this one may now be the active job.

    def _read(self, job_id: int) -> Job:
        with self._database.read() as connection:
            return the_job(connection, job_id)


def _insert(connection: Connection, event: str, request: JobRequest, **values: Any) -> int:
    statement = insert(ProjectExportJob).values(**asdict(request), **values).returning(*described(_TABLE))
    written = connection.execute(statement).mappings().one()
    note(connection, event, [written])
    return int(written["id"])


def _insert_rows(connection: Connection, job_id: int, planned: Sequence[Planned]) -> None:
    if planned:
        rows = [{**asdict(row), "job_id": job_id, "state": QUEUED} for row in planned]
        connection.execute(insert(RelationExport), rows)


def _notices(job_id: int) -> Delete:
    """Return the DELETE of the notices of how a job ended. That it is late is reported once, whatever happens to it."""
    notice = ProjectExportNotice
    return delete(notice).where(notice.job_id == job_id, notice.outcome != "late")


def _archive(uri: str, size: int, sha256: str, records: int) -> dict[str, Any]:
    return {"archive_uri": uri, "archive_bytes": size, "archive_sha256": sha256, "records": records}


def _merged(attempts: int | None) -> list[ColumnElement[bool]]:
    """Return the conditions that all rows of a job are finished and that their attempts add up to `attempts`.

    Attempts are only ever added, so an equal sum means that no row was exported again.
    """
    if attempts is None:
        return []
    rows = select(RelationExport.id).where(RelationExport.job_id == ProjectExportJob.id)
    had = select(func.coalesce(func.sum(RelationExport.attempt), 0)).where(RelationExport.job_id == ProjectExportJob.id)
    return [~rows.where(RelationExport.state != FINISHED).exists(), had.scalar_subquery() == attempts]


def being_exported(job: Job) -> JobActive:
    """Return the error that names the active job of a project."""
    since = job.started_at or job.created_at
    return JobActive(
        f"Project {job.project_id} of {job.source} (tree {job.tree}) is being exported by job {job.id}: "
        f"run {job.run_id}, {job.state} since {since:%Y-%m-%d %H:%M:%S %Z}, "
        f"requested by {job.requested_by}. Wait for it, or cancel that run, then trigger again."
    )
