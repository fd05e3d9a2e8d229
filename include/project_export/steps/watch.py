"""Judge a job from its table: which rows are still worked on, which lost their process, how far it is.

The table is the truth; what the scheduler says of the units' tasks only tells whose process is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from project_export.ledger import Job, Progress, Row
from project_export.steps.context import Context
from project_export.steps.process import Process

log = logging.getLogger(__name__)

_MOST_DEATHS = 2


def watch(ctx: Context, job_id: int, ended: Mapping[int, str]) -> tuple[Progress, bool]:
    """Judge every pending row and return the job's progress and whether the waiting is over.

    ended: the units whose task is over for good, by number, and how it ended (success, failed, ...). A row whose unit
    has ended without finishing it, and a row without a sign of life for settings.hung_seconds, are queued again, and
    failed when they did so twice; a process that gives no sign of life is killed if it is one of this machine. The
    waiting is over when all is finished, or when no unit is left: what is queued then, the merge exports itself, and
    while one is left, it may still take up what has failed (it was cleared).
    """
    started = ctx.ledger.started(job_id)
    for unit, how in ended.items():
        dead = [row for row in started if _unit(row) == unit]
        release(ctx, dead, f"the task of its unit {unit} ended as {how} without finishing it (killed? out of memory?)")
    hung_seconds = ctx.settings.hung_seconds
    hung = [row for row in ctx.ledger.stale(job_id, hung_seconds) if _unit(row) not in ended]
    for row in hung:
        release(ctx, [row], f"no sign of life for {hung_seconds:.0f} s{_ended(row)}; the attempt was revoked")
    job = ctx.ledger.job(job_id)
    fail_fast(ctx, job)
    progress = ctx.ledger.progress(job_id)
    log.info(
        "%d of %d finished, %d running, %d queued, %d failed; %d records, %d bytes",
        progress.finished,
        progress.total,
        progress.started,
        progress.queued,
        progress.failed,
        progress.rows,
        progress.raw_bytes,
    )
    units = len(job.plan["titles"])
    abandoned = len(ended) >= units and not progress.started
    return progress, progress.finished == progress.total or abandoned


def fail_fast(ctx: Context, job: Job) -> None:
    """Cancel all that is pending in a job once a relation has failed for good, if the job's request asks for that.

    A running unit finds its attempt revoked at its next sign of life, and cancels its query.
    """
    if not job.params.get("fail_fast"):
        return
    failures = ctx.ledger.failures(job.id)
    if failures:
        reason = f"{failures[0].relation} had failed (fail_fast)"
        count = ctx.ledger.cancel_rows(job.id, reason)
        if count:
            log.warning("job %d: %d relation(s) or part(s) are cancelled: %s", job.id, count, reason)


def release(ctx: Context, rows: Sequence[Row], reason: str) -> None:
    """Queue started rows again whose process is gone; the second death in a row's life fails it, and it alone."""
    for row in rows:
        seen = {row.id: row.attempt}
        if row.deaths + 1 < _MOST_DEATHS:
            changed = ctx.ledger.requeue(seen, reason, died=True)
        else:
            changed = ctx.ledger.fail_rows(seen, f"{reason}; it was the {row.deaths + 1}. time")
        if changed:
            log.warning("%s, attempt %d: %s", row.relation, row.attempt, reason)


def _ended(row: Row) -> str:
    """End the frozen process that holds a row, for it would keep its unit's task, and so the run, for ever."""
    process = Process.parse((row.owner or "").partition(" ")[2])
    if process is None:
        return ""
    who = f" from process {process.pid} on {process.host}"
    return f"{who}, which was killed" if process.kill() else f"{who} (if it still is there, end it: kill -9)"


def _unit(row: Row) -> int | None:
    """Return the number of the unit that holds a row, from its owner (run/unit/try)."""
    parts = (row.owner or "").rsplit("/", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].lstrip("-").isdigit() else None
