"""Hold one snapshot for all workers of a job: one open transaction, whose snapshot they import.

Each snapshot is a generation of the job. Two snapshots are never mixed: a new generation requeues all rows of older
ones that need a snapshot, and an attempt that read another snapshot is fenced off.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from project_export.errors import JobMissing, LedgerBusy, SnapshotMissing, SourceRefused
from project_export.ledger import Job
from project_export.source import Session
from project_export.steps.context import Context

log = logging.getLogger(__name__)

RESUMABLE = "%H:%M %Z: clear the failed tasks to export only what is missing"
_MOST_GENERATIONS = 8
_GRACE_SECONDS = 60
"""How much later than its holder the server would end a snapshot, so that the holder can log why."""


@dataclass(frozen=True)
class Loan:
    """A session on the snapshot of a generation; None if the snapshot is no longer held.

    generation: 0 if the session has a transaction of its own, for rows that need no snapshot.
    """

    session: Session | None
    generation: int


def lend(ctx: Context, job_id: int, session: Session, seen: int | None = None) -> int:
    """Start a new generation of the job with the session's snapshot, and return the generation's number.

    seen: the generation whose snapshot was found lost; by default the job's present one. Of several callers that saw
    the same generation, one wins. Raises AttemptRevoked when another was first, SourceRefused on a standby whose
    primary may remove rows that the snapshot still sees (hot_standby_feedback is off), and SnapshotMissing when
    snapshots were lost too often.
    """
    standby, feedback = session.one("SELECT pg_is_in_recovery(), current_setting('hot_standby_feedback') = 'on'")
    if standby and not feedback:
        message = "the source is a standby without hot_standby_feedback, where a shared snapshot may read wrong rows"
        raise SourceRefused(f"{message}. Switch it on, or export with consistency=relation.")
    generation = (ctx.ledger.queries.job(job_id).snapshot_generation if seen is None else seen) + 1
    if generation > _MOST_GENERATIONS:
        message = f"the snapshot of job {job_id} was lost {_MOST_GENERATIONS} times"
        raise SnapshotMissing(f"{message}. Find out why its holder ends, or export with consistency=relation.")
    reason = "the snapshot was lost; all relations are read from a new one"
    ctx.ledger.jobs.begin_generation(job_id, generation, session.export_snapshot(), reason)
    if generation > 1:
        log.warning(
            "job %d: generation %d starts with a new snapshot; all relations that need one are read again",
            job_id,
            generation,
        )
    return generation


def borrow(ctx: Context, job_id: int, name: str, wait_seconds: float) -> Loan | None:
    """Return a session on the job's snapshot, or the generation whose snapshot is lost; None if no row is queued.

    Waits up to `wait_seconds` for a snapshot, unless no queued row needs one.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        with ctx.ledger.watch.listening(job_id) as wait:
            job = ctx.ledger.queries.job(job_id)
            if job.snapshot_id is not None:
                try:
                    return Loan(ctx.session(name, job.snapshot_id), job.snapshot_generation)
                except SnapshotMissing:
                    log.info("the snapshot of generation %d is gone", job.snapshot_generation)
            progress = ctx.ledger.queries.progress(job_id)
            if progress.state != "started" or not progress.queued:
                return None  # there will be no other snapshot
            if not any(row.snapshot for row in ctx.ledger.queries.rows(job_id, "queued")):
                return Loan(ctx.session(name), 0)
            left = deadline - time.monotonic()
            if left <= 0:
                return Loan(None, job.snapshot_generation)
            wait(min(left, 2.0))


def resumable_until(ctx: Context, job_id: int) -> datetime | None:
    """Return the time until which a failed job can be resumed with its snapshot; None if the snapshot is lost."""
    job = ctx.ledger.queries.job(job_id)
    if job.snapshot_id is None or job.finished_at is None or not ctx.ledger.watch.in_grace(job_id):
        return None
    try:
        ctx.session(f"job {job_id} looks for its snapshot", job.snapshot_id).close()
    except SnapshotMissing:
        return None
    oldest = (job.snapshot_at or job.finished_at) + timedelta(seconds=ctx.settings.snapshot_max_seconds)
    return min(job.finished_at + timedelta(seconds=job.grace_seconds), oldest)


class Holder:
    """Holds the snapshot of a job while relations need it. Not safe for several threads at once.

    Pending relations need it, and so do failed ones during the job's grace period: they can be read from it again.
    """

    def __init__(self, ctx: Context, job_id: int) -> None:
        self._ctx = ctx
        self._job_id = job_id
        most_seconds = ctx.settings.snapshot_max_seconds + _GRACE_SECONDS
        self._session = ctx.session(f"job {job_id} snapshot", most_seconds=most_seconds)
        self._since = time.monotonic()
        self._failed = False
        try:
            self.generation = lend(ctx, job_id, self._session)
        except BaseException:
            self._session.close()
            raise

    @classmethod
    def of(cls, ctx: Context, job_id: int) -> Holder | None:
        """Return a holder of a new snapshot; None if no pending relation needs one. Raises what `lend` raises."""
        return cls(ctx, job_id) if ctx.ledger.queries.progress(job_id).on_snapshot else None

    def needed(self) -> bool:
        """Keep the session busy, and return whether the job still needs it. Raises SourceBusy when it is lost."""
        self._session.one("SELECT 1")
        if time.monotonic() - self._since > self._ctx.settings.snapshot_max_seconds:
            log.warning("job %d: the snapshot has reached its maximum age and is released", self._job_id)
            return False
        try:
            return self._needed(self._ctx.ledger.queries.job(self._job_id))
        except LedgerBusy as error:
            log.warning("job %d: the snapshot is still held: %s", self._job_id, error)
            return True
        except JobMissing:
            return False

    def _needed(self, job: Job) -> bool:
        ledger, idle_seconds = self._ctx.ledger, self._ctx.settings.snapshot_wait_seconds
        if job.snapshot_generation != self.generation:
            return False
        if job.state != "started":
            return self._kept(job)
        self._failed = False
        progress = ledger.queries.progress(job.id)
        if not progress.on_snapshot and not (progress.failed and job.grace_seconds):
            return False  # nothing failed, or nothing can be resumed
        if ledger.watch.quiet(job.id, idle_seconds):
            text = "job %d: nobody has worked on it for %.0f s, so the snapshot is released"
            log.warning(text, job.id, idle_seconds)
            return False
        return True

    def _kept(self, job: Job) -> bool:
        """Return whether the snapshot is kept for a failed job; log at first for how long."""
        if not self._ctx.ledger.watch.in_grace(job.id) or job.finished_at is None:
            return False
        if not self._failed:
            until = job.finished_at + timedelta(seconds=job.grace_seconds)
            log.warning("job %d: failed, resumable until %s", job.id, until.strftime(RESUMABLE))
            self._failed = True
        return True

    def close(self) -> None:
        """Release the snapshot."""
        self._session.close()
