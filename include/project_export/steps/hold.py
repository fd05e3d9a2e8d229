"""Hold one snapshot for all units of a job: one open transaction, whose snapshot they import.

Each holding is a generation of the job. Two snapshots are never mixed: a new generation queues all rows of older ones
again, and an attempt that read another snapshot is fenced off.
"""

from __future__ import annotations

import logging
import time

from project_export.errors import LedgerBusy, SnapshotMissing, SourceRefused
from project_export.source import Session
from project_export.steps.context import Context

log = logging.getLogger(__name__)

_MOST_GENERATIONS = 8
_GRACE_SECONDS = 60
"""By which the server would end a snapshot later than its holder, who can say why."""


def lend(ctx: Context, job_id: int, session: Session) -> int:
    """Make the session's snapshot that of a new generation of the job and return the generation's number.

    Raises AttemptRevoked when another holder was first, SourceRefused on a standby whose primary may remove rows that
    the snapshot still sees (hot_standby_feedback is off), SnapshotMissing when snapshots were lost too often.
    """
    standby, feedback = session.one("SELECT pg_is_in_recovery(), current_setting('hot_standby_feedback') = 'on'")
    if standby and not feedback:
        message = "the source is a standby without hot_standby_feedback, where a shared snapshot may read wrong rows"
        raise SourceRefused(f"{message}. Switch it on, or export with consistency=relation.")
    generation = ctx.ledger.snapshot(job_id).generation + 1
    if generation > _MOST_GENERATIONS:
        message = f"the snapshot of job {job_id} was lost {_MOST_GENERATIONS} times"
        raise SnapshotMissing(f"{message}. See why its holder ends, or export with consistency=relation.")
    if generation > 1:
        log.warning(
            "job %d: generation %d begins with a new snapshot; all relations are read again", job_id, generation
        )
    snapshot = session.export_snapshot()
    ctx.ledger.requeue_generation(job_id, generation, "the snapshot was lost; all relations are read from a new one")
    ctx.ledger.set_snapshot(job_id, generation, snapshot)
    return generation


def borrow(ctx: Context, job_id: int, name: str, wait_seconds: float) -> tuple[Session, int] | None:
    """Return a session that reads the job's held snapshot, and its generation; None when nothing is left to read.

    Waits so many seconds for somebody to hold one. Raises SnapshotMissing.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        with ctx.ledger.listening(job_id) as wait:
            snapshot = ctx.ledger.snapshot(job_id)
            if snapshot.id is not None:
                try:
                    return ctx.session(name, snapshot.id), snapshot.generation
                except SnapshotMissing:
                    log.info("the snapshot of generation %d is gone", snapshot.generation)
            progress = ctx.ledger.progress(job_id)
            if progress.state != "started" or not progress.queued:
                return None  # nobody will hold one any more
            left = deadline - time.monotonic()
            if left <= 0:
                message = f"nobody holds a snapshot for job {job_id} (waited {wait_seconds:.0f} s)"
                raise SnapshotMissing(f"{message}. Does a triggerer run, and has hold_snapshot started?")
            wait(min(left, 2.0))


class Holder:
    """Holds the snapshot of a job while relations are pending. Not for several threads at once."""

    def __init__(self, ctx: Context, job_id: int) -> None:
        self._ctx = ctx
        self._job_id = job_id
        most_seconds = ctx.settings.snapshot_max_seconds + _GRACE_SECONDS
        self._session = ctx.session(f"job {job_id} snapshot", most_seconds=most_seconds)
        self._since = time.monotonic()
        try:
            self.generation = lend(ctx, job_id, self._session)
        except BaseException:
            self._session.close()
            raise

    def needed(self) -> bool:
        """Touch the snapshot and say whether the job still needs it. Raises SourceBusy when the connection is lost."""
        self._session.one("SELECT 1")
        if time.monotonic() - self._since > self._ctx.settings.snapshot_max_seconds:
            log.warning("job %d: the snapshot has reached its greatest age and is given up", self._job_id)
            return False
        try:
            snapshot = self._ctx.ledger.snapshot(self._job_id)
            progress = self._ctx.ledger.progress(self._job_id)
        except LedgerBusy as error:
            log.warning("job %d: the snapshot is held on: %s", self._job_id, error)
            return True
        return snapshot.generation == self.generation and progress.state == "started" and progress.pending > 0

    def close(self) -> None:
        """Give the snapshot up."""
        self._session.close()
