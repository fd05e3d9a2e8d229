"""The lines of all jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from project_export.airflow.web.views.progress import Done, done
from project_export.ledger import Job, JobProgress
from project_export.ledger.states import PENDING, QUEUED


@dataclass(frozen=True)
class JobLine:
    """One job. label: its state in one word. omissions: how many the archive has; 0 while there is none."""

    job: Job
    title: str
    label: str
    running: bool
    done: Done
    omissions: int
    downloadable: bool


def job_line(one: JobProgress, omissions: Sequence[str], now: datetime) -> JobLine:
    """Return the line of a job. omissions: of its parts. now: by the ledger's clock."""
    job = one.job
    return JobLine(
        job,
        title_of(job),
        label_of(job),
        job.state in PENDING,
        done(job, one.progress, now),
        len(omissions) if job.archive_bytes is not None else 0,
        job.archive_uri is not None,
    )


def job_lines(page: Iterable[JobProgress], omissions: Mapping[int, Sequence[str]], now: datetime) -> list[JobLine]:
    """Return the lines of a page of jobs. omissions: by job."""
    return [job_line(one, omissions.get(one.job.id, ()), one.progress.now or now) for one in page]


def title_of(job: Job) -> str:
    """Return what people call the project of a job; empty if that is unknown."""
    return str(job.plan.get("project") or "")


def label_of(job: Job) -> str:
    """Return the state of a job in one word."""
    if job.outcome is not None:
        return job.outcome
    return "queued" if job.state == QUEUED else "running"
