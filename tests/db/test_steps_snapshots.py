"""One snapshot for all workers: who holds it, what happens when it is lost, and that two are never mixed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace

import psycopg
import pytest

from project_export.errors import AttemptRevoked, SnapshotMissing
from project_export.ledger import Job, Watch
from project_export.steps import Context, Holder
from tests.archives import read_archive
from tests.runs import (
    Make,
    assert_same,
    attempts,
    backends,
    locked,
    merge,
    path_of,
    started,
    work,
    worker,
)
from tests.workers import blocked


def test_all_units_read_the_moment_at_which_the_snapshot_was_taken(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, "labels", "boards")
    assert created.shared
    holder = Holder(ctx, created.job_id)
    before = count(generated_copy, "labels")
    with psycopg.connect(generated_copy) as conn:
        conn.execute("DELETE FROM boards")
        conn.execute("UPDATE labels SET title = title || ' changed'")
    assert work(ctx, created) == []
    assert not holder.needed()
    holder.close()
    found = read_archive(path_of(merge(ctx, created)))
    assert len(found["labels"]) == before
    assert not [record for record in found["labels"] if record["title"].endswith(" changed")]
    assert found["boards"]


def count(source: str, table: str) -> int:
    with psycopg.connect(source) as conn:
        query = psycopg.sql.SQL("SELECT count(*) FROM {} WHERE project_id = 1").format(psycopg.sql.Identifier(table))
        return int(conn.execute(query).fetchone()[0])  # type: ignore[index]


def test_a_unit_without_a_holder_gives_up_after_a_while_and_says_what_to_look_at(make: Make) -> None:
    ctx = make(units=2, snapshot_wait_seconds=0.1)
    created = started(ctx, "labels", "boards")
    with pytest.raises(SnapshotMissing, match=r"nobody holds a snapshot for job .* Is a triggerer running"):
        worker(ctx, created).run()
    assert set(attempts(ctx, created).values()) == {0}


def test_a_unit_stops_waiting_for_a_snapshot_when_nothing_is_left_to_read(
    make: Make, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make(units=2, snapshot_wait_seconds=600)
    created = started(ctx, "labels", "boards")
    asked, listening = threading.Event(), Watch.listening
    monkeypatch.setattr(Watch, "listening", lambda watch, job_id: asked.set() or listening(watch, job_id))
    late = pool.submit(worker(ctx, created, 1).run)
    assert asked.wait(20)
    ctx.ledger.claims.fail_rows([row.id for row in ctx.ledger.queries.rows(created.job_id)], "by another unit")
    assert late.result(20).parts == 0


def test_a_lost_snapshot_begins_a_new_generation_and_all_rows_are_read_again(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, "labels", "boards")
    first = Holder(ctx, created.job_id)
    worker(ctx, created).run()
    assert {row.state for row in ctx.ledger.queries.rows(created.job_id)} == {"finished"}
    first.close()
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE labels SET title = title || ' changed'")
    second = Holder(ctx, created.job_id)
    assert (first.generation, second.generation) == (1, 2)
    assert {row.state for row in ctx.ledger.queries.rows(created.job_id)} == {"queued"}
    assert work(ctx, created, attempt=2) == []
    assert {row.generation for row in ctx.ledger.queries.rows(created.job_id)} == {2}
    second.close()
    assert_same(path_of(merge(ctx, created)), generated_copy, 1, "labels", "boards")


def test_a_unit_with_an_older_snapshot_reads_nothing_of_the_new_generation(
    generated_copy: str, make: Make, pool: ThreadPoolExecutor
) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, "labels", "boards")
    first = Holder(ctx, created.job_id)
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        second = Holder(ctx, created.job_id)
    working.result(20)
    assert not first.needed()
    first.close()
    rows = ctx.ledger.queries.rows(created.job_id)
    assert {(row.state, row.generation) for row in rows} == {("finished", 2)}
    second.close()


def test_one_of_two_holders_that_begin_together_wins(make: Make, generated: str) -> None:
    ctx = make(units=2)
    created = started(ctx, "labels", "boards")
    late = copy(ctx.ledger)
    late.queries = _Before(ctx)  # type: ignore[assignment]
    first = Holder(ctx, created.job_id)
    with pytest.raises(AttemptRevoked, match="another holder was first"):
        Holder(replace(ctx, ledger=late), created.job_id)
    assert first.needed()
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1
    assert len(backends(generated, f"project_export job {created.job_id} snapshot")) == 1
    first.close()


class _Before:
    """Queries as a holder reads them that began before any other had a snapshot."""

    def __init__(self, ctx: Context) -> None:
        self._queries = ctx.ledger.queries

    def job(self, job_id: int) -> Job:
        return replace(self._queries.job(job_id), snapshot_generation=0, snapshot_id=None, snapshot_at=None)


def test_a_snapshot_is_given_up_at_its_greatest_age_and_when_the_job_has_ended(make: Make) -> None:
    ctx = make(units=2, snapshot_max_seconds=1e-9)
    created = started(ctx, "labels", "boards")
    holder = Holder(ctx, created.job_id)
    assert not holder.needed()
    holder.close()
    patient = Holder(
        replace(ctx, settings=ctx.settings.model_copy(update={"snapshot_max_seconds": 60})), created.job_id
    )
    assert patient.needed()
    ctx.ledger.jobs.fail(created.job_id, [])
    assert not patient.needed()
    patient.close()


def test_a_snapshot_that_is_lost_again_and_again_is_an_error(make: Make) -> None:
    ctx = make(units=2)
    created = started(ctx, "labels", "boards")
    for _ in range(8):
        Holder(ctx, created.job_id).close()
    with pytest.raises(SnapshotMissing, match="was lost 8 times"):
        Holder(ctx, created.job_id)
