"""Wait for the workers of a job: how long to listen, when to look again, and what to do when no worker gets a slot.

The caller is a waiter that calls again and again and may release its own slot in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from project_export.errors import LedgerBusy, RelationsFailed
from project_export.ledger import Progress, Wait
from project_export.steps.context import Context
from project_export.steps.notify import notify_late
from project_export.steps.watch import Silence, give_up, watch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How long a call of `wait_for_workers` waits, in seconds.

    first: the first call of a waiter. It is the longest, so that a small export is merged within a second of its last
    relation. later: every other call. silent: any call while a row gives no sign of life, because only a process that
    keeps watching notices that the row stays silent.
    tasks: between two looks for what the ledger does not announce: a task that ends, a silent row that gives a sign.
    busy: between two looks while relations finish. Each look asks the scheduler about all tasks; one look per relation
    would cost as much as the export of a small project.
    """

    first: float = 15.0
    later: float = 3.0
    silent: float = 40.0
    tasks: float = 0.5
    busy: float = 1.0


PACE = Pace()


@dataclass(frozen=True)
class Tasks:
    """What the scheduler says about the tasks of a job's workers, by the workers' numbers.

    ended: tasks that are over for good, with how they ended. waiting: tasks that could run but have no slot.
    others: the number of tasks in any other state; these run, or wait for something else than a slot.
    """

    ended: Mapping[int, str]
    waiting: Sequence[int] = ()
    others: int = 0


@dataclass(frozen=True)
class Waited:
    """over: whether nothing is left to wait for. starved: workers that never got a slot; the caller ends their tasks.

    With starved workers the job's rows have failed, and the merge reports it, but only after these tasks have ended.
    """

    over: bool
    starved: tuple[int, ...] = ()


def wait_for_workers(
    ctx: Context,
    job_id: int,
    ask: Callable[[], Tasks],
    *,
    workers: int,
    first: bool,
    pool: str,
    remedy: str,
    pace: Pace = PACE,
) -> Waited:
    """Watch a job until it needs no more waiting, or until the time for one call is up.

    ask: asks the scheduler about the tasks. workers: their number. first: whether this is the waiter's first call.
    pool: name of the pool from which the tasks get their slots. remedy: what to do when the pool gives none.

    While the ledger does not answer, the caller has to call again. Raises LedgerBusy when it does not answer and all
    workers have ended, and RelationsFailed when the waiting is over and relations have failed.
    """
    try:
        notify_late(ctx, job_id)
        tasks, over = _watched(ctx, job_id, ask, pace, first=first)
        if not over:
            return Waited(over=False, starved=_starved(ctx, job_id, tasks, pool, remedy))
        failures = ctx.ledger.queries.failures(job_id)
    except LedgerBusy as error:
        if len(ask().ended) >= workers:
            raise
        log.warning("%s The waiter will look again.", error)
        return Waited(over=False)
    if failures:
        raise RelationsFailed(failures)
    return Waited(over=True)


def wait_for_news(ask: Callable[[], Progress], seen: Progress, wait: Wait, seconds: float, pace: Pace = PACE) -> None:
    """Wait until the job is worth another look, for at most `seconds`.

    It is worth one after its last relation, after a failure, and after any change once `pace.busy` has passed.
    ask: returns the job's progress. seen: the progress at the last look. wait: see `Watch.listening` of the ledger.
    """
    started = time.monotonic()
    while (left := started + seconds - time.monotonic()) > 0 and wait(left):
        now = ask()
        if not now.pending or now.failed > seen.failed or time.monotonic() - started >= pace.busy:
            break


def _watched(ctx: Context, job_id: int, ask: Callable[[], Tasks], pace: Pace, *, first: bool) -> tuple[Tasks, bool]:
    """Watch the job for the time of one call; return the last answer of the scheduler and whether the wait is over."""
    started, silence = time.monotonic(), Silence(ctx.settings)
    seconds = pace.first if first else pace.later
    with ctx.ledger.watch.listening(job_id) as wait:
        while True:
            tasks = ask()
            progress, over = watch(ctx, job_id, tasks.ended, silence)
            left = started + (max(seconds, pace.silent) if silence else seconds) - time.monotonic()
            if over or left <= 0:
                return tasks, over
            # After a failure, all that is left to wait for is the end of the workers, which nothing announces.
            soon = silence or not progress.pending
            wait_for_news(
                lambda: ctx.ledger.queries.progress(job_id),
                progress,
                wait,
                min(left, pace.tasks) if soon else left,
                pace,
            )


def _starved(ctx: Context, job_id: int, tasks: Tasks, pool: str, remedy: str) -> tuple[int, ...]:
    """Warn when no worker has a slot; give the export up, and return its workers, when this has lasted too long.

    A task cannot ask whether its pool exists, and the scheduler reports a missing pool in its own log only. The
    scheduler starts workers before the waiter, so while the waiter runs, they lack slots of their own pool.
    """
    if not tasks.waiting or tasks.others:
        return ()
    reason = f"no worker has got a slot in the pool {pool!r}"
    seconds = ctx.settings.slot_wait_seconds
    if not give_up(ctx, job_id, f"{reason} for {seconds:.0f} s; {remedy}"):
        log.warning("%s yet; if no other export is running, %s", reason, remedy)
        return ()
    log.error("%s for %.0f s, so the export fails; %s", reason, seconds, remedy)
    return tuple(tasks.waiting)
