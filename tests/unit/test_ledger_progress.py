"""What a watcher sees of a job: its share, the time left, and its relations with their parts added up."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from project_export.errors import Failure
from project_export.ledger import Progress, Row
from project_export.ledger.progress import relations_of

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


def row(relation: str, state: str, *, part: int = 0, parts: int = 1, **values: Any) -> Row:
    facts: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__)
    facts |= {"id": 1, "job_id": 1, "relation": relation, "part": part, "parts": parts, "state": state}
    facts |= {"attempt": 1, "records": 0, "raw_bytes": 0, "estimate": 0, "queued_at": NOW}
    return Row(**facts | values)


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["finished", "finished"], "finished"),
        (["queued", "queued"], "queued"),
        (["queued", "finished"], "started"),
        (["started", "started"], "started"),
        (["finished", "failed"], "failed"),
        (["queued", "failed", "started"], "failed"),
    ],
)
def test_the_state_of_a_relation_follows_from_its_parts(states: list[str], whole: str) -> None:
    rows = [row("issues", state, part=part, parts=len(states)) for part, state in enumerate(states)]
    (relation,) = relations_of(rows, NOW)
    assert (relation.state, relation.parts) == (whole, len(states))
    assert relation.ended == sum(state in ("finished", "failed") for state in states)
    assert [getattr(relation, state) for state in ("queued", "started", "finished", "failed")] == [
        states.count(state) for state in ("queued", "started", "finished", "failed")
    ]


def test_the_parts_of_a_relation_are_added_up_in_the_order_of_the_rows() -> None:
    rows = [
        row("labels", "finished", records=2, raw_bytes=20, estimate=1),
        row("issues", "finished", records=3, raw_bytes=30, estimate=5, part=0, parts=2),
        row("issues", "started", records=4, raw_bytes=40, estimate=6, part=1, parts=2, attempt=3),
    ]
    labels, issues = relations_of(rows, NOW)
    assert (labels.relation, labels.records, labels.raw_bytes, labels.estimate, labels.attempt) == (
        *("labels", 2, 20),
        *(1, 1),
    )
    assert (issues.relation, issues.records, issues.raw_bytes, issues.estimate, issues.attempt) == (
        *("issues", 7, 70),
        *(11, 3),
    )


def test_the_heartbeat_age_is_that_of_the_started_part_that_has_been_silent_for_longest() -> None:
    beats = {0: 5, 1: 90, 2: 7200}
    rows = [
        row(
            "issues",
            "finished" if part == 2 else "started",
            part=part,
            parts=3,
            heartbeat_at=NOW - timedelta(seconds=age),
        )
        for part, age in beats.items()
    ]
    assert [relation.heartbeat_age for relation in relations_of(rows, NOW)] == [90.0]
    assert [relation.heartbeat_age for relation in relations_of(rows[2:], NOW)] == [None]


def test_each_part_that_has_an_error_is_named_whether_it_failed_or_waits_for_its_next_try() -> None:
    rows = [
        row("issues", "finished", part=0, parts=3),
        row("issues", "queued", part=1, parts=3, error="a lock", sqlstate="55P03", error_code="55P03", attempt=2),
        row("issues", "failed", part=2, parts=3, error="no right", sqlstate="42501", error_code="42501"),
    ]
    (relation,) = relations_of(rows, NOW)
    assert relation.errors == (
        Failure("issues", 2, "part 2 of 3: a lock", "55P03", None, "55P03"),
        Failure("issues", 1, "part 3 of 3: no right", "42501", None, "42501"),
    )


def test_the_share_is_counted_by_rows_where_no_cost_was_estimated() -> None:
    progress = Progress("started", 0, queued=1, started=0, finished=3, failed=0, records=0, raw_bytes=0, estimate=0)
    assert progress.share == 0.75
    assert progress.seconds_left is None
