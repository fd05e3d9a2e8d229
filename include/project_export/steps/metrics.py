"""What is counted and measured of exports, and under which names. An implementation of `Metrics` receives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from project_export.ledger import Change, Load

PREFIX = "project_export."

COUNTERS: Mapping[str, str] = {
    "jobs.queued": "jobs that were queued, also again",
    "jobs.admitted": "jobs whose turn has come",
    "jobs.started": "jobs that were started",
    "jobs.reopened": "jobs that were cleared after their end",
    "jobs.finished": "jobs that have finished",
    "jobs.failed": "jobs that have failed",
    "jobs.cancelled": "jobs whose run is gone",
    "snapshots": "snapshots that were shared, also those after a lost one",
    "relations.finished": "relations, or parts of them, that were exported",
    "relations.failed": "relations, or parts of them, that failed for good",
    "relations.cancelled": "relations, or parts of them, that were cancelled because another one had failed",
    "relations.repeated": "relations, or parts of them, that were queued again",
    "records": "exported records",
    "bytes": "exported bytes before compression",
    "archive_bytes": "bytes of published archives",
}
TIMINGS: Mapping[str, str] = {
    "job_seconds": "from the first start of a job to its end",
    "job_wait_seconds": "from the request of a job to its start",
    "relation_seconds": "from the start of the last attempt of a relation, or a part, to its end",
}
GAUGES: Mapping[str, str] = {
    "queued": "jobs that wait for their turn",
    "running": "jobs that have been admitted and have not ended",
    "oldest_queued_seconds": "age of the oldest job that waits",
    "oldest_running_seconds": "age of the oldest of the others",
    "late": "jobs that are past the deadline",
}
"""Names without PREFIX, and what they mean."""

_JOB_EVENTS = {
    "queue": "jobs.queued",
    "queue again": "jobs.queued",
    "admit": "jobs.admitted",
    "start": "jobs.started",
    "reopen": "jobs.reopened",
    "snapshot": "snapshots",
}
_ROW_EVENTS = {
    "finish": "relations.finished",
    "give up": "relations.failed",
    "fail": "relations.failed",
    "cancel": "relations.cancelled",
    "retry": "relations.repeated",
    "requeue": "relations.repeated",
}


class Metrics(Protocol):
    """Receives metrics. tags: names and values, for receivers that know tags."""

    def count(self, name: str, by: int, tags: Mapping[str, str]) -> None:
        """Add to a counter."""

    def time(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        """Add a duration."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""


class NoMetrics:
    """Receives metrics and drops them."""

    def count(self, name: str, by: int, tags: Mapping[str, str]) -> None:
        """Drop it."""

    def time(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        """Drop it."""

    def gauge(self, name: str, value: float) -> None:
        """Drop it."""


def measuring(metrics: Metrics) -> Callable[[Change], None]:
    """Return an observer of the ledger's changes that turns them into metrics."""

    def observe(change: Change) -> None:
        if change.relation is None:
            _of_job(metrics, change)
        else:
            _of_row(metrics, change, {"relation": change.relation})

    return observe


def measure(metrics: Metrics, load: Load, late: int) -> None:
    """Set the gauges."""
    metrics.gauge(f"{PREFIX}queued", load.queued)
    metrics.gauge(f"{PREFIX}running", load.running)
    metrics.gauge(f"{PREFIX}oldest_queued_seconds", load.oldest_queued_seconds)
    metrics.gauge(f"{PREFIX}oldest_running_seconds", load.oldest_running_seconds)
    metrics.gauge(f"{PREFIX}late", late)


def _of_job(metrics: Metrics, change: Change) -> None:
    tags = {"mode": change.mode} if change.mode else {}
    ended = change.event in ("finish", "fail", "refuse")
    name = f"jobs.{change.outcome}" if ended else _JOB_EVENTS.get(change.event)
    if name is not None:
        metrics.count(PREFIX + name, 1, tags)
    if change.wait_seconds is not None:
        metrics.time(f"{PREFIX}job_wait_seconds", change.wait_seconds, tags)
    if ended and change.seconds is not None:
        metrics.time(f"{PREFIX}job_seconds", change.seconds, tags)
    if change.event == "finish" and change.bytes is not None:
        metrics.count(f"{PREFIX}archive_bytes", change.bytes, tags)


def _of_row(metrics: Metrics, change: Change, tags: Mapping[str, str]) -> None:
    if name := _ROW_EVENTS.get(change.event):
        metrics.count(PREFIX + name, 1, tags)
    if change.event != "finish":
        return
    metrics.count(f"{PREFIX}records", change.records or 0, tags)
    metrics.count(f"{PREFIX}bytes", change.bytes or 0, tags)
    if change.seconds is not None:
        metrics.time(f"{PREFIX}relation_seconds", change.seconds, tags)
