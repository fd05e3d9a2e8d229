"""The head of one job, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from project_export.airflow.web.views.jobs import JobLine, job_line
from project_export.airflow.web.views.progress import expected_of
from project_export.airflow.web.views.relations import Relation, Trouble, relations
from project_export.airflow.web.views.remedies import remedy
from project_export.airflow.web.views.timeline import Timeline, timeline
from project_export.errors import WHOLE, Failure
from project_export.ledger import Job, JobProgress, Progress, Row


@dataclass(frozen=True)
class Snapshot:
    """The snapshot of the source that a job's relations share. age: in seconds. kept: until when, None if unknown."""

    id: str
    generation: int
    at: datetime | None
    age: float | None
    kept: datetime | None


@dataclass(frozen=True)
class JobView:
    """All that the page of a job shows, but for the archive's contents.

    problems: why the job as a whole failed, each with what to do about it. finished, failed: relations. speed: raw
    bytes per second.
    """

    line: JobLine
    relations: list[Relation]
    timeline: Timeline
    problems: list[tuple[Failure, str]]
    finished: int
    failed: int
    speed: float | None
    snapshot: Snapshot | None
    omissions: tuple[str, ...]

    @property
    def troubles(self) -> list[tuple[str, Trouble]]:
        """The errors that ended the job, with their relations."""
        every = [(one.name, trouble) for one in self.relations for trouble in one.line.troubles]
        return [(name, trouble) for name, trouble in every if not trouble.again]

    @property
    def job(self) -> Job:
        """The job."""
        return self.line.job


def job_view(job: Job, progress: Progress, rows: Sequence[Row], now: datetime, most_seconds: float) -> JobView:
    """Return what the page of a job shows.

    rows: of the job, in the order of the archive. now: by the ledger's clock. most_seconds: how long a snapshot is
    held.
    """
    omissions = tuple(dict.fromkeys(text for row in rows for text in row.omissions))
    line = job_line(JobProgress(job, progress), omissions, now)
    shown = relations(rows, expected_of(job), now)
    return JobView(
        line,
        shown,
        timeline(job, rows, now),
        [(one, remedy(one.code)) for one in job.errors if one.relation == WHOLE],
        sum(one.line.state == "finished" for one in shown),
        sum(one.line.state == "failed" for one in shown),
        _speed(progress, now) if line.running else None,
        _snapshot(job, progress, now, most_seconds),
        omissions,
    )


def _speed(progress: Progress, now: datetime) -> float | None:
    if progress.began is None or not progress.raw_bytes:
        return None
    seconds = (now - progress.began).total_seconds()
    return progress.raw_bytes / seconds if seconds > 0 else None


def _snapshot(job: Job, progress: Progress, now: datetime, most_seconds: float) -> Snapshot | None:
    if job.snapshot_id is None:
        return None
    until = None
    if job.snapshot_at is not None:
        latest = job.snapshot_at + timedelta(seconds=most_seconds)
        if job.finished_at is None and progress.on_snapshot:
            until = latest
        elif job.outcome == "failed" and job.grace_seconds:
            assert job.finished_at is not None
            until = min(job.finished_at + timedelta(seconds=job.grace_seconds), latest)
    age = (now - job.snapshot_at).total_seconds() if job.snapshot_at else None
    return Snapshot(
        job.snapshot_id, job.snapshot_generation, job.snapshot_at, age, until if until and until > now else None
    )
