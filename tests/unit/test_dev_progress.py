from __future__ import annotations

import io
import threading
from typing import Any

import psycopg
import pytest
from rich.console import Console

from dev import progress
from dev.progress import growing, progress_view
from project_export.ledger import RelationProgress

NOT_SHOWN: dict[str, Any] = {"estimate": 1, "heartbeat_age": None, "errors": ()}


def relation(name: str, state: str, *, records: int = 0, attempt: int = 1) -> RelationProgress:
    counts = {one: int(one == state) for one in ("queued", "started", "finished", "failed")}
    return RelationProgress(
        name, state, **counts, attempt=attempt, records=records, raw_bytes=records * 100, **NOT_SHOWN
    )


def test_without_a_terminal_each_change_of_state_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=200)
    with progress_view(console) as show:
        show([])
        show([relation("issues", "started", records=1), relation("labels", "queued")])
        show([relation("issues", "started", records=2), relation("labels", "queued")])
        show([relation("issues", "finished", records=3, attempt=2), relation("labels", "queued")])
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[ 0/2] issues: started, 1 records, 100 bytes",
        "[ 1/2] issues: finished, 3 records, 300 bytes (attempt 2)",
    ]


def test_on_a_terminal_all_relations_are_in_one_table() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with progress_view(console) as show:
        show([relation("issues", "finished", records=1234), relation("labels", "failed")])
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
