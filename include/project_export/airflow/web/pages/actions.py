"""Retry and cancel, each by Airflow's own route for it."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.access import Action, PageReader, page_reader, require
from project_export.airflow.web.pages.parts import Airflow, JobCtx, TheJob, airflow_run
from project_export.errors import MoveRefused
from project_export.ledger import Job
from project_export.ledger.states import PENDING
from project_export.steps import Context
from project_export.steps.active import cancel as cancel_job

router = APIRouter(dependencies=[Depends(page_reader)])


@router.post("/jobs/{job_id}/retry")
async def retry(job: TheJob, caller: PageReader, airflow: Airflow) -> Response:
    """Clear the failed tasks of a job's run, and go to the job."""
    await require(caller, Action.RETRY)
    await airflow.retry(_run(job))
    return RedirectResponse(f"../{job.id}", 303)


@router.post("/jobs/{job_id}/cancel")
async def cancel(ctx: JobCtx, job: TheJob, caller: PageReader, airflow: Airflow) -> Response:
    """Mark a job's run failed, which ends its tasks; cancel the job, and go to it."""
    await require(caller, Action.CANCEL)
    await airflow.cancel(_run(job))
    await run_in_threadpool(_end, ctx, job.id)
    return RedirectResponse(f"../{job.id}", 303)


def _end(ctx: Context, job_id: int) -> None:
    """Cancel the job of a cancelled run at once; `prune` would do it within the hour."""
    job = ctx.ledger.queries.job(job_id)
    if job.state in PENDING:
        cancel_job(ctx, job)


def _run(job: Job) -> str:
    run_id = airflow_run(job)
    if run_id is None:
        raise MoveRefused(f"Job {job.id} does not belong to a run of Airflow. Use the program that started it.")
    return run_id
