"""Read-only questions about jobs and their rows, for every reader: commands, pages, scripts, and the steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, RowMapping, Select, cast, false, func, select

from project_export.errors import WHOLE, Failure
from project_export.ledger.columns import clock, lower_path
from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.progress import JobProgress, Progress, RelationProgress, relations_of
from project_export.ledger.reading import (
    JOB,
    active_job,
    job_of,
    jobs_where,
    missing,
    newest_job,
    of_project,
    rows_where,
    the_job,
)
from project_export.ledger.records import Job, Mode, Row
from project_export.ledger.states import FAILED, FINISHED, PENDING, QUEUED, STARTED


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

    def jobs_of_runs(self, run_ids: Collection[str]) -> dict[str, Job]:
        """Return for several runs what `job_of_run` returns for one; a run without a job is not in it."""
        query = select(JOB).where(ProjectExportJob.run_id.in_(run_ids)).order_by(ProjectExportJob.id)
        with self._database.read() as connection:
            jobs = [job_of(found) for found in connection.execute(query).mappings()] if run_ids else []
        return {job.run_id: job for job in jobs}

    def latest_job(self, source: str, tree: str, project_id: int, mode: Mode = "full") -> Job | None:
        """Return the newest job of a project and a mode in any state, None if there is none."""
        with self._database.read() as connection:
            return newest_job(connection, ProjectExportJob.mode == mode, *of_project(source, tree, project_id))

    def active_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the active job of a project, None if it has none. A job that waits for its turn is not active yet."""
        with self._database.read() as connection:
            return active_job(connection, source, tree, project_id)

    def current_job(self, source: str, tree: str, project_id: int) -> Job | None:
        """Return the active full export of a project, the newest one if none is active, None if it has none.

        So a job that waits for its turn does not hide the one that is running.
        """
        full = (ProjectExportJob.mode == "full", *of_project(source, tree, project_id))
        with self._database.read() as connection:
            active = newest_job(connection, ProjectExportJob.state.in_(PENDING), ~ProjectExportJob.waiting, *full)
            return active or newest_job(connection, *full)

    def latest_archive(self, source: str, tree: str, project_id: int, mode: Mode = "full") -> Job | None:
        """Return the newest job of a project and a mode that has published an archive, which may have been pruned."""
        with self._database.read() as connection:
            had = (ProjectExportJob.archive_bytes.is_not(None), ProjectExportJob.mode == mode)
            return newest_job(connection, *had, *of_project(source, tree, project_id))

    def published(self, source: str, tree: str, project_id: int) -> list[Job]:
        """Return the finished jobs of a project that have published an archive, which may be pruned; oldest first."""
        with self._database.read() as connection:
            had = (ProjectExportJob.archive_bytes.is_not(None), ProjectExportJob.state == FINISHED)
            return jobs_where(connection, *had, *of_project(source, tree, project_id))

    def jobs(
        self,
        *,
        source: str | None = None,
        project_id: int | None = None,
        project: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[JobProgress]:
        """Return a page of at most `limit` jobs with their progress, newest first.

        source, project_id, state: return only jobs that have it. project: return only jobs of the project with this id,
        or with this path when the job was planned, in upper or lower case. before: return only jobs whose id is
        smaller; the last id of a page gives the next page. One query that walks one index from `before` on, however
        many jobs there are; where several filters are given, it skips the jobs that the others exclude.
        """
        query = jobs_query(
            source=source, project_id=project_id, project=project, state=state, before=before, limit=limit
        )
        with self._database.read() as connection:
            return [_job_progress(found) for found in connection.execute(query).mappings()]

    def rows(self, job_id: int, state: str | None = None) -> list[Row]:
        """Return the rows of a job in the order of the archive: by position, then part.

        state: return only the rows in this state.
        """
        conditions = [RelationExport.job_id == job_id]
        if state is not None:
            conditions.append(RelationExport.state == state)
        with self._database.read() as connection:
            return rows_where(connection, *conditions)

    def files(self, row_id: int) -> list[Mapping[str, Any]]:
        """Return the files in the part of a finished row, in order, as `Claims.finish` got them."""
        with self._database.read() as connection:
            found = connection.scalar(select(RelationExport.files).where(RelationExport.id == row_id))
        return list(found or ())

    def relations(self, job_id: int) -> list[RelationProgress]:
        """Return the relations of a job with their progress, in the order of the archive. Raises JobMissing."""
        with self._database.read() as connection:
            the_job(connection, job_id)
            now = connection.scalars(select(clock())).one()
            return relations_of(rows_where(connection, RelationExport.job_id == job_id), now)

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
        found = [row.failure for row in own]
        if len(own) < len(failed):
            said = f"{len(failed) - len(own)} other relation(s) or part(s) were cancelled"
            found.append(Failure(WHOLE, 0, said, code="Cancelled"))
        return found

    def omissions(self, job_id: int) -> tuple[str, ...]:
        """Return what the source has, or may have, and the job's parts lack, without duplicates."""
        return tuple(dict.fromkeys(text for row in self.rows(job_id) for text in row.omissions))

    def omissions_of(self, job_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
        """Return for several jobs what `omissions` returns for one; a job without omissions is not in it."""
        rows = RelationExport
        query = (
            select(rows.job_id, rows.omissions)
            .where(rows.job_id.in_(job_ids), func.json_array_length(rows.omissions) > 0)
            .order_by(rows.position, rows.part)
        )
        found: dict[int, dict[str, None]] = {}
        with self._database.read() as connection:
            for job_id, omissions in connection.execute(query) if job_ids else ():
                found.setdefault(job_id, {}).update(dict.fromkeys(omissions))
        return {job_id: tuple(omissions) for job_id, omissions in found.items()}


def progress_query(job_id: int) -> Any:
    """Return the query behind `Queries.progress`."""
    return (
        select(
            ProjectExportJob.state,
            ProjectExportJob.snapshot_generation.label("generation"),
            *_sums(),
            clock().label("now"),
        )
        .outerjoin(RelationExport, RelationExport.job_id == ProjectExportJob.id)
        .where(ProjectExportJob.id == job_id)
        .group_by(ProjectExportJob.id)
    )


def jobs_query(
    *,
    source: str | None,
    project_id: int | None,
    project: str | None,
    state: str | None,
    before: int | None,
    limit: int,
) -> Select[Any]:
    """Return the query behind `Queries.jobs`: the page first, then the rows of its jobs alone."""
    job = ProjectExportJob
    wanted = {job.source: source, job.project_id: project_id, job.state: state}
    conditions = [column == value for column, value in wanted.items() if value is not None]
    if project is not None:
        conditions.append(_names(project))
    if before is not None:
        conditions.append(job.id < before)
    page = select(JOB).where(*conditions).order_by(job.id.desc()).limit(limit).cte("page")
    sums = (
        select(RelationExport.job_id, *_sums())
        .where(RelationExport.job_id.in_(select(page.c.id)))
        .group_by(RelationExport.job_id)
        .subquery("sums")
    )
    added_up = (column.label(f"sum_{column.key}") for column in sums.c if column.key != "job_id")
    return (
        select(page, *added_up, clock().label("sum_now"))
        .outerjoin(sums, sums.c.job_id == page.c.id)
        .order_by(page.c.id.desc())
    )


def _names(project: str) -> ColumnElement[bool]:
    """Return the condition that a job is for the project with this id or path."""
    if project.isdecimal():
        return ProjectExportJob.project_id == int(project) if int(project) < 1 << 63 else false()
    return lower_path() == func.lower(project)


def _sums() -> Iterator[ColumnElement[Any]]:
    """Yield what `Progress` counts and adds up over the rows of a job."""
    rows = RelationExport
    for state in (QUEUED, STARTED, FINISHED, FAILED):
        yield func.count(rows.id).filter(rows.state == state).label(state)
    for column in (rows.records, rows.raw_bytes, rows.estimate):
        yield cast(func.coalesce(func.sum(column), 0), BigInteger).label(column.key)
    done = func.sum(rows.estimate).filter(rows.state == FINISHED)
    yield cast(func.coalesce(done, 0), BigInteger).label("estimate_done")
    yield func.count(rows.id).filter(rows.state.in_(PENDING), rows.snapshot).label("on_snapshot")
    yield func.min(rows.started_at).label("began")


def _job_progress(found: RowMapping) -> JobProgress:
    job = job_of({name: value for name, value in found.items() if not name.startswith("sum_")})
    sums = {name.removeprefix("sum_"): value for name, value in found.items() if name.startswith("sum_")}
    counted = {name: value or 0 for name, value in sums.items() if name not in ("began", "now")}
    progress = Progress(job.state, job.snapshot_generation, **counted, began=sums["began"], now=sums["now"])
    return JobProgress(job, progress)
