"""Request an export before its run exists: a queued job, which the run's create starts.

The caller writes the job, then triggers the run. If that fails, the caller refuses the job; if the caller dies in
between, the job is cancelled once it has waited for too long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from project_export.errors import WHOLE, Failure, MoveRefused
from project_export.ledger import Job, JobRequest, being_exported
from project_export.request import Request
from project_export.steps.active import RunAlive, living_job, made_active
from project_export.steps.context import Context
from project_export.steps.notify import notify
from project_export.steps.upload import check_upload
from project_export.steps.windows import Opened

log = logging.getLogger(__name__)

NOT_STARTED = "NotStarted"
"""The code of the error of a job whose run could not be triggered."""


def request_export(
    ctx: Context, request: Request, *, run_id: str, requested_by: str, run_alive: RunAlive, project: str = ""
) -> Job:
    """Queue a job for a run that is triggered next, after the checks that need neither the source nor the store.

    run_id: the name that the ledger will have for the run. requested_by: the name that Airflow will have for the user
    who triggers it. The caller has checked that this user may export the project: create accepts the job of that user.
    project: what people call the project, empty if that is unknown.
    Raises SettingMissing, LedgerOutdated, LedgerBusy, BadRequest, DeliveryFailed, and JobActive if the project has an
    active job, whatever `request.if_running` says. A job whose run is gone does not count; it is cancelled.
    """
    for name in ctx.required:
        ctx.settings.required(name)
    ctx.ledger.check()
    other = living_job(ctx, request.project_id, run_alive)
    if other is not None:
        raise being_exported(other)
    if request.upload_url:
        check_upload(ctx, request.upload_url)
    wanted = job_request(ctx, request, run_id, requested_by, {"project": project})
    job = made_active(ctx, request.project_id, run_alive, lambda: ctx.ledger.jobs.queue(wanted))
    if job.run_id != run_id:
        raise being_exported(job)
    log.info("job %d of project %d is queued for run %s", job.id, job.project_id, run_id)
    return job


def job_request(
    ctx: Context,
    request: Request,
    run_id: str,
    requested_by: str,
    plan: Mapping[str, Any],
    grace_seconds: int = 0,
    window: Opened | None = None,
) -> JobRequest:
    """Return what the ledger keeps of a request. plan: what is known of it so far. window: once it is known."""
    return JobRequest(
        source=ctx.source,
        tree=ctx.tree.name,
        project_id=request.project_id,
        run_id=run_id,
        requested_by=requested_by,
        consistency=request.consistency or ctx.settings.consistency,
        params=request.kept(),
        plan={**plan, **(window.kept() if window else {})},
        grace_seconds=grace_seconds,
        mode=request.mode,
        window_start=window.start if window else request.window_start,
        window_end=request.window_end,
        predecessor_id=window.predecessor_id if window else None,
    )


def refuse(ctx: Context, job_id: int, reason: str) -> bool:
    """Fail a queued job whose run could not be triggered, and notify people.

    reason: why. Return False, having changed nothing, if the job has ended, or if its run exists after all and has
    started it.
    """
    try:
        error = Failure(WHOLE, 0, reason, code=NOT_STARTED)
        refused = ctx.ledger.jobs.fail(job_id, [error], queued_only=True)
    except MoveRefused:
        return False
    if refused:
        log.warning("job %d failed: %s", job_id, reason)
        notify(ctx, job_id, "failed")
    return refused
