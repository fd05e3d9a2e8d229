"""What has to be looked at every few minutes, whether anybody works on an export or not."""

from __future__ import annotations

from dataclasses import dataclass

from project_export.steps.active import RunAlive, alive, cancel
from project_export.steps.context import Context
from project_export.steps.metrics import measure
from project_export.steps.notify import notify_late


@dataclass(frozen=True)
class Tended:
    """The numbers of jobs that are queued, running and late, and of those cancelled because their run is gone."""

    queued: int
    running: int
    late: int
    cancelled: int


def tend(ctx: Context, run_alive: RunAlive) -> Tended:
    """Cancel active jobs whose run is gone, notify people of late ones, set the gauges, and return the numbers."""
    gone = [job for job in ctx.ledger.retention.active_jobs() if not alive(ctx, job, run_alive)]
    cancelled = sum(cancel(ctx.of(job.source), job) for job in gone)
    notify_late(ctx)
    load = ctx.ledger.watch.load()
    deadline = ctx.settings.deadline_seconds
    late = len(ctx.ledger.watch.late(deadline)) if deadline else 0
    measure(ctx.metrics, load, late)
    return Tended(load.queued, load.running, late, cancelled)
