"""What the routes have in common: the context, the job that a URL names, and what a caller may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from project_export.airflow.web.access import DAG_ID, Action, PageReader, may, may_see
from project_export.airflow.web.airflow_api import AirflowApi
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.server import at_work, context, run_alive
from project_export.airflow.web.views.jobs import title_of
from project_export.errors import JobMissing, ProjectNotFound
from project_export.ledger import Job
from project_export.ledger.states import FAILED, STARTED
from project_export.steps import Context, FoundProject, find_project

Ctx = Annotated[Context, Depends(context)]


def airflow_of(request: Request, caller: PageReader) -> AirflowApi:
    """Return Airflow's API for the caller of a request."""
    return AirflowApi(request, caller)


Airflow = Annotated[AirflowApi, Depends(airflow_of)]


def visible(ctx: Context, caller: Caller, job: Job) -> bool:
    """Return whether a caller may see a job. One of a source that is not allowed any more needs a rule for all."""
    if job.source not in ctx.sources:
        return may_see(ctx, caller, 0, "")
    return may_see(ctx.of(job.source), caller, job.project_id, title_of(job))


def find_visible(ctx: Context, caller: Caller, wanted: str) -> FoundProject:
    """Return the project with an id or a title. Raises as `find_project` does, also if the caller may not see it."""
    found = find_project(ctx, wanted)
    if not may_see(ctx, caller, found.id, found.title):
        raise ProjectNotFound(f"the source {ctx.source} has no project {wanted!r}. Give its id, or its full path.")
    return found


def job_of_path(job_id: int, ctx: Ctx, caller: PageReader) -> Job:
    """Return the job that a URL names. Raises JobMissing, also for a job that the caller may not see."""
    if not 0 < job_id < 1 << 63:
        raise JobMissing(f"The ledger has no job {job_id}.")
    job = ctx.ledger.queries.job(job_id)
    if not visible(ctx, caller, job):
        raise JobMissing(f"The ledger has no job {job_id}.")
    return job


TheJob = Annotated[Job, Depends(job_of_path)]


def ctx_of_job(ctx: Ctx, job: TheJob) -> Context:
    """Return the context of the source of a job."""
    return ctx.of(job.source)


JobCtx = Annotated[Context, Depends(ctx_of_job)]


def goes_on(job: TheJob) -> bool:
    """Return whether tasks of a failed job are at work all the same: they are ending, or were retried just now."""
    return job.state == FAILED and airflow_run(job) is not None and at_work(job.run_id)


def is_gone(job: TheJob) -> bool:
    """Return whether the run of a started job has ended or was deleted; nobody works on the job then."""
    return job.state == STARTED and airflow_run(job) is not None and not run_alive(job.run_id)


Gone = Annotated[bool, Depends(is_gone)]
GoesOn = Annotated[bool, Depends(goes_on)]


@dataclass(frozen=True)
class Allowed:
    """Which buttons a caller gets."""

    start: bool
    retry: bool
    cancel: bool


def allowed_of(caller: PageReader) -> Allowed:
    """Return which buttons a caller gets."""
    return Allowed(may(caller, Action.START), may(caller, Action.RETRY), may(caller, Action.CANCEL))


May = Annotated[Allowed, Depends(allowed_of)]


def airflow_run(job: Job) -> str | None:
    """Return the id of the run of Airflow that works on a job; None for a job from elsewhere."""
    dag_id, _, run_id = job.run_id.partition("/")
    return run_id if dag_id == DAG_ID and run_id else None
