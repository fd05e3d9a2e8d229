"""How far a job is: as a whole, on a page of jobs, and for each of its relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from project_export.errors import Failure
from project_export.ledger.records import Job, Row
from project_export.ledger.states import FAILED, FINISHED, QUEUED, STARTED


@dataclass(frozen=True)
class Progress:
    """How far a job is: the number of its rows in each state, and sums over all of them.

    generation: of the snapshot. records, raw_bytes: exported so far. estimate: the expected cost; estimate_done: the
    part of it that is finished. on_snapshot: pending rows that need the job's snapshot. began: when the first row was
    claimed; now: by the same clock.
    """

    state: str
    generation: int
    queued: int
    started: int
    finished: int
    failed: int
    records: int
    raw_bytes: int
    estimate: int
    estimate_done: int = 0
    on_snapshot: int = 0
    began: datetime | None = None
    now: datetime | None = None

    @property
    def share(self) -> float:
        """How much is done, between 0 and 1, by the estimated cost of the relations."""
        if self.finished == self.total:
            return 1.0 if self.total else 0.0  # a queued job has no rows yet
        return self.estimate_done / self.estimate if self.estimate else self.finished / self.total

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the present speed, None before anything is finished."""
        if not self.share or self.began is None or self.now is None:
            return None
        return (self.now - self.began).total_seconds() * (1 - self.share) / self.share

    @property
    def pending(self) -> int:
        """Rows that are neither finished nor failed."""
        return self.queued + self.started

    @property
    def total(self) -> int:
        """All rows."""
        return self.pending + self.finished + self.failed


@dataclass(frozen=True)
class JobProgress:
    """A job of a page, and how far it is."""

    job: Job
    progress: Progress


@dataclass(frozen=True)
class RelationProgress:
    """One relation of a job: its parts counted by state and added up.

    state: failed when a part is, finished when all are, queued when all are, else started. attempt: the highest of its
    parts. records, raw_bytes: exported so far. estimate: the expected cost. heartbeat_age: seconds since the last
    heartbeat of the started part that has been silent for longest, None when no part is started. errors: the last error
    of each part that has one, whether it failed or waits for its next attempt.
    """

    relation: str
    state: str
    queued: int
    started: int
    finished: int
    failed: int
    attempt: int
    records: int
    raw_bytes: int
    estimate: int
    heartbeat_age: float | None
    errors: tuple[Failure, ...]

    @property
    def parts(self) -> int:
        """All parts."""
        return self.queued + self.started + self.finished + self.failed

    @property
    def ended(self) -> int:
        """Parts that are finished or failed."""
        return self.finished + self.failed


def relations_of(rows: Sequence[Row], now: datetime) -> list[RelationProgress]:
    """Return the progress of each relation, in the order of the rows. now: by the ledger's clock."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.relation, []).append(row)
    return [_added_up(relation, its, now) for relation, its in parts.items()]


def _added_up(relation: str, rows: Sequence[Row], now: datetime) -> RelationProgress:
    states = Counter(row.state for row in rows)
    beats = [row.heartbeat_at for row in rows if row.state == STARTED and row.heartbeat_at]
    return RelationProgress(
        relation,
        FAILED if states[FAILED] else rows[0].state if len(states) == 1 else STARTED,
        **{state: states[state] for state in (QUEUED, STARTED, FINISHED, FAILED)},
        attempt=max(row.attempt for row in rows),
        records=sum(row.records for row in rows),
        raw_bytes=sum(row.raw_bytes for row in rows),
        estimate=sum(row.estimate for row in rows),
        heartbeat_age=(now - min(beats)).total_seconds() if beats else None,
        errors=tuple(row.failure for row in rows if row.error is not None),
    )
