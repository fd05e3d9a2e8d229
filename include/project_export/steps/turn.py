"""A queued job waits for its turn: its create asks, and asks again later, until the ledger admits the job."""

from __future__ import annotations

import logging

from project_export.errors import AwaitsTurn, JobMissing
from project_export.ledger import Job, Turn
from project_export.ledger.states import PENDING
from project_export.steps.active import RunAlive, alive, cancel
from project_export.steps.context import Context

log = logging.getLogger(__name__)

SHORTEST_SECONDS, LONGEST_SECONDS = 10.0, 300.0
"""Airflow 3.3 often loses a task that is rescheduled for less than the shortest (apache/airflow#71172)."""
_SECONDS_EACH = 3.0
"""For each export before a job. Each question is a whole task, so hundreds of waiting jobs must not ask often."""
_SILENT_SECONDS = 60.0


def await_turn(ctx: Context, job: Job, run_alive: RunAlive) -> None:
    """Return once a queued job is admitted. Raises AwaitsTurn, which says when to ask again, while it is not.

    Jobs before it whose run is gone are cancelled, so they keep nobody waiting.
    """
    while True:
        turn = ctx.ledger.queue.admit(job.id, ctx.settings.exports_at_a_time)
        if turn.admitted:
            return
        gone = [other for other in _before(ctx, turn) if not alive(ctx, other, run_alive)]
        if not sum(cancel(ctx.of(other.source), other) for other in gone):
            seconds = min(max(SHORTEST_SECONDS, _SECONDS_EACH * turn.ahead), LONGEST_SECONDS)
            raise AwaitsTurn(f"Job {job.id} waits for its turn: {reason(turn)}.", seconds)


def reason(turn: Turn) -> str:
    """Return what a job waits for, as a half-sentence."""
    exports = "1 export is" if turn.ahead == 1 else f"{turn.ahead} exports are"
    if turn.blocker is None:
        return f"{exports} before it"
    return f"{exports} before it, and job {turn.blocker} of the same project is one of them"


def _before(ctx: Context, turn: Turn) -> list[Job]:
    """Return the jobs that keep this one waiting and may have lost their run.

    Only the first in line looks at all that run: each look costs one question to the scheduler for each silent job.
    """
    if turn.blocker is not None:
        try:
            blocker = ctx.ledger.queries.job(turn.blocker)
        except JobMissing:
            return []
        return [blocker] if blocker.state in PENDING else []
    return ctx.ledger.queue.silent(_SILENT_SECONDS) if turn.ahead == 1 else []
