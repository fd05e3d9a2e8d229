"""The tables as SQLAlchemy models, which only this package uses; its callers get the values of `records`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from project_export.ledger.columns import BigKey, UtcDateTime, clock, lower_path
from project_export.ledger.records import Mode, Outcome, Reported
from project_export.ledger.states import PENDING, STATES

REVISION = "0012"
"""The migration that these models need; a test compares it with the newest one."""


def _among(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """The ledger's tables."""

    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own name for it)
        str: Text,
        int: BigInteger,
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class ProjectExportJob(Base):
    """One export of one project."""

    __tablename__ = "project_export_job"

    id: Mapped[int] = mapped_column(BigKey, Identity(), primary_key=True)
    source: Mapped[str]
    tree: Mapped[str]
    project_id: Mapped[int]
    run_id: Mapped[str]
    requested_by: Mapped[str]
    params: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]]
    consistency: Mapped[str]
    state: Mapped[str]
    errors: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    snapshot_generation: Mapped[int] = mapped_column(server_default=text("0"))
    snapshot_id: Mapped[str | None]
    snapshot_at: Mapped[datetime | None]
    archive_uri: Mapped[str | None]
    archive_bytes: Mapped[int | None]
    archive_sha256: Mapped[str | None]
    records: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=clock())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    grace_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    outcome: Mapped[str | None]
    mode: Mapped[str] = mapped_column(server_default=text("'full'"))
    predecessor_id: Mapped[int | None]
    waiting: Mapped[bool] = mapped_column(server_default=false())
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    admitted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(_among("state", STATES), name="project_export_job_state"),
        CheckConstraint(_among("outcome", get_args(Outcome)), name="project_export_job_outcome"),
        CheckConstraint(_among("consistency", ("relation", "project")), name="project_export_job_consistency"),
        CheckConstraint("project_id > 0", name="project_export_job_project_id"),
        CheckConstraint(_among("mode", get_args(Mode)), name="project_export_job_mode"),
        CheckConstraint(
            "(mode = 'changes') = (window_end IS NOT NULL) AND (window_start IS NULL OR window_start < window_end)",
            name="project_export_job_window",
        ),
        Index(
            "project_export_job_active",
            "source",
            "tree",
            "project_id",
            unique=True,
            postgresql_where=text(f"{_among('state', PENDING)} AND NOT waiting"),
            sqlite_where=text(f"{_among('state', PENDING)} AND NOT waiting"),
        ),
        Index("project_export_job_run", "run_id"),
        Index("project_export_job_ended", "finished_at"),
        Index("project_export_job_project", "project_id", "state"),
        Index("project_export_job_by_source", "source", "id"),
        Index("project_export_job_by_project", "project_id", "id"),
        Index("project_export_job_by_state", "state", "id"),
        Index("project_export_job_user", "requested_by", "admitted_at"),
        Index("project_export_job_by_path", lower_path(), "id"),
        {"sqlite_autoincrement": True},
    )


class RelationExport(Base):
    """One relation of a job, or one part of it."""

    __tablename__ = "relation_export"

    id: Mapped[int] = mapped_column(BigKey, Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(
        ForeignKey("project_export_job.id", name="relation_export_job", ondelete="CASCADE")
    )
    relation: Mapped[str]
    part: Mapped[int]
    parts: Mapped[int]
    unit: Mapped[int]
    position: Mapped[int]
    estimate: Mapped[int]
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    deaths: Mapped[int] = mapped_column(server_default=text("0"))
    owner: Mapped[str | None]
    error: Mapped[str | None]
    sqlstate: Mapped[str | None]
    generation: Mapped[int | None]
    records: Mapped[int] = mapped_column(server_default=text("0"))
    raw_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    stored_bytes: Mapped[int | None]
    crc32: Mapped[int | None]
    stored_crc32: Mapped[int | None]
    sha256: Mapped[str | None]
    uri: Mapped[str | None]
    remarks: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    omissions: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    heartbeat_at: Mapped[datetime | None]
    available_at: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    failed_attempts: Mapped[int] = mapped_column(server_default=text("0"))
    cancelled: Mapped[bool] = mapped_column(server_default=false())
    error_code: Mapped[str | None]
    files: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    snapshot: Mapped[bool] = mapped_column(server_default=true())

    __table_args__ = (
        CheckConstraint(_among("state", STATES), name="relation_export_state"),
        CheckConstraint("part >= 0 AND part < parts", name="relation_export_part"),
        UniqueConstraint("job_id", "relation", "part", name="relation_export_once"),
        Index("relation_export_job_state", "job_id", "state"),
        {"sqlite_autoincrement": True},
    )


class ProjectExportNotice(Base):
    """One notice: a job's outcome was reported over one channel."""

    __tablename__ = "project_export_notice"

    job_id: Mapped[int] = mapped_column(
        BigKey,
        ForeignKey("project_export_job.id", name="project_export_notice_job", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    outcome: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint(_among("outcome", get_args(Reported)), name="project_export_notice_outcome"),)


class ProjectExportToken(Base):
    """One token of the API, with the hash of its secret."""

    __tablename__ = "project_export_token"

    id: Mapped[int] = mapped_column(BigKey, Identity(), primary_key=True)
    user_name: Mapped[str]
    name: Mapped[str]
    claims: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("sha256", name="project_export_token_once"),
        Index("project_export_token_user", "user_name", "id"),
        {"sqlite_autoincrement": True},
    )


class ProjectExportRate(Base):
    """How many requests a user has made for an action in one minute, which is counted from 1970."""

    __tablename__ = "project_export_rate"

    user_name: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[int]
    requests: Mapped[int]

    __table_args__ = (Index("project_export_rate_minute", "minute"),)
