"""Judge a job by its rows in the ledger: which are being exported, which lost their process, and the progress.

The ledger decides. The scheduler's view of the tasks only shows which processes have ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from project_export.ledger import Job, Progress, Row
from project_export.settings import Settings
from project_export.steps.context import Context
from project_export.steps.owner import Owner

log = logging.getLogger(__name__)

KILLED, SILENT, STARVED = "Killed", "Silent", "Starved"
"""Codes of failures without an exception; see `Failure.code`."""
_MOST_DEATHS = 2
_BEATS, _MOST_SILENT_SECONDS = 4, 30.0


class Silence:
    """What one process remembers about rows without a heartbeat, from one look to the next.

    A row hangs if it stays silent while it is being watched. After a time in which the ledger did not answer, no
    worker could write a heartbeat, but each writes its next one within a few intervals.
    """

    def __init__(self, settings: Settings) -> None:
        self.seconds = min(_BEATS * settings.heartbeat_seconds, settings.hung_seconds, _MOST_SILENT_SECONDS)
        self._seen: dict[tuple[int, datetime | None], float] = {}

    def __bool__(self) -> bool:
        """Whether a row is silent, and must be looked at again."""
        return bool(self._seen)

    def lasting(self, silent: Sequence[Row]) -> list[Row]:
        """Return the rows that have been silent for long enough, since an earlier look."""
        now = time.monotonic()
        self._seen = {key: self._seen.get(key, now) for key in map(_sign, silent)}
        return [row for row in silent if now - self._seen[_sign(row)] >= self.seconds]


def watch(ctx: Context, job_id: int, ended: Mapping[int, str], silence: Silence | None = None) -> tuple[Progress, bool]:
    """Judge every pending row and return the job's progress and whether the waiting is over.

    ended: how each worker's task ended (success, failed, ...), by the worker's number, for tasks that will not run
    again. A row whose worker ended without finishing it, and a row without a heartbeat for settings.hung_seconds, are
    requeued, and fail the second time; a silent process on this machine is killed. The waiting is over when all rows
    are finished, or when no worker is left: the merge exports what is still queued. While a worker is left, it may
    still take up rows that failed and were cleared.
    silence: for a caller that looks repeatedly; without it, a row is judged at the first look.
    """
    started = ctx.ledger.queries.rows(job_id, "started")
    for unit, how in ended.items():
        dead = [row for row in started if _unit(row) == unit]
        reason = f"the task of its worker {unit} ended as {how} without finishing it (killed? out of memory?)"
        release(ctx, dead, reason, KILLED)
    hung_seconds = ctx.settings.hung_seconds
    silent = [row for row in ctx.ledger.watch.stale(job_id, hung_seconds) if _unit(row) not in ended]
    living = {row.owner for row in started if row.id not in {one.id for one in silent}}
    for row in silence.lasting(silent) if silence is not None else silent:
        end = "" if row.owner in living else _ended(row)
        release(ctx, [row], f"no sign of life for {hung_seconds:.0f} s{end}; the attempt was revoked", SILENT)
    job = ctx.ledger.queries.job(job_id)
    fail_fast(ctx, job)
    progress = ctx.ledger.queries.progress(job_id)
    left = progress.seconds_left
    log.info(
        "%.0f %%%s: %d of %d finished, %d running, %d queued, %d failed; %d records, %d bytes",
        100 * progress.share,
        "" if left is None or not progress.pending else f", about {timedelta(seconds=round(left))} left",
        progress.finished,
        progress.total,
        progress.started,
        progress.queued,
        progress.failed,
        progress.records,
        progress.raw_bytes,
    )
    units = len(job.plan["titles"])
    abandoned = len(ended) >= units and not progress.started
    return progress, progress.finished == progress.total or abandoned


def fail_fast(ctx: Context, job: Job) -> None:
    """Cancel all pending rows of a job once a relation has failed for good, if the request asks for that.

    A running worker learns of it at its next heartbeat, and cancels its query.
    """
    if not job.params.get("fail_fast"):
        return
    failures = ctx.ledger.queries.failures(job.id)
    if failures:
        reason = f"{failures[0].relation} had failed (fail_fast)"
        count = ctx.ledger.claims.cancel_rows(job.id, reason)
        if count:
            log.warning("job %d: %d relation(s) or part(s) were cancelled: %s", job.id, count, reason)


def give_up(ctx: Context, job_id: int, reason: str) -> bool:
    """Fail the queued rows if no worker has worked on any export for settings.slot_wait_seconds; return whether it did.

    reason: the error of the first row; the others are cancelled.
    """
    if not ctx.ledger.watch.stalled(job_id, ctx.settings.slot_wait_seconds):
        return False
    queued = ctx.ledger.queries.rows(job_id, "queued")
    failed = ctx.ledger.claims.fail_rows({row.id: row.attempt for row in queued[:1]}, reason, STARVED)
    ctx.ledger.claims.cancel_rows(job_id, reason)
    return bool(failed)


def release(ctx: Context, rows: Sequence[Row], reason: str, code: str) -> None:
    """Requeue started rows whose process is gone. code: see `Failure.code`, in case a row fails.

    A row, and only that row, fails when its process dies for the second time, or in its last attempt.
    """
    for row in rows:
        seen = {row.id: row.attempt}
        tries = row.failed_attempts + 1
        if row.deaths + 1 >= _MOST_DEATHS:
            changed = ctx.ledger.claims.fail_rows(seen, f"{reason}; this was the second time", code)
        elif tries >= ctx.settings.max_attempts:
            changed = ctx.ledger.claims.fail_rows(seen, f"{reason}; this was the last of {tries} attempt(s)", code)
        else:
            changed = ctx.ledger.claims.requeue(seen, reason, died=True)
        if changed:
            log.warning("%s, attempt %d: %s", row.relation, row.attempt, reason)


def _ended(row: Row) -> str:
    """Kill the frozen process that holds a row: otherwise its task, and so the run, would never end."""
    owner = Owner.parse(row.owner)
    process = owner.process if owner else None
    if process is None:
        return ""
    who = f" from process {process.pid} on {process.host}"
    return f"{who}, which was killed" if process.kill() else f"{who} (if it still exists, end it: kill -9)"


def _sign(row: Row) -> tuple[int, datetime | None]:
    """Return what changes with each attempt and each heartbeat."""
    return row.id, row.heartbeat_at


def _unit(row: Row) -> int | None:
    """Return the number of the worker that holds a row."""
    owner = Owner.parse(row.owner)
    return owner.unit if owner else None
