from __future__ import annotations

import io
import threading
from datetime import datetime, timezone

import psycopg
import pytest
from rich.console import Console

from dev import progress
from dev.progress import Relation, growing, progress_view, relations
from project_export.ledger import Row

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


def row(relation: str, state: str, *, rows: int = 0, part: int = 0, attempt: int = 1) -> Row:
    facts = dict.fromkeys(Row.__dataclass_fields__)
    facts |= {"id": 1, "job_id": 1, "relation": relation, "part": part, "state": state, "rows": rows}
    return Row(**facts | {"raw_bytes": rows * 100, "attempt": attempt, "queued_at": NOW})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["finished", "finished"], "finished"),
        (["queued", "queued"], "queued"),
        (["queued", "finished"], "started"),
        (["started", "started"], "started"),
        (["finished", "failed"], "failed"),
    ],
)
def test_the_state_of_a_relation_follows_from_its_parts(states: list[str], whole: str) -> None:
    rows = [row("issues", state, part=part) for part, state in enumerate(states)]
    assert [relation.state for relation in relations(rows)] == [whole]


def test_the_parts_of_a_relation_are_added_up_in_the_order_of_the_rows() -> None:
    rows = [row("labels", "finished", rows=2), row("issues", "finished", rows=3), row("issues", "finished", rows=4)]
    assert relations(rows) == [
        Relation("labels", "finished", 2, 200, 1),
        Relation("issues", "finished", 7, 700, 1),
    ]


def test_without_a_terminal_each_change_of_state_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=200)
    with progress_view(console) as show:
        show([])
        show([row("issues", "started", rows=1), row("labels", "queued")])
        show([row("issues", "started", rows=2), row("labels", "queued")])
        show([row("issues", "finished", rows=3, attempt=2), row("labels", "queued")])
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[ 0/2] issues: started, 1 records, 100 bytes",
        "[ 1/2] issues: finished, 3 records, 300 bytes (attempt 2)",
    ]


def test_on_a_terminal_all_relations_are_in_one_table() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with progress_view(console) as show:
        show([row("issues", "finished", rows=1234), row("labels", "failed")])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 of 2 relations" in text
    assert "1,234" in text
    assert "failed" in text


def test_what_takes_long_says_how_large_it_has_become(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    sizes, enough = iter([psycopg.OperationalError("not there yet"), 1_500_000, 2_500_000]), threading.Event()

    def size() -> int:
        if (now := next(sizes, None)) is None:
            enough.set()
            return 0
        if isinstance(now, Exception):
            raise now
        return now

    out = io.StringIO()
    with growing(Console(file=out, width=100), "sample", size):
        assert enough.wait(60)
    assert [line.strip().split(" after ")[0] for line in out.getvalue().splitlines()][:2] == [
        "sample: 1.5 MB",
        "sample: 2.5 MB",
    ]


def test_a_terminal_is_not_filled_with_what_takes_long() -> None:
    out = io.StringIO()
    with growing(Console(file=out, width=100, force_terminal=True), "sample", lambda: 1):
        pass
    assert "after" not in out.getvalue()
