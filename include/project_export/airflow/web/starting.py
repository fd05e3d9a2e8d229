"""Starts an export for a caller: first the row of the job, so that it exists whenever the run does, then the run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from fastapi.concurrency import run_in_threadpool

from project_export.airflow.web.access import DAG_ID, Action, may_see, require
from project_export.airflow.web.airflow_api import AirflowApi
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.errors import message
from project_export.airflow.web.server import run_alive
from project_export.errors import ProjectNotFound
from project_export.ledger import Job
from project_export.request import Request
from project_export.steps import Context, FoundProject, refuse, request_export


async def start(
    ctx: Context, airflow: AirflowApi, caller: Caller, project: FoundProject, params: Mapping[str, Any], by: str
) -> Job:
    """Write the queued job of a new export, trigger its run as the caller, and return the job.

    params: of the DAG, but for the project. by: what starts it, as the first word of the run id.
    Raises HTTPException 403, ProjectNotFound (also for a project that the caller may not see), BadRequest, JobActive,
    and AirflowRefused, after failing the job.
    """
    await require(caller, Action.START)
    if not may_see(ctx, caller, project.id, project.title):
        raise ProjectNotFound(f"project {project.title or project.id} does not exist")
    conf = {**params, "project_id": project.id, **({"source": ctx.source} if ctx.others else {})}
    request = Request.from_params(conf, ctx.tree)
    run_id = f"{by}__{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}+00:00_{secrets.token_hex(4)}"
    job = await run_in_threadpool(
        request_export,
        ctx,
        request,
        run_id=f"{DAG_ID}/{run_id}",
        requested_by=caller.name,
        run_alive=run_alive,
        project=project.title,
    )
    try:
        await airflow.trigger(run_id, conf)
    except Exception as error:
        # Refused, or something nobody foresaw: if the run exists after all, it has the job already, or takes it again.
        await run_in_threadpool(refuse, ctx, job.id, message(error))
        raise
    return job
