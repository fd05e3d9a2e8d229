"""Jobs in a ledger, in any state and of any age, as the page meets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from project_export.errors import Failure
from project_export.ledger import Job, JobRequest, Ledger, Planned
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob, RelationExport

DAG = "export_project"
CURRENT = 0.0


@dataclass(frozen=True)
class Part:
    """One row. start, end: seconds after the job was created; state: where it is; values: other columns."""

    relation: str
    start: float | None = None
    end: float | None = None
    state: str = "finished"
    part: int = 0
    parts: int = 1
    unit: int = 0
    records: int = 100
    raw_bytes: int = 40_000
    attempt: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)


class JobsOf:
    """Writes jobs into a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.engine = ledger.jobs._database.engine

    def now(self) -> datetime:
        with self.engine.connect() as connection:
            return connection.scalars(select(clock())).one()

    def write(
        self,
        *parts: Part,
        project: str = "group/app",
        project_id: int = 42,
        run: str = "",
        ago: float = 60,
        ended: float | None = None,
        state: str = "started",
        outcome: str | None = None,
        errors: tuple[Failure, ...] = (),
        expected: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Job:
        """Write a job that was created `ago` seconds ago and ended `ended` seconds after that."""
        plan = {"titles": ["all"], "project": project, "expected": dict(expected or {})}
        run_id = f"{DAG}/{run or f'page__{project_id}_{ago}'}"
        request = JobRequest("main", "gitlab", project_id, run_id, values.pop("requested_by", "jane"), plan=plan)
        planned = [Planned(one.relation, at, one.unit, 10, one.part, one.parts) for at, one in enumerate(parts)]
        job = self.ledger.jobs.open(request, planned)
        created = self.now() - timedelta(seconds=ago)
        ids = {(row.relation, row.part): row.id for row in self.ledger.queries.rows(job.id)}
        with self.engine.begin() as connection:
            for one in parts:
                owner = f"{run_id}/{one.unit}/{one.attempt} host:1:2" if one.start is not None else None
                row = {
                    "state": one.state,
                    "attempt": one.attempt,
                    "owner": owner,
                    "records": one.records if one.start is not None else 0,
                    "raw_bytes": one.raw_bytes if one.start is not None else 0,
                    "started_at": None if one.start is None else created + timedelta(seconds=one.start),
                    "finished_at": None if one.end is None else created + timedelta(seconds=one.end),
                    "heartbeat_at": clock(-2) if one.state == "started" else None,
                    **one.values,
                }
                where = RelationExport.id == ids[one.relation, one.part]
                connection.execute(update(RelationExport).where(where).values(**row))
            its = {
                "created_at": created,
                "started_at": created + timedelta(seconds=1),
                "finished_at": None if ended is None else created + timedelta(seconds=ended),
                "state": state,
                "outcome": outcome,
                "errors": [vars(one) for one in errors],
                **values,
            }
            connection.execute(update(ProjectExportJob).where(ProjectExportJob.id == job.id).values(**its))
        return self.ledger.queries.job(job.id)

    def finished(self, **values: Any) -> Job:
        """Write a job with two relations and an archive."""
        parts = values.pop("parts", (Part("project", 2, 3), Part("labels", 3, 5)))
        archive = {
            "archive_uri": "file:///nowhere/project.tar.gz",
            "archive_bytes": 12_345,
            "archive_sha256": "ab" * 32,
        }
        return self.write(
            *parts, **{"ended": 8, "state": "finished", "outcome": "finished", "records": 200, **archive, **values}
        )

    def failed(self, **values: Any) -> Job:
        """Write a job with a relation that failed."""
        error = {"error": 'read notes: permission denied for table "notes" <b>', "error_code": "57014"}
        parts = (Part("project", 2, 3), Part("notes", 3, 9, "failed", attempt=3, values=error))
        return self.write(
            *values.pop("parts", parts), **{"ended": 12, "state": "failed", "outcome": "failed", **values}
        )
