"""The waiter hears of changes that PostgreSQL announces."""

from __future__ import annotations

import threading
import time

import pytest

from project_export.errors import RelationsFailed
from project_export.steps import Context, Tasks, wait_for_workers
from project_export.steps.waiting import Pace
from tests.runs import context, started


@pytest.fixture
def ctx(generated: str, database: str, tmp_path) -> Context:
    return context(generated, database, tmp_path, units=1)


def test_the_last_change_of_a_job_ends_the_first_call_at_once(ctx: Context) -> None:
    created = started(ctx, "labels")
    rows = {row.id: row.attempt for row in ctx.ledger.queries.rows(created.job_id)}
    failing = threading.Timer(0.5, ctx.ledger.claims.fail_rows, (rows, "no right", None))
    began = time.monotonic()
    failing.start()
    with pytest.raises(RelationsFailed):
        wait_for_workers(
            ctx,
            created.job_id,
            lambda: Tasks({0: "failed"}) if failing.finished.is_set() else Tasks({}, others=1),
            workers=1,
            first=True,
            pool="exports",
            remedy="",
            pace=Pace(first=200),
        )
    assert time.monotonic() - began < 100
    failing.join()
