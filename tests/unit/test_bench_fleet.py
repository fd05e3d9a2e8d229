"""The output of `python -m bench.fleet`. Whether the benchmark itself works is only seen by running it for minutes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from bench.fleet import Measured, table

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def job(queued: float, planned: float, published: float) -> Any:
    """A job with the seconds of each stage."""
    ends = [START + timedelta(seconds=one) for one in (queued, queued + planned, queued + planned + published)]
    names = ("admitted_at", "started_at", "finished_at")
    return SimpleNamespace(records=10, created_at=START, **dict(zip(names, ends, strict=True)))


def test_the_table_says_what_a_project_takes_and_which_process_uses_the_cpu() -> None:
    text = table(Measured(12, {"tasks": 3.0, "PostgreSQL": 1.0}, [job(0, 1, 2), job(4, 1, 6)]))
    assert text.splitlines() == [
        "2 projects with 20 records in 12 s, 4 CPU seconds: 6.00 s and 2.00 CPU seconds for each.",
        "",
        "| stage of a project | seconds, median (min to max) |",
        "| --- | ---: |",
        "| in the queue, until admitted | 2.0 (0.0 to 4.0) |",
        "| from then until planned | 1.0 (1.0 to 1.0) |",
        "| from then until published | 4.0 (2.0 to 6.0) |",
        "",
        "| process | CPU seconds | of all |",
        "| --- | ---: | ---: |",
        "| tasks | 3.0 | 75% |",
        "| PostgreSQL | 1.0 | 25% |",
    ]
