"""A failed job is resumed: with its snapshot while that is kept, and else from one new one, which one unit lends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import update

from project_export.errors import RelationsFailed, SnapshotMissing
from project_export.ledger import Jobs
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.request import Request
from project_export.steps import Context, Created, Holder, Owner, Worker, conclude, create, failure, watch
from project_export.steps.ending import resumable_until
from tests.runs import RUN, assert_same, attempts, backends, context, locked, merge, path_of, wait_until, work

Make = Callable[..., Context]
RELATIONS = ("labels", "boards", "milestones")
GRACE_SECONDS = 900


@pytest.fixture
def make(role: str, generated_copy: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context whose source may be read but for `boards`, until `granted`."""
    with psycopg.connect(generated_copy) as conn:
        for statement in ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", "REVOKE SELECT ON boards FROM {}"):
            conn.execute(SQL(statement).format(Identifier(role)))
    source = f"{generated_copy}?options=-c%20role%3D{role}"
    defaults: dict[str, Any] = {"snapshot_grace_seconds": GRACE_SECONDS}
    return lambda **settings: context(source, ledger_dsn, tmp_path, **{**defaults, **settings})


@pytest.fixture
def grant(role: str, generated_copy: str) -> Callable[[], None]:
    def grant() -> None:
        with psycopg.connect(generated_copy) as conn:
            conn.execute(SQL("GRANT SELECT ON boards TO {}").format(Identifier(role)))

    return grant


def begun(ctx: Context, *, watched: bool = True, run_id: str = RUN, **request: Any) -> Created:
    wanted = Request(1, RELATIONS, **request)
    return create(ctx, wanted, run_id=run_id, requested_by="jane", run_alive=lambda _: True, watched=watched)


@contextmanager
def failed(ctx: Context, *, watched: bool = True) -> Iterator[tuple[Created, Holder]]:
    """Give a job that has failed, and the holder of its snapshot."""
    created = begun(ctx, watched=watched)
    with closing(Holder(ctx, created.job_id)) as holder:
        assert len(work(ctx, created)) == 1
        with pytest.raises(RelationsFailed, match="boards"):
            merge(ctx, created)
        yield created, holder


def aged(ctx: Context, created: Created, seconds: float) -> None:
    """Let a job have ended longer ago."""
    with ctx.ledger._database.write() as connection:
        old = update(ProjectExportJob).where(ProjectExportJob.id == created.job_id)
        connection.execute(old.values(finished_at=clock(-seconds)))


def lenders(ctx: Context, created: Created, attempt: int = 2) -> list[Worker]:
    """Return the workers of all units of a job whose holder has ended."""
    units = range(len(created.titles))
    return [Worker(ctx, created.job_id, Owner(RUN, unit, attempt), alone=False, lends=True) for unit in units]


def together(workers: list[Worker]) -> list[int]:
    """Run workers at the same time; return how many parts each has done."""
    with ThreadPoolExecutor(len(workers)) as pool:
        return [future.result().parts for future in [pool.submit(worker.run) for worker in workers]]


def test_within_the_grace_the_snapshot_is_kept_and_only_what_is_missing_is_exported(
    make: Make, grant: Callable[[], None], generated_copy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ctx = make()
    with failed(ctx) as (created, holder):
        job = ctx.ledger.queries.job(created.job_id)
        assert job.finished_at is not None
        until = job.finished_at + timedelta(seconds=GRACE_SECONDS)
        said = f"failed, resumable until {until:%H:%M} UTC: clear the failed tasks to export only what is missing"
        assert resumable_until(ctx, job.id) == until
        assert said in caplog.text
        caplog.clear()
        assert holder.needed()
        assert holder.needed()
        assert caplog.text.count(said) == 1
        grant()
        with psycopg.connect(generated_copy) as conn:
            conn.execute("DELETE FROM milestones WHERE project_id = 2")  # the source goes on
        assert work(ctx, created, attempt=2) == []
        assert not holder.needed()
        merged = merge(ctx, created)
    assert_same(path_of(merged), generated_copy, 1, *RELATIONS)
    assert attempts(ctx, created) == {"project": 1, "labels": 1, "boards": 2, "milestones": 1}
    assert {row.generation for row in ctx.ledger.queries.rows(created.job_id)} == {1}


def test_between_a_relation_s_failure_and_the_merge_the_snapshot_is_kept(make: Make) -> None:
    ctx = make()
    created = begun(ctx)
    with closing(Holder(ctx, created.job_id)) as holder:
        work(ctx, created)
        assert ctx.ledger.queries.progress(created.job_id).pending == 0
        assert holder.needed()


def test_a_run_that_nobody_watches_keeps_nothing(make: Make) -> None:
    ctx = make()
    created = begun(ctx, watched=False)
    with closing(Holder(ctx, created.job_id)) as holder:
        work(ctx, created)
        assert not holder.needed()
        with pytest.raises(RelationsFailed):
            merge(ctx, created)
        assert not holder.needed()
        assert resumable_until(ctx, created.job_id) is None


def over(ctx: Context, created: Created) -> None:
    aged(ctx, created, GRACE_SECONDS + 1)


def newer(ctx: Context, created: Created) -> None:
    begun(ctx, run_id="dag/newer")


def pruned(ctx: Context, created: Created) -> None:
    with ctx.ledger.retention.locked(ctx.ledger.queries.job(created.job_id)) as ended:
        assert ended is not None
        ended.delete()


def finished(ctx: Context, created: Created) -> None:
    ctx.ledger.jobs.reopen(created.job_id)
    ctx.ledger.jobs.finish(created.job_id, "file:///a", 1, "ab", 1)


@pytest.mark.parametrize("end", [over, newer, pruned, finished])
def test_the_grace_ends_with_its_time_a_newer_job_the_job_s_row_or_its_success(
    make: Make, end: Callable[[Context, Created], None]
) -> None:
    ctx = make()
    with failed(ctx) as (created, holder):
        assert holder.needed()
        end(ctx, created)
        assert not holder.needed()


def test_a_holder_that_is_gone_makes_no_promise(make: Make) -> None:
    ctx = make()
    with failed(ctx) as (created, _):
        pass
    assert ctx.ledger.watch.in_grace(created.job_id)
    assert resumable_until(ctx, created.job_id) is None


def test_the_grace_is_not_longer_than_the_snapshot_may_be_old(make: Make) -> None:
    ctx = make(snapshot_max_seconds=60)
    with failed(ctx) as (created, _):
        job, until = ctx.ledger.queries.job(created.job_id), resumable_until(ctx, created.job_id)
        assert job.snapshot_at is not None
        assert until == job.snapshot_at + timedelta(seconds=60)


def test_what_programs_are_told_of_a_failure_is_json(make: Make) -> None:
    ctx = make()
    with failed(ctx) as (created, _):
        error = RelationsFailed(ctx.ledger.queries.failures(created.job_id))
        told = failure(ctx, created.job_id, error)
        until = resumable_until(ctx, created.job_id)
    (one,) = told["errors"]
    assert (told["job_id"], one["relation"], one["sqlstate"], one["attempt"]) == (created.job_id, "boards", "42501", 1)
    assert until is not None
    assert told["resumable_until"] == until.isoformat()
    assert failure(ctx, created.job_id, SnapshotMissing("gone"))["errors"][0]["relation"] == "*"


def test_a_snapshot_for_which_nobody_works_is_given_up(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    ctx = make(snapshot_wait_seconds=60)
    created = begun(ctx)
    with closing(Holder(ctx, created.job_id)) as holder:
        assert holder.needed()
        with ctx.ledger._database.write() as connection:
            connection.execute(update(ProjectExportJob).values(updated_at=clock(-61)))
            connection.execute(update(RelationExport).values(queued_at=clock(-61)))
        assert not holder.needed()
        assert "nobody has worked on it for 60 s" in caplog.text
        claim = ctx.ledger.claims.claim(created.job_id, 0, "unit 0")
        assert claim is not None
        assert holder.needed()
        ctx.ledger.claims.fail_attempt(claim, "locked", final=False, delay_seconds=30)
        with ctx.ledger._database.write() as connection:
            connection.execute(update(RelationExport).values(queued_at=clock(-61), started_at=clock(-61)))
        assert holder.needed()  # its next try is about to begin


def test_after_the_grace_units_that_are_cleared_together_agree_on_one_new_snapshot(
    make: Make, grant: Callable[[], None], generated_copy: str
) -> None:
    ctx = make()
    with failed(ctx) as (created, _):
        pass
    grant()
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE labels SET title = title || ' changed' WHERE project_id = 1")
    done = together(lenders(ctx, created))
    assert sum(done) == 4
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 2
    assert {(row.state, row.generation) for row in ctx.ledger.queries.rows(created.job_id)} == {("finished", 2)}
    assert attempts(ctx, created) == {"project": 2, "labels": 2, "boards": 2, "milestones": 2}
    assert_same(path_of(merge(ctx, created)), generated_copy, 1, *RELATIONS)


def test_of_units_that_find_the_snapshot_gone_at_once_one_lends_and_the_others_import_from_it(
    make: Make, grant: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make(units=2)
    with failed(ctx) as (created, _):
        pass
    grant()
    both = threading.Barrier(2)
    begin = Jobs.begin_generation

    def at_once(jobs: Jobs, job_id: int, generation: int, *arguments: str) -> None:
        if generation == 2:
            both.wait(20)
        begin(jobs, job_id, generation, *arguments)

    monkeypatch.setattr(Jobs, "begin_generation", at_once)
    assert sum(together(lenders(ctx, created))) == 4
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 2


def test_the_unit_that_lends_stays_until_the_others_have_done_what_they_read_and_takes_what_they_leave(
    make: Make, grant: Callable[[], None], generated_copy: str
) -> None:
    ctx = make(units=2)
    with failed(ctx) as (created, _):
        pass
    grant()
    lender, borrower = lenders(ctx, created)
    with ThreadPoolExecutor(2) as pool:
        with locked(generated_copy, "labels"), locked(generated_copy, "milestones"):
            first = pool.submit(lender.run)
            wait_until(lambda: blocked(generated_copy) == 1)
            second = pool.submit(borrower.run)
            wait_until(lambda: blocked(generated_copy) == 2)
            borrower.cancel()
            with pytest.raises(Exception, match="cancelled"):
                second.result(20)
        assert first.result(20).parts == 4
    assert {(row.state, row.generation) for row in ctx.ledger.queries.rows(created.job_id)} == {("finished", 2)}


def test_a_lender_that_waits_for_another_unit_holds_its_snapshot_on(
    make: Make, grant: Callable[[], None], generated_copy: str
) -> None:
    ctx = make(units=2)
    with failed(ctx) as (created, _):
        pass
    grant()
    ctx.ledger.jobs.reopen(created.job_id, ("failed",))
    (lender, _) = lenders(ctx, created)
    with ThreadPoolExecutor(1) as pool:
        with locked(generated_copy, "labels"):
            first = pool.submit(lender.run)
            wait_until(lambda: blocked(generated_copy) == 1)
            held = ctx.ledger.queries.job(created.job_id)
            claim = ctx.ledger.claims.claim(created.job_id, 1, f"{RUN}/1/2 elsewhere:1:1")
            assert claim is not None
        wait_until(lambda: ctx.ledger.queries.progress(created.job_id).finished == 3)
        assert not first.done()
        ctx.session("borrows", held.snapshot_id).close()
        watch(ctx, created.job_id, {1: "failed"})  # the other one died, and its row is taken over
        assert first.result(20).parts == 4
    assert backends(generated_copy) == []


def test_only_who_may_lend_does(make: Make) -> None:
    ctx = make(units=2, snapshot_wait_seconds=0.1)
    with failed(ctx) as (created, _):
        pass
    errors = work(ctx, created, attempt=2)
    assert {type(error) for error in errors} == {SnapshotMissing}
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1


def test_a_job_that_all_tasks_have_left_open_is_failed_with_the_reason_and_told(make: Make) -> None:
    notices: list[Any] = []
    ctx = replace(make(), channels={"kept": notices.append})
    assert conclude(ctx, "dag/unknown", "no job") is None
    created = begun(ctx)
    for _ in range(2):
        job = conclude(ctx, RUN, "killed in its last try")
        assert job is not None
        assert (job.state, job.errors[0].message) == ("failed", "killed in its last try")
    assert len(notices) == 1
    assert created.job_id == job.id


def test_rows_are_queued_anew_with_the_opening_of_their_job(make: Make) -> None:
    ctx = make(units=2)
    with failed(ctx) as (created, _):
        assert ctx.ledger.jobs.reopen(created.job_id, ("failed",), "cleared")
        assert not ctx.ledger.jobs.reopen(created.job_id, ("finished",), "cleared")
        states = {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)}
    assert states == {"project": "finished", "labels": "finished", "milestones": "finished", "boards": "queued"}


def blocked(source: str) -> int:
    with psycopg.connect(source) as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        return int(conn.execute(query, [conn.info.dbname]).fetchone()[0])  # type: ignore[index]
