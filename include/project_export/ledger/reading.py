"""Rows of the tables as the values that callers get, for every part of the ledger that reads them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from project_export.errors import Failure, JobMissing
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.records import Job, Row
from project_export.ledger.states import PENDING

JOB = ProjectExportJob.__table__
ROW = [column for column in RelationExport.__table__.columns if column.name != "files"]
"""The columns of a Row. Its files can be many, and only the merge needs them."""


def job_of(found: Any) -> Job:
    """Return a row of project_export_job, given as a mapping, as a Job."""
    return Job(**{**found, "errors": tuple(Failure(**error) for error in found["errors"])})


def row_of(found: Any) -> Row:
    """Return a row of relation_export, given as a mapping, as a Row."""
    return Row(**{**found, "remarks": tuple(found["remarks"]), "omissions": tuple(found["omissions"])})


def the_job(connection: Connection, job_id: int) -> Job:
    """Return a job. Raises JobMissing."""
    found = connection.execute(select(JOB).where(ProjectExportJob.id == job_id)).mappings().one_or_none()
    if found is None:
        raise missing(job_id)
    return job_of(found)


def missing(job_id: int) -> JobMissing:
    """Return the error for a job that does not exist."""
    return JobMissing(f"The ledger has no job {job_id}.")


def newest_job(connection: Connection, *conditions: ColumnElement[bool]) -> Job | None:
    """Return the newest job that meets all conditions, None if there is none."""
    query = select(JOB).where(*conditions).order_by(ProjectExportJob.id.desc()).limit(1)
    found = connection.execute(query).mappings().one_or_none()
    return None if found is None else job_of(found)


def active_job(connection: Connection, source: str, tree: str, project_id: int) -> Job | None:
    """Return the active job of a project, None if there is none. A job that waits for its turn is not active yet."""
    active = (ProjectExportJob.state.in_(PENDING), ~ProjectExportJob.waiting)
    return newest_job(connection, *active, *of_project(source, tree, project_id))


def of_project(source: str, tree: str, project_id: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a job exports this project."""
    return (
        ProjectExportJob.source == source,
        ProjectExportJob.tree == tree,
        ProjectExportJob.project_id == project_id,
    )


def jobs_where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Job]:
    """Return the jobs that meet all conditions, oldest first."""
    query = select(JOB).where(*conditions).order_by(ProjectExportJob.id)
    return [job_of(found) for found in connection.execute(query).mappings()]


def rows_where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Row]:
    """Return the rows of relation_export that meet all conditions, in the order of the archive."""
    query = select(*ROW).where(*conditions).order_by(RelationExport.position, RelationExport.part)
    return [row_of(found) for found in connection.execute(query).mappings()]
