"""The relation_export table as it stands: rows, what is silent or has failed, and how far a job is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, cast, func, or_, select

from project_export.errors import WHOLE, Failure, JobMissing
from project_export.ledger.base import Book
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.records import Progress, Row
from project_export.ledger.states import FAILED, FINISHED, PENDING, QUEUED, STARTED


class Rows(Book):
    """What can be asked about the rows of a job."""

    def rows(self, job_id: int) -> list[Row]:
        """Return all rows of a job in the order of the archive: by position, then part."""
        return self._rows(RelationExport.job_id == job_id)

    def started(self, job_id: int) -> list[Row]:
        """Return the rows of a job that are worked on, in the order of the archive."""
        return self._rows(and_(RelationExport.job_id == job_id, RelationExport.state == STARTED))

    def stale(self, job_id: int, seconds: float) -> list[Row]:
        """Return the started rows whose last sign of life is older than so many seconds, by the database's clock."""
        return self._rows(
            and_(
                RelationExport.job_id == job_id,
                RelationExport.state == STARTED,
                RelationExport.heartbeat_at < clock(-seconds),
            )
        )

    def stalled(self, job_id: int, seconds: float) -> bool:
        """Say whether rows of a job are queued, and no row of any job has been worked on for so many seconds."""
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
        with self._read() as connection:
            return all(connection.execute(query).one())

    def quiet(self, job_id: int, seconds: float) -> bool:
        """Say whether no row of a job is worked on, nor about to be, and nothing has changed for so many seconds."""
        rows, job, since = RelationExport, ProjectExportJob, clock(-seconds)
        own = select(rows.id).where(rows.job_id == job_id)
        times = (rows.queued_at, rows.available_at, rows.started_at, rows.finished_at)
        query = select(
            ~own.where(rows.state == STARTED).exists(),
            ~own.where(or_(*(time > since for time in times))).exists(),
            ~select(job.id).where(job.id == job_id, job.updated_at > since).exists(),
        )
        with self._read() as connection:
            return all(connection.execute(query).one())

    def failures(self, job_id: int) -> list[Failure]:
        """Return the last error of each failed row, in the order of the archive; of cancelled ones, their number."""
        failed = self._rows(and_(RelationExport.job_id == job_id, RelationExport.state == FAILED))
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

    def progress(self, job_id: int) -> Progress:
        """Return how far a job is, by one query. Raises JobMissing."""
        with self._read() as connection:
            found = connection.execute(progress_query(job_id)).mappings().one_or_none()
        if found is None:
            raise JobMissing(f"The ledger has no job {job_id}.")
        return Progress(**found)

    def omissions(self, job_id: int) -> tuple[str, ...]:
        """Return what the job's parts lack, each once."""
        return tuple(
            dict.fromkeys(text for row in self._rows(RelationExport.job_id == job_id) for text in row.omissions)
        )

    def _rows(self, condition: ColumnElement[bool]) -> list[Row]:
        query = select(RelationExport.__table__).where(condition).order_by(RelationExport.position, RelationExport.part)
        with self._read() as connection:
            return [
                Row(**{**found, "remarks": tuple(found["remarks"]), "omissions": tuple(found["omissions"])})
                for found in connection.execute(query).mappings()
            ]


def progress_query(job_id: int) -> Any:
    """Return the one query behind `Rows.progress`."""

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
