"""Where stderr is no terminal, progress is lines: one for each relation that ends, one for all from time to time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from project_export.cli import progress as cli_progress
from project_export.cli.progress import progress


def row(relation: str, state: str, rows: int = 0) -> Any:
    return SimpleNamespace(relation=relation, state=state, rows=rows)


def test_a_relation_is_said_when_all_its_parts_have_ended_and_again_when_it_was_read_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as show:
        show([row("issues", "finished", 3), row("issues", "started", 1), row("labels", "finished", 2)])
        show([row("issues", "finished", 3), row("issues", "finished", 4), row("labels", "finished", 2)])
        show([row("issues", "queued"), row("issues", "queued"), row("labels", "failed")])
        show([row("issues", "finished", 5), row("issues", "failed"), row("labels", "failed")])
    assert capsys.readouterr().err.splitlines() == ["labels: 2 records", "issues: 7 records", "issues: failed"]


def test_from_time_to_time_the_sum_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli_progress, "LINE_SECONDS", 0.0)
    with progress() as show:
        show([row("issues", "started", 3), row("labels", "queued")])
    assert capsys.readouterr().err == "0 of 2 relation(s) or part(s) have ended, 3 records so far\n"
