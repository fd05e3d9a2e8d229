"""A worker stops when it has to, takes over the rows of dead ones, and outlasts a ledger that does not answer."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import AttemptRevoked, LedgerBusy, RelationsFailed, UnitFailed
from project_export.ledger import Claim, Claims, Jobs
from project_export.producers import Project
from project_export.producers.branches import RepositoryBranches
from project_export.source import Allowed, Limits, Session, Tables
from project_export.steps import branches, patience, watch
from project_export.steps.branches import JobBranches
from project_export.steps.sessions import UnitSource
from project_export.tree import bind, tables
from tests.runs import (
    RUN,
    Make,
    assert_same,
    attempts,
    backends,
    files,
    locked,
    merge,
    path_of,
    started,
    terminate,
    wait_until,
    work,
    worker,
)
from tests.workers import blocked, die, row, waiting

ONE = ("labels",)


# Cancelling and revoking


def test_a_cancelled_unit_ends_soon_and_leaves_its_row_queued_and_no_session(
    generated_copy: str, make: Make, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    ctx = make(generated_copy, units=1)
    created = started(ctx, *ONE)
    with locked(generated_copy, "labels"):
        unit, working = blocked(ctx, created, generated_copy, pool)
        assert waiting(generated_copy) == [f"project_export job {created.job_id} worker 0 labels"]
        unit.cancel()
        with pytest.raises(AttemptRevoked, match=r"worker 0 of job .* was cancelled"):
            working.result(10)
        assert wait_until(lambda: not backends(generated_copy))
    assert (row(ctx, created).state, row(ctx, created).error) == ("queued", "worker 0 was cancelled")
    assert not [name for name in files(tmp_path) if "labels" in name]
    assert work(ctx, created, attempt=2) == []
    assert_same(path_of(merge(ctx, created)), generated_copy, 1, *ONE)


def test_a_cancel_that_falls_between_two_statements_is_repeated(
    generated_copy: str, make: Make, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, calls = Session.cancel, []

    def without_effect_at_first(session: Session) -> None:
        calls.append(session)
        if len(calls) > 1:
            cancel(session)

    monkeypatch.setattr(Session, "cancel", without_effect_at_first)
    ctx = make(generated_copy, units=1)
    created = started(ctx, *ONE)
    with locked(generated_copy, "labels"):
        unit, working = blocked(ctx, created, generated_copy, pool)
        unit.cancel()
        with pytest.raises(AttemptRevoked):
            working.result(10)


def test_a_cancel_does_not_wait_for_a_heartbeat_that_the_ledger_does_not_answer(
    generated_copy: str, make: Make, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def unanswered(*_: object) -> list[int]:
        asked.set()
        answered.wait(60)
        return []

    monkeypatch.setattr(Claims, "beat", unanswered)
    ctx = make(generated_copy, units=1, heartbeat_seconds=0.1)
    created = started(ctx, *ONE)
    try:
        with locked(generated_copy, "labels"):
            unit, working = blocked(ctx, created, generated_copy, pool)
            assert asked.wait(10)
            unit.cancel()
            assert wait_until(lambda: not waiting(generated_copy))
    finally:
        answered.set()
    with pytest.raises(AttemptRevoked):
        working.result(10)


def test_a_unit_that_is_cancelled_before_it_begins_claims_nothing(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    unit = worker(ctx, created)
    unit.cancel()
    with pytest.raises(AttemptRevoked):
        unit.run()
    assert set(attempts(ctx, created).values()) == {0}


def test_a_revoked_attempt_ends_by_its_next_sign_of_life_and_changes_nothing(
    generated_copy: str, make: Make, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, *ONE, consistency="relation")
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        ctx.ledger.claims.fail_rows([row(ctx, created).id], "revoked by somebody")
        working.result(10)
    assert (row(ctx, created).state, row(ctx, created).error) == ("failed", "revoked by somebody")
    assert not [name for name in files(tmp_path) if "labels" in name]


def test_a_worker_looks_rarely_for_cycles(make: Make) -> None:
    """With Python's default, that takes 5 % of its CPU."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        ctx = make(units=1)
        assert work(ctx, started(ctx, *ONE)) == []
        assert gc.get_threshold() == (10_000, 10, 10)
    finally:
        gc.set_threshold(*before)


def test_the_project_is_read_again_with_each_snapshot(
    generated_copy: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm = UnitSource.confirm

    def delete_meanwhile(source: UnitSource, claim: Claim) -> None:
        with psycopg.connect(generated_copy) as conn:
            conn.execute("DELETE FROM projects WHERE id = 1")
        confirm(source, claim)

    ctx = make(generated_copy, units=1, max_attempts=1)
    created = started(ctx, "labels", "boards", consistency="relation")
    monkeypatch.setattr(UnitSource, "confirm", delete_meanwhile)
    with pytest.raises(UnitFailed, match="project 1 is not in projects of the source"):
        worker(ctx, created).run()
    states = sorted(row.state for row in ctx.ledger.queries.rows(created.job_id))
    assert states == ["failed", "failed", "finished"]  # one is the project's own


def test_an_attempt_that_was_overtaken_removes_its_part(
    generated_copy: str, make: Make, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    ctx = make(generated_copy, units=2, heartbeat_seconds=60)
    created = started(ctx, *ONE, consistency="relation")
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        ctx.ledger.claims.requeue([row(ctx, created).id], "thought to be dead")
        while die(ctx, created, unit=1) != "labels":
            continue
    working.result(10)
    now = row(ctx, created)
    assert (now.state, now.attempt, now.owner, now.uri) == ("started", 2, f"{RUN}/1/1", None)
    assert not [name for name in files(tmp_path) if "labels" in name]


def test_an_ended_job_stops_its_units(generated_copy: str, make: Make, pool: ThreadPoolExecutor) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, *ONE, consistency="relation")
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        ctx.ledger.jobs.fail(created.job_id, [])
        working.result(10)
        assert wait_until(lambda: not backends(generated_copy))


def test_signs_of_life_come_while_the_source_blocks(generated_copy: str, make: Make, pool: ThreadPoolExecutor) -> None:
    ctx = make(generated_copy, units=2)
    created = started(ctx, *ONE, consistency="relation")
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        first = row(ctx, created).heartbeat_at
        wait_until(lambda: row(ctx, created).heartbeat_at != first)
    working.result(10)
    assert row(ctx, created).state == "finished"


def test_a_lost_connection_costs_a_try_and_the_unit_goes_on_with_another(
    generated_copy: str, make: Make, pool: ThreadPoolExecutor
) -> None:
    ctx = make(generated_copy, units=1)
    created = started(ctx, *ONE, consistency="relation")
    with locked(generated_copy, "labels"):
        _, working = blocked(ctx, created, generated_copy, pool)
        terminate(generated_copy, "%labels")
    working.result(20)
    assert attempts(ctx, created) == {"project": 1, "labels": 2}


# Dead processes


def test_a_row_whose_process_died_is_taken_again_by_the_next_try_of_its_unit(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE, consistency="relation")
    relation = die(ctx, created)
    assert work(ctx, created, attempt=2) == []
    assert row(ctx, created, relation).deaths == 1
    assert attempts(ctx, created)[relation] == 2


def test_the_second_death_fails_the_row_and_it_alone(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE, consistency="relation")
    relation = die(ctx, created)
    watch(ctx, created.job_id, {0: "failed"})
    while row(ctx, created, relation).state == "queued":
        die(ctx, created, attempt=2)
    assert work(ctx, created, attempt=3) == []
    states = {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)}
    assert states.pop(relation) == "failed"
    assert set(states.values()) == {"finished"}
    with pytest.raises(RelationsFailed, match=r"its process died.*this was the second time"):
        merge(ctx, created)


def test_the_merge_takes_over_what_a_dead_merge_held(make: Make, generated: str) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE, consistency="relation")
    die(ctx, created, unit=-1)
    assert_same(path_of(merge(ctx, created, attempt=2)), generated, 1, *ONE)


# The ledger does not answer


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the ledger's answers to a method be lost for a while: what is asked is done (kept), or not."""
    monkeypatch.setattr(patience, "_FIRST_SECONDS", 0.01)

    def lose(part: type, method: str, *kept: bool) -> None:
        answers, real = list(kept), getattr(part, method)

        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not answers:
                return real(self, *args, **kwargs)
            if answers.pop(0):
                real(self, *args, **kwargs)
            raise LedgerBusy("the ledger's database did not answer")

        monkeypatch.setattr(part, method, write)

    return lose


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("method", ["claim", "finish"])
def test_a_ledger_that_does_not_answer_for_a_while_costs_a_unit_nothing(
    make: Make, generated: str, silent: Callable[..., None], method: str, kept: bool
) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    silent(Claims, method, False, kept)
    assert work(ctx, created) == []
    rows = ctx.ledger.queries.rows(created.job_id)
    assert {(row.state, row.deaths) for row in rows} == {("finished", 0)}
    assert sum(row.attempt for row in rows) == 2 + (method == "claim" and kept)
    assert_same(path_of(merge(ctx, created)), generated, 1, *ONE)


@pytest.mark.parametrize("kept", [False, True])
def test_a_failure_that_the_ledger_did_not_hear_is_told_it_again(
    role: str, generated_copy: str, make: Make, silent: Callable[..., None], kept: bool
) -> None:
    ctx = make(f"{generated_copy}?options=-c%20role%3D{role}", units=1, unit_cost=10**9)
    with psycopg.connect(generated_copy) as conn:
        grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}"
        conn.execute(psycopg.sql.SQL(grant).format(psycopg.sql.Identifier(role)))
        conn.execute(psycopg.sql.SQL("REVOKE SELECT ON labels FROM {}").format(psycopg.sql.Identifier(role)))
    created = started(ctx, *ONE)
    silent(Claims, "fail_attempt", False, kept)
    work(ctx, created)
    assert (row(ctx, created).state, row(ctx, created).sqlstate) == ("failed", "42501")
    assert row(ctx, created, "project").state == "finished"


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(("after_export", "method"), [("notify", "finish"), ("upload", "publish")])
def test_a_merge_waits_for_the_ledger_and_publishes_once(
    make: Make, silent: Callable[..., None], after_export: str, method: str, kept: bool
) -> None:
    ctx = make(units=1, upload_allow_private=True)
    url = "http://127.0.0.1:9/" if after_export == "upload" else None
    created = started(ctx, *ONE, after_export=after_export, upload_url=url)
    assert work(ctx, created) == []
    silent(Jobs, method, False, kept)
    merged = merge(ctx, created)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.archive_uri, path_of(merged).exists()) == (merged.uri, True)
    assert job.state == ("started" if after_export == "upload" else "finished")


def test_a_failure_of_the_job_waits_for_the_ledger(make: Make, silent: Callable[..., None]) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    ctx.ledger.claims.fail_rows([row.id for row in ctx.ledger.queries.rows(created.job_id)], "no")
    silent(Jobs, "fail", False)
    with pytest.raises(RelationsFailed):
        merge(ctx, created)
    assert ctx.ledger.queries.job(created.job_id).state == "failed"


def test_a_ledger_that_stays_away_ends_the_unit(make: Make, silent: Callable[..., None]) -> None:
    ctx = make(units=1, hung_seconds=0.2)
    created = started(ctx, *ONE)
    silent(Claims, "claim", *[False] * 1000)
    (error,) = work(ctx, created)
    assert isinstance(error, LedgerBusy)


def test_the_branches_of_a_repository_are_those_of_the_snapshot_in_which_they_are_needed(
    generated_copy: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(project: Project, _: str) -> RepositoryBranches:
        return RepositoryBranches((project.reader.root_values["namespace_id"] or b"").decode())

    monkeypatch.setattr(branches, "read_branches", named)
    ctx = make(generated_copy, units=1)
    job = ctx.ledger.queries.job(started(ctx, *ONE, consistency="relation").job_id)
    with Session(lambda: psycopg.connect(generated_copy), "branches", Limits()) as session:
        bound = bind(ctx.tree, session.catalogue(tables(ctx.tree)))
        known = JobBranches(ctx, job, Project(session, bound, Tables(session, bound, Allowed()), 1), 0)
        before = known.of("repository")
        with psycopg.connect(generated_copy) as conn:
            namespace = conn.execute(
                "UPDATE projects SET namespace_id = (SELECT max(id) FROM namespaces WHERE id <> namespace_id)"
                " WHERE id = 1 RETURNING namespace_id"
            ).fetchone()
        session.renew()
        after = known.of("snippets_repository")
    assert before is not None
    assert after is not None
    assert before.default != after.default
    assert namespace == (int(after.default or 0),)
