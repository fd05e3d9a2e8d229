"""However a step fails, its job ends with that error, and people are notified once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from project_export.errors import (
    WHOLE,
    AwaitsTurn,
    Failure,
    JobActive,
    JobMissing,
    LedgerBusy,
    MoveRefused,
    Permanent,
    ProjectExportError,
    RelationsFailed,
    Stopped,
    foreseen,
)
from project_export.ledger import Job
from project_export.ledger.scrub import scrub
from project_export.ledger.states import PENDING
from project_export.steps.context import Context
from project_export.steps.hold import RESUMABLE, resumable_until
from project_export.steps.notify import notify

log = logging.getLogger(__name__)


@contextmanager
def ending(
    ctx: Context,
    job_id: int,
    *,
    last_try: bool,
    what: str = "",
    queued_only: bool = False,
    ask: Callable[[Callable[[], bool]], bool] = lambda write: write(),
) -> Iterator[None]:
    """Fail the job when the block raises what ends it, and raise that as an error of the tree.

    A permanent error ends it, and so does any error on the last try, except one that says that the job has already
    ended, belongs to another process, or waits for its turn. last_try: no retry follows. what: precedes the message in
    the job's error.
    queued_only: a job that has started does not fail. ask: calls the ledger, and knows how long to wait for its answer.
    """
    try:
        yield
    except Exception as error:
        known = foreseen(error)
        others = isinstance(known, (AwaitsTurn, Stopped, MoveRefused, JobActive, JobMissing))
        if not others and (last_try or isinstance(known, Permanent)):
            failures = known.failures if isinstance(known, RelationsFailed) else [Failure.whole(known, what)]
            _fail(ctx, job_id, failures, ask, queued_only=queued_only)
        if known is error:
            raise
        raise known from error


def _fail(
    ctx: Context,
    job_id: int,
    failures: list[Failure] | tuple[Failure, ...],
    ask: Callable[[Callable[[], bool]], bool],
    *,
    queued_only: bool = False,
) -> None:
    # An earlier failure was reported then. If that was prevented, because an answer was lost, `prune` reports it.
    try:
        if ask(lambda: ctx.ledger.jobs.fail(job_id, failures, queued_only=queued_only)):
            notify(ctx, job_id, "failed")
            _say_until(ctx, job_id)
    except (MoveRefused, JobMissing) as error:
        log.warning("job %d is not marked failed: %s", job_id, error)
    except LedgerBusy as error:
        log.error("job %d could not be marked failed; its project's next run or prune_exports does: %s", job_id, error)


def _say_until(ctx: Context, job_id: int) -> None:
    until = _until(ctx, job_id)
    if until is not None:
        log.error("job %d: failed, resumable until %s", job_id, until.strftime(RESUMABLE))


def _until(ctx: Context, job_id: int) -> datetime | None:
    try:
        return resumable_until(ctx, job_id)
    except ProjectExportError as error:
        log.warning("job %d: cannot find out whether its snapshot is still held: %s", job_id, error)
        return None


def failure(ctx: Context, job_id: int, error: ProjectExportError) -> dict[str, Any]:
    """Return what programs learn about a failed merge, as JSON values.

    job_id; errors: relation, attempt, message, sqlstate, code and at (ISO 8601) of each; resumable_until: the
    time until which its snapshot is held (ISO 8601), null if it is not.
    """
    failures = error.failures if isinstance(error, RelationsFailed) else (Failure.whole(error),)
    until = _until(ctx, job_id)
    return {
        "job_id": job_id,
        "errors": [{**asdict(one), "message": scrub(one.message)} for one in failures],
        "resumable_until": until and until.isoformat(),
    }


def conclude(ctx: Context, run_id: str, reason: str) -> Job | None:
    """Return the job of a run that has stopped working, or None if the run has no job.

    A job that is still open, because the process that should have ended it died or could not reach the ledger, fails
    with that reason.
    """
    job = ctx.ledger.queries.job_of_run(run_id)
    if job is None or job.state not in PENDING:
        return job
    _fail(ctx, job.id, [Failure(WHOLE, 0, reason)], lambda write: write())
    return ctx.ledger.queries.job(job.id)
