"""The values that go into the ledger and come out of it, all frozen. Times are the database's, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from project_export.errors import Failure

Outcome = Literal["finished", "failed", "cancelled"]
"""How a job ended, as it is reported. cancelled: it failed because its run is gone."""

Reported = Literal["finished", "failed", "cancelled", "late"]
"""What is reported of a job: its outcome, or that it is late."""

Mode = Literal["full", "changes"]
"""What a job exports: the whole project, or the records that changed in a window of time."""


@dataclass(frozen=True)
class JobRequest:
    """What a new job exports, and for whom.

    source: the connection id (or a name) of the database that is read; run_id: the run that owns the job;
    grace_seconds: how long its snapshot is kept after a failure. window_start, window_end, predecessor_id: see `Job`.
    waiting: the job waits for its turn, so the project may have another active job.
    """

    source: str
    tree: str
    project_id: int
    run_id: str
    requested_by: str
    consistency: str = "project"
    params: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    grace_seconds: int = 0
    mode: Mode = "full"
    window_start: datetime | None = None
    window_end: datetime | None = None
    predecessor_id: int | None = None
    waiting: bool = False


@dataclass(frozen=True)
class Planned:
    """One relation, or one part of it, of a new job.

    position: the relation's position in the archive. part: counts from 0 to parts - 1. unit: the number of the worker
    that it is planned for. estimate: the expected cost, on any scale; expensive rows are claimed first. snapshot:
    whether it must be read from the snapshot that the job's relations share.
    """

    relation: str
    position: int
    unit: int = 0
    estimate: int = 0
    part: int = 0
    parts: int = 1
    snapshot: bool = True


@dataclass(frozen=True)
class Job:
    """A row of project_export_job. outcome: how it ended, None while it is active.

    A job that was queued for a run has neither a plan nor rows until that run starts it. waiting: it is queued and
    waits for its turn, so the project may have another active job. admitted_at: when its turn came; None while it is to
    come, and for jobs that need none. window_start, window_end: of mode `changes`, the window whose changes it exports,
    with its start and without its end; without a start it has everything up to the end. predecessor_id: the job whose
    window ends where this one starts.
    """

    id: int
    source: str
    tree: str
    project_id: int
    run_id: str
    requested_by: str
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
    mode: Mode
    predecessor_id: int | None
    waiting: bool
    window_start: datetime | None
    window_end: datetime | None
    admitted_at: datetime | None

    @property
    def planned(self) -> bool:
        """Whether it has ever been started, and so has a plan and rows."""
        return self.started_at is not None


@dataclass(frozen=True)
class Row:
    """A row of relation_export: one relation of a job, or one part of it.

    records and raw_bytes: exported so far while it is started, those of the part when it is finished. remarks: what is
    odd about the part, or what the source's version does not have. omissions: what the source has, or may have, and the
    part lacks. attempt: counts all attempts; failed_attempts: those that failed since the job was opened or reopened,
    deaths included. deaths: processes that died while they worked on it. error_code: see `Failure.code`. cancelled: it
    failed only because another row had failed. snapshot: see `Planned`.
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
    records: int
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
    snapshot: bool

    @property
    def failure(self) -> Failure:
        """Its last error."""
        part = f"part {self.part + 1} of {self.parts}: " if self.parts > 1 else ""
        return Failure(
            self.relation,
            self.attempt,
            part + (self.error or "no error was recorded"),
            self.sqlstate,
            self.finished_at.isoformat(" ", "seconds") if self.finished_at else None,
            self.error_code,
        )


@dataclass(frozen=True)
class Load:
    """How much there is to do. queued: jobs that have not been admitted. running: all other jobs that have not ended.

    oldest_queued_seconds, oldest_running_seconds: since the oldest of each was requested; 0 if there is none.
    """

    queued: int
    running: int
    oldest_queued_seconds: float
    oldest_running_seconds: float


@dataclass(frozen=True)
class Claim:
    """The right of one attempt to write a row, until another attempt has the row. Every later write names it.

    failed_attempts: attempts that failed before this one, since the job was opened or reopened. snapshot: see
    `Planned`.
    """

    row_id: int
    job_id: int
    relation: str
    part: int
    parts: int
    attempt: int
    generation: int
    failed_attempts: int = 0
    snapshot: bool = True


@dataclass(frozen=True)
class Beat:
    """A heartbeat of one claim, with the number of records and raw bytes written so far."""

    row_id: int
    attempt: int
    records: int
    raw_bytes: int


class WrittenPart(Protocol):
    """What the ledger keeps of a written part; `archive.part.PartFacts` implements it."""

    @property
    def records(self) -> int:
        """Number of records."""

    @property
    def raw_bytes(self) -> int:
        """Size before compression."""

    @property
    def stored_bytes(self) -> int:
        """Size in the store."""

    @property
    def crc32(self) -> int:
        """CRC-32 of the raw bytes."""

    @property
    def stored_crc32(self) -> int:
        """CRC-32 of the stored bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the raw bytes, in hexadecimal."""
