"""Where stderr is no terminal, progress is lines: one for each relation that ends, one for all from time to time."""

from __future__ import annotations

from typing import Any

import pytest

from project_export.cli import progress as cli_progress
from project_export.cli.progress import progress
from project_export.ledger import RelationProgress

NOT_SHOWN: dict[str, Any] = {"estimate": 1, "heartbeat_age": None, "errors": ()}


def relation(name: str, records: int = 0, **parts: int) -> RelationProgress:
    """A relation with so many parts in each state."""
    counts = {state: parts.get(state, 0) for state in ("queued", "started", "finished", "failed")}
    return RelationProgress(name, "", **counts, attempt=1, records=records, raw_bytes=0, **NOT_SHOWN)


def test_a_relation_is_reported_when_all_its_parts_have_ended_and_again_when_it_was_read_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as show:
        show([relation("issues", 4, finished=1, started=1), relation("labels", 2, finished=1)])
        show([relation("issues", 7, finished=2), relation("labels", 2, finished=1)])
        show([relation("issues", queued=2), relation("labels", failed=1)])
        show([relation("issues", 5, finished=1, failed=1), relation("labels", failed=1)])
    assert capsys.readouterr().err.splitlines() == ["labels: 2 records", "issues: 7 records", "issues: failed"]


def test_from_time_to_time_the_sum_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_progress, "LINE_SECONDS", 0.0)
    with progress() as show:
        show([relation("issues", 3, started=1), relation("labels", queued=1)])
    assert capsys.readouterr().err == "0 of 2 relation(s) or part(s) have ended, 3 records so far\n"
