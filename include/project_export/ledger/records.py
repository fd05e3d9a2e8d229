"""What goes into the ledger and comes out of it: plain frozen values. All times are the database's, with their zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from project_export.errors import Failure

Outcome = Literal["finished", "failed", "cancelled"]
"""How a job ended, as people are told; cancelled: it was failed because its run is gone."""


@dataclass(frozen=True)
class JobRequest:
    """What a new job is about.

    source: the connection id (or a name) of the database that is read; run_id: the run that owns the job;
    grace_seconds: how long its snapshot is to be kept after a failure.
    """

    source: str
    tree: str
    project_id: int
    run_id: str
    requested_by: str
    consistency: str = "project"
    description: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    grace_seconds: int = 0


@dataclass(frozen=True)
class Planned:
    """One relation, or one part of it, of a new job.

    position: the relation's place in the archive; part counts from 0 to parts - 1;
    unit: the work unit that it is planned for; estimate: its expected cost, in any unit, the larger the earlier.
    """

    relation: str
    position: int
    unit: int = 0
    estimate: int = 0
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Job:
    """A row of project_export_job. outcome: how it ended, None while it is active."""

    id: int
    source: str
    tree: str
    project_id: int
    run_id: str
    requested_by: str
    description: str | None
    params: Mapping[str, Any]
    plan: Mapping[str, Any]
    consistency: str
    state: str
    errors: tuple[Failure, ...]
    snapshot_generation: int
    snapshot_id: str | None
    snapshot_at: datetime | None
    archive_uri: str | None
    archive_bytes: int | None
    archive_sha256: str | None
    records: int | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    grace_seconds: int
    outcome: Outcome | None


@dataclass(frozen=True)
class Row:
    """A row of relation_export.

    rows and raw_bytes: so far while it is started, of the part when it is finished. remarks: what is odd, or its
    version does not have. omissions: what the source has, or may have, and the part lacks. failed_attempts: since the
    job was opened, deaths included; `attempt` counts all there ever were. error_code: see `Failure.code`. cancelled: it
    was failed only because another row had failed.
    """

    id: int
    job_id: int
    relation: str
    part: int
    parts: int
    unit: int
    position: int
    estimate: int
    state: str
    attempt: int
    deaths: int
    owner: str | None
    error: str | None
    sqlstate: str | None
    generation: int | None
    rows: int
    raw_bytes: int
    stored_bytes: int | None
    crc32: int | None
    stored_crc32: int | None
    sha256: str | None
    uri: str | None
    remarks: tuple[str, ...]
    heartbeat_at: datetime | None
    available_at: datetime | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failed_attempts: int
    omissions: tuple[str, ...]
    cancelled: bool
    error_code: str | None


@dataclass(frozen=True)
class Claim:
    """The right to write one row, until somebody else takes it. Every later write names it.

    failed_attempts: how many have failed before this one, since the job was opened.
    """

    row_id: int
    job_id: int
    relation: str
    part: int
    parts: int
    attempt: int
    generation: int
    failed_attempts: int = 0


@dataclass(frozen=True)
class Beat:
    """A sign of life of one claim: how many rows and raw bytes it has so far."""

    row_id: int
    attempt: int
    rows: int
    raw_bytes: int


class WrittenPart(Protocol):
    """What the ledger keeps of a written part; `archive.part.PartFacts` implements it."""

    @property
    def rows(self) -> int:
        """Lines."""

    @property
    def raw_bytes(self) -> int:
        """Size before compression."""

    @property
    def stored_bytes(self) -> int:
        """Size as it lies in the store."""

    @property
    def crc32(self) -> int:
        """CRC-32 of the raw bytes."""

    @property
    def stored_crc32(self) -> int:
        """CRC-32 of the stored bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the raw bytes, in hexadecimal."""


@dataclass(frozen=True)
class Progress:
    """How far a job is: rows of relation_export by state, and the sums over all of them.

    estimate_done: the estimates of the finished rows. began: when the first row was claimed; now: by the same clock.
    """

    state: str
    generation: int
    queued: int
    started: int
    finished: int
    failed: int
    rows: int
    raw_bytes: int
    estimate: int
    estimate_done: int = 0
    began: datetime | None = None
    now: datetime | None = None

    @property
    def share(self) -> float:
        """How much is done, between 0 and 1, by what the relations were estimated to cost."""
        if self.finished == self.total:
            return 1.0
        return self.estimate_done / self.estimate if self.estimate else self.finished / self.total

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on as it did so far; None while nothing tells."""
        if not self.share or self.began is None or self.now is None:
            return None
        return (self.now - self.began).total_seconds() * (1 - self.share) / self.share

    @property
    def pending(self) -> int:
        """Rows that are neither finished nor failed."""
        return self.queued + self.started

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return self.finished

    @property
    def total(self) -> int:
        """All rows."""
        return self.pending + self.finished + self.failed
