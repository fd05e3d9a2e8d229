"""How far a job is, for its line and its page alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from project_export.ledger import Job, Progress
from project_export.ledger.states import FINISHED, PENDING

_ALMOST = 0.99


@dataclass(frozen=True)
class Expected:
    """How much a relation is expected to have; None where that is unknown."""

    records: int | None = None
    raw_bytes: int | None = None


@dataclass(frozen=True)
class Done:
    """How much of a job is done.

    share: between 0 and 1. ended, total: parts. raw_bytes: exported so far; expected_bytes: None if unknown.
    seconds: how long the job has taken so far, seconds_left: None if unknown.
    """

    share: float
    ended: int
    total: int
    raw_bytes: int
    expected_bytes: int | None
    seconds: float
    seconds_left: float | None


def done(job: Job, progress: Progress, now: datetime) -> Done:
    """Return how much of a job is done. now: by the ledger's clock."""
    expected = expected_of(job)
    sizes = [one.raw_bytes for one in expected.values() if one.raw_bytes is not None]
    expected_bytes = sum(sizes) if sizes else None
    share = 1.0 if job.state == FINISHED else _share(progress, expected_bytes)
    seconds = ((job.finished_at or now) - job.created_at).total_seconds()
    left = None
    if job.state in PENDING and progress.began is not None and share > 0:
        left = (now - progress.began).total_seconds() * (1 - share) / share
    ended = progress.finished + progress.failed
    return Done(share, ended, progress.total, progress.raw_bytes, expected_bytes, max(seconds, 0), left)


def _share(progress: Progress, expected_bytes: int | None) -> float:
    """Return the greater of two shares: the cost of what is finished, and the bytes so far, which move all the time."""
    if not progress.total:
        return 0.0
    by_bytes = min(progress.raw_bytes / expected_bytes, _ALMOST) if expected_bytes else 0.0
    return max(min(progress.share, _ALMOST), by_bytes)  # the archive is still to be merged


def expected_of(job: Job) -> dict[str, Expected]:
    """Return how much each relation of a job is expected to have, as its plan says."""
    planned: Mapping[str, Any] = job.plan.get("expected") or {}
    return {name: Expected(one.get("records"), one.get("raw_bytes")) for name, one in planned.items()}
