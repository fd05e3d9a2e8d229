"""fail_fast: the first relation that fails for good cancels all others; and how long is watched after a failure."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import BadRequest, Failure, RelationsFailed, UnitFailed
from project_export.ledger import Row
from project_export.request import Request
from project_export.steps import Context, Created, watch
from tests.runs import (
    assert_same,
    attempts,
    backends,
    context,
    locked,
    merge,
    path_of,
    started,
    wait_until,
    work,
    worker,
)

Start = Callable[..., tuple[Context, Created]]


@pytest.fixture
def start(role: str, generated_copy: str, ledger_dsn: str, tmp_path: Path) -> Start:
    """Start an export of labels and releases, one unit each, as a role that may not read labels."""
    may_read(generated_copy, role)
    with psycopg.connect(generated_copy) as conn:
        conn.execute(SQL("REVOKE SELECT ON labels FROM {}").format(Identifier(role)))

    def connect() -> Any:
        return psycopg.connect(generated_copy, options=f"-c role={role}")

    def begin(**request: Any) -> tuple[Context, Created]:
        ctx = replace(context(generated_copy, ledger_dsn, tmp_path), connect=connect)
        return ctx, started(ctx, "labels", "releases", consistency="relation", **request)

    return begin


def may_read(source: str, role: str) -> None:
    with psycopg.connect(source) as conn:
        conn.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(Identifier(role)))


def row(ctx: Context, created: Created, relation: str) -> Row:
    return next(row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == relation)


def states(ctx: Context, created: Created) -> dict[str, str]:
    return {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)}


def fail_labels(ctx: Context, created: Created) -> None:
    with pytest.raises(UnitFailed, match="42501"):
        worker(ctx, created, row(ctx, created, "labels").unit).run()


def test_the_first_failure_cancels_what_runs_and_what_waits_and_a_clear_exports_it(
    start: Start, generated_copy: str, role: str
) -> None:
    ctx, created = start(fail_fast=True)
    with ThreadPoolExecutor(1) as pool, locked(generated_copy, "releases"):
        running = pool.submit(worker(ctx, created, row(ctx, created, "releases").unit).run)
        wait_until(lambda: row(ctx, created, "releases").state == "started")
        fail_labels(ctx, created)
        assert running.result(20).parts == 0
        assert wait_until(lambda: not backends(generated_copy))
    assert states(ctx, created) == {"project": "failed", "labels": "failed", "releases": "failed"}
    cancelled = row(ctx, created, "project")
    assert (cancelled.cancelled, cancelled.error_code) == (True, "Cancelled")
    assert cancelled.error == "labels had failed (fail_fast)"
    with pytest.raises(RelationsFailed) as caught:
        merge(ctx, created)
    own, others = caught.value.failures
    assert (own.relation, own.sqlstate) == ("labels", "42501")
    assert str(others) == "2 other relation(s) or part(s) were cancelled"
    assert ctx.ledger.queries.job(created.job_id).errors == (own, others)

    may_read(generated_copy, role)
    assert work(ctx, created, attempt=2) == []
    assert_same(path_of(merge(ctx, created, attempt=2)), generated_copy, 1, "labels", "releases")
    assert attempts(ctx, created) == {"project": 1, "labels": 2, "releases": 2}


def test_without_it_the_others_are_exported(start: Start) -> None:
    ctx, created = start()
    fail_labels(ctx, created)
    assert states(ctx, created) == {"project": "finished", "labels": "failed", "releases": "finished"}


def test_the_watch_cancels_what_is_pending_when_the_process_that_failed_did_not(start: Start) -> None:
    ctx, created = start(fail_fast=True)
    ctx.ledger.claims.fail_rows([row(ctx, created, "labels").id], "killed twice")
    progress, _ = watch(ctx, created.job_id, {})
    assert (progress.failed, progress.pending) == (3, 0)


def test_what_was_queued_again_meanwhile_is_not_cancelled(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, created = start(fail_fast=True)
    ctx.ledger.claims.fail_rows([row.id for row in ctx.ledger.queries.rows(created.job_id)], "killed twice")
    failures = ctx.ledger.queries.failures

    def read_before_the_clear(job_id: int) -> list[Failure]:
        found = failures(job_id)
        ctx.ledger.claims.requeue([row.id for row in ctx.ledger.queries.rows(job_id)], "the run was cleared")
        return found

    monkeypatch.setattr(ctx.ledger.queries, "failures", read_before_the_clear)
    progress, _ = watch(ctx, created.job_id, {})
    assert (progress.failed, progress.queued) == (0, 3)


def test_the_merge_exports_nothing_more_when_a_relation_has_failed(start: Start) -> None:
    ctx, created = start(fail_fast=True)
    ctx.ledger.claims.fail_rows([row(ctx, created, "labels").id], "killed twice")
    with pytest.raises(RelationsFailed, match=r"killed twice(.|\n)*2 other relation"):
        merge(ctx, created)
    assert attempts(ctx, created) == {"project": 0, "labels": 0, "releases": 0}


def test_after_a_failure_the_watch_lasts_while_a_unit_is_left_that_may_take_it_up(start: Start) -> None:
    ctx, created = start()
    fail_labels(ctx, created)
    units = range(len(created.titles))
    assert watch(ctx, created.job_id, {unit: "success" for unit in units if unit != 1})[1] is False
    assert watch(ctx, created.job_id, dict.fromkeys(units, "success"))[1] is True


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_what_is_neither_true_nor_false_is_refused(start: Start, value: object) -> None:
    ctx, _ = start()
    with pytest.raises(BadRequest, match="fail_fast must be true or false"):
        Request.from_params({"project_id": 1, "fail_fast": value}, ctx.tree)
