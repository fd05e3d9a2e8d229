"""Retry and cancel, each by Airflow's own route for it."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.access import Action, PageReader, page_reader, require
from project_export.airflow.web.pages.parts import Airflow, TheJob, airflow_run
from project_export.errors import MoveRefused
from project_export.ledger import Job

router = APIRouter(dependencies=[Depends(page_reader)])


@router.post("/jobs/{job_id}/retry")
async def retry(job: TheJob, caller: PageReader, airflow: Airflow) -> Response:
    """Clear the failed tasks of a job's run, and go to the job."""
    await require(caller, Action.RETRY)
    await airflow.retry(_run(job))
    return RedirectResponse(f"../{job.id}", 303)


@router.post("/jobs/{job_id}/cancel")
async def cancel(job: TheJob, caller: PageReader, airflow: Airflow) -> Response:
    """Mark a job's run failed, which ends its tasks, and go to the job."""
    await require(caller, Action.CANCEL)
    await airflow.cancel(_run(job))
    return RedirectResponse(f"../{job.id}", 303)


def _run(job: Job) -> str:
    run_id = airflow_run(job)
    if run_id is None:
        raise MoveRefused(f"Job {job.id} does not belong to a run of Airflow. Use the program that started it.")
    return run_id
