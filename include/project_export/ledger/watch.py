"""Whether a job moves: rows without a heartbeat, jobs that nobody works on, and waiting for the next change."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from project_export.ledger import listen
from project_export.ledger.columns import clock
from project_export.ledger.database import Database
from project_export.ledger.listen import Wait
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.reading import jobs_where, rows_where, the_job
from project_export.ledger.records import Job, Load, Row
from project_export.ledger.states import FAILED, PENDING, QUEUED, STARTED


class Watch:
    """What a process asks that watches a job. All ages are by the database's clock. Nothing here writes.

    listen: whether LISTEN may be used.
    """

    def __init__(self, database: Database, *, listen: bool) -> None:
        self._database = database
        self._listen = listen

    def listening(self, job_id: int) -> AbstractContextManager[Wait]:
        """Listen to a job: `with watch.listening(job) as wait: ...read...; wait(seconds)`.

        A change after the read ends the wait early, and the wait returns True. Where the database cannot notify, or
        LISTEN is switched off, the wait sleeps for at most a second and returns False.
        """
        return listen.listening(self._database.engine, str(job_id)) if self._listen else nullcontext(listen.sleep)

    def awaits_run(self, job_id: int, seconds: float) -> bool:
        """Say whether a job was queued less than `seconds` ago and its run has not started it yet."""
        query = select(ProjectExportJob.id).where(
            ProjectExportJob.id == job_id,
            ProjectExportJob.state == QUEUED,
            ProjectExportJob.created_at > clock(-seconds),
        )
        with self._database.read() as connection:
            return connection.execute(query).one_or_none() is not None

    def late(self, seconds: float, job_id: int | None = None) -> list[Job]:
        """Return the jobs that were requested more than `seconds` ago and have not ended, oldest first.

        job_id: return no other job than this one.
        """
        job = ProjectExportJob
        one = [job.id == job_id] if job_id is not None else []
        with self._database.read() as connection:
            return jobs_where(connection, job.state.in_(PENDING), job.created_at < clock(-seconds), *one)

    def load(self) -> Load:
        """Return how many jobs there are, and how old the oldest ones are."""
        job, now = ProjectExportJob, clock()
        waits = and_(job.state == QUEUED, job.admitted_at.is_(None))
        query = select(
            func.count().filter(waits),
            func.count().filter(~waits),
            func.min(job.created_at).filter(waits),
            func.min(job.created_at).filter(~waits),
            now,
        ).where(job.state.in_(PENDING))
        with self._database.read() as connection:
            queued, running, oldest_queued, oldest_running, at = connection.execute(query).one()
        ages = [(at - since).total_seconds() if since else 0.0 for since in (oldest_queued, oldest_running)]
        return Load(queued, running, *ages)

    def stale(self, job_id: int, seconds: float) -> list[Row]:
        """Return a job's started rows whose last heartbeat is older than `seconds`, in the order of the archive."""
        rows = RelationExport
        with self._database.read() as connection:
            return rows_where(
                connection, rows.job_id == job_id, rows.state == STARTED, rows.heartbeat_at < clock(-seconds)
            )

    def stalled(self, job_id: int, seconds: float) -> bool:
        """Say whether a job has queued rows while nobody has worked on a row of any job for `seconds`."""
        rows, job, since = RelationExport, ProjectExportJob, clock(-seconds)
        own = select(rows.id).where(rows.job_id == job_id)
        active = select(rows.id).join(job, job.id == rows.job_id).where(job.state.in_(PENDING))
        query = select(
            own.where(rows.state == QUEUED).exists(),
            ~own.where(rows.queued_at > since).exists(),
            ~active.where(or_(rows.started_at > since, rows.heartbeat_at > since, rows.finished_at > since)).exists(),
            ~select(job.id)
            .where(or_(job.finished_at > since, and_(job.id == job_id, job.updated_at > since)))
            .exists(),
        )
        with self._database.read() as connection:
            return all(connection.execute(query).one())

    def quiet(self, job_id: int, seconds: float) -> bool:
        """Say whether no row of a job is started or waits for an attempt, and nothing has changed for `seconds`."""
        rows, job, since = RelationExport, ProjectExportJob, clock(-seconds)
        own = select(rows.id).where(rows.job_id == job_id)
        times = (rows.queued_at, rows.available_at, rows.started_at, rows.finished_at)
        query = select(
            ~own.where(rows.state == STARTED).exists(),
            ~own.where(or_(*(time > since for time in times))).exists(),
            ~select(job.id).where(job.id == job_id, job.updated_at > since).exists(),
        )
        with self._database.read() as connection:
            return all(connection.execute(query).one())

    def in_grace(self, job_id: int) -> bool:
        """Say whether the snapshot of a failed job is still to be kept.

        It is kept for the job's grace, and only until its project has a newer job. Raises JobMissing.
        """
        newer = aliased(ProjectExportJob)
        with self._database.read() as connection:
            job = the_job(connection, job_id)
            same = and_(newer.source == job.source, newer.tree == job.tree, newer.project_id == job.project_id)
            query = select(ProjectExportJob.id).where(
                ProjectExportJob.id == job_id,
                ProjectExportJob.state == FAILED,
                ProjectExportJob.finished_at > clock(-job.grace_seconds),
                ~exists().where(same, newer.id > job_id, ~newer.waiting),
            )
            return connection.execute(query).one_or_none() is not None
