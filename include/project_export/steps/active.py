"""The one active job of a project: find it, cancel it when its run is gone, reopen an ended one.

A job may be queued before its run is triggered, so for a while it counts as active whether its run exists or not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from project_export.errors import WHOLE, Failure, JobActive, MoveRefused
from project_export.ledger import Job
from project_export.steps.context import Context
from project_export.steps.notify import notify

log = logging.getLogger(__name__)

RunAlive = Callable[[str], bool]
"""Returns whether a run, given by the name that the ledger has for it, may still be working."""

TRIGGER_SECONDS = 60.0
"""How long a queued job may wait for its run to exist."""


def alive(ctx: Context, job: Job, run_alive: RunAlive) -> bool:
    """Return whether anybody may still work on an active job. How long it has been queued is up to the ledger's clock.

    The run is only asked for once the job has been queued for TRIGGER_SECONDS, or has started.
    """
    return (not job.planned and ctx.ledger.watch.awaits_run(job.id, TRIGGER_SECONDS)) or run_alive(job.run_id)


def living_job(ctx: Context, project_id: int, run_alive: RunAlive) -> Job | None:
    """Return the job that is exporting this project, or None.

    An active job whose run is gone is cancelled, and does not count.
    """
    job = ctx.ledger.queries.active_job(ctx.source, ctx.tree.name, project_id)
    if job is None or alive(ctx, job, run_alive):
        return job
    cancel(ctx, job)
    return None


def made_active(ctx: Context, project_id: int, run_alive: RunAlive, write: Callable[[], Job]) -> Job:
    """Return the job that `write` makes the active one of this project, or the living job that prevents it.

    write: raises JobActive if the project has an active job. One whose run is gone is cancelled, and does not count.
    """
    while True:
        try:
            return write()
        except JobActive:
            other = living_job(ctx, project_id, run_alive)
            if other is not None:
                return other


def cancel(ctx: Context, job: Job) -> bool:
    """Fail a job as cancelled and notify people; return False if it ended by itself in the meantime."""
    message = f"run {job.run_id} was cancelled or is gone"
    try:
        cancelled = ctx.ledger.jobs.fail(job.id, [Failure(WHOLE, 0, message, code="Cancelled")], cancelled=True)
    except MoveRefused:
        return False
    if cancelled:
        log.warning("job %d failed: %s", job.id, message)
        notify(ctx, job.id, "cancelled")
    return cancelled


def resume(ctx: Context, job: Job) -> None:
    """Reopen an ended job: requeue its failed rows, or all rows if it had finished."""
    if job.state not in ("failed", "finished"):
        return
    again = ("failed",) if job.state == "failed" else ("failed", "finished")
    if ctx.ledger.jobs.reopen(job.id, again, "the run was cleared or retried"):
        queued = ctx.ledger.queries.progress(job.id).queued
        log.info("job %d was %s and is open again; %d relation(s) or part(s) are queued", job.id, job.state, queued)
