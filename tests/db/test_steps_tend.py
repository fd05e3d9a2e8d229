"""What is looked at every few minutes: late jobs, jobs whose run is gone, and the gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from project_export.errors import Failure
from project_export.steps import Context, Notice, Tasks, tend, wait_for_workers
from project_export.steps.waiting import Pace
from tests import runs


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path, told: list[Notice]) -> Context:
    made = runs.context(generated, ledger_dsn, tmp_path / "store", units=1, deadline_seconds=3600)
    return replace(made, channels={"told": told.append})


def older(ledger_dsn: str, hours: float) -> None:
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute(
            "UPDATE project_export_job SET created_at = created_at - make_interval(secs => %s)", [hours * 3600]
        )


def test_a_late_job_is_reported_once_and_goes_on(ctx: Context, ledger_dsn: str, told: list[Notice]) -> None:
    created = runs.started(ctx, "labels")
    assert (tend(ctx, lambda _: True).late, told) == (0, [])
    older(ledger_dsn, 1.1)
    for _ in range(2):
        assert tend(ctx, lambda _: True).late == 1
    (notice,) = told
    assert (notice.outcome, notice.subject, notice.facts["job_id"]) == (
        "late",
        "Project export is late",
        created.job_id,
    )
    assert "has not been exported yet. It was requested at" in notice.text
    assert "and is still being exported." in notice.text
    assert ctx.ledger.queries.job(created.job_id).state == "started"
    ctx.ledger.jobs.fail(created.job_id, [Failure("labels", 1, "no")])
    ctx.ledger.jobs.reopen(created.job_id)
    tend(ctx, lambda _: True)
    assert len(told) == 1


def test_without_a_deadline_or_with_no_notices_nobody_is_notified(
    ctx: Context, ledger_dsn: str, told: list[Notice]
) -> None:
    runs.started(ctx, "labels", after_export="none")
    older(ledger_dsn, 99)
    tend(ctx, lambda _: True)
    runs.started(ctx, "labels", project_id=2, run_id="dag/other")
    older(ledger_dsn, 99)
    never = replace(ctx, settings=ctx.settings.model_copy(update={"deadline_seconds": 0}))
    assert (tend(never, lambda _: True).late, told) == (0, [])


def test_the_waiter_reports_it_as_well(ctx: Context, ledger_dsn: str, told: list[Notice]) -> None:
    created = runs.started(ctx, "labels")
    runs.started(ctx, "labels", project_id=2, run_id="dag/other")
    older(ledger_dsn, 1.1)
    pace = Pace(first=0.1, later=0.1, silent=0.1)
    for first in (True, False):
        wait_for_workers(
            ctx, created.job_id, lambda: Tasks({}, others=1), workers=1, first=first, pool="p", remedy="none", pace=pace
        )
    assert [(notice.outcome, notice.facts["job_id"]) for notice in told] == [("late", created.job_id)]


def test_jobs_whose_run_is_gone_are_cancelled_and_the_gauges_set(ctx: Context, told: list[Notice]) -> None:
    gauges: dict[str, float] = {}

    class Gauges:
        def count(self, name: str, by: int, tags: Mapping[str, str]) -> None: ...

        def time(self, name: str, seconds: float, tags: Mapping[str, str]) -> None: ...

        def gauge(self, name: str, value: float) -> None:
            gauges[name] = value

    runs.started(ctx, "labels", run_id="dag/gone")
    runs.started(ctx, "labels", run_id="dag/other", project_id=2)
    tended = tend(replace(ctx, metrics=Gauges()), lambda name: name != "dag/gone")
    assert (tended.cancelled, tended.queued, tended.running, tended.late) == (1, 0, 1, 0)
    assert [notice.outcome for notice in told] == ["cancelled"]
    assert (gauges["project_export.running"], gauges["project_export.queued"]) == (1, 0)
