"""A unit stops when it has to, takes dead rows over, never mixes two snapshots; the watch judges what it cannot say."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from project_export.errors import AttemptRevoked, LedgerBusy, RelationsFailed, SnapshotMissing
from project_export.ledger import Beat, Claims, Job, Jobs, Row, Watch
from project_export.ledger.columns import clock
from project_export.ledger.models import RelationExport
from project_export.source import Session
from project_export.steps import Context, Created, Holder, Silence, Worker, patience, watch
from project_export.steps.process import Process
from project_export.steps.watch import give_up
from tests.archives import read_archive
from tests.runs import (
    RUN,
    assert_same,
    attempts,
    backends,
    context,
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

Make = Callable[..., Context]
ONE = ("labels",)


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context on the generated sample; settings may be changed."""
    return lambda source=generated, **settings: context(source, ledger_dsn, tmp_path, **settings)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def row(ctx: Context, created: Created, relation: str = "labels") -> Row:
    return next(row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == relation)


def blocked(ctx: Context, created: Created, source: str, pool: ThreadPoolExecutor) -> tuple[Worker, Future[Any]]:
    """Start a unit and wait until it waits for the lock on labels."""
    unit = worker(ctx, created)
    working = pool.submit(unit.run)
    wait_until(lambda: row(ctx, created).state == "started")
    wait_until(lambda: waiting(source))
    return unit, working


def waiting(source: str) -> list[str]:
    """Return the names of the sessions that wait for a lock."""
    with psycopg.connect(source) as conn:
        query = "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        return [name for (name,) in conn.execute(query, [conn.info.dbname])]


def die(ctx: Context, created: Created, unit: int = 0, attempt: int = 1) -> str:
    """Claim a row as a process does that then dies; return its relation."""
    claim = ctx.ledger.claims.claim(created.job_id, unit, f"{RUN}/{unit}/{attempt}")
    assert claim is not None
    return claim.relation


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


# Watching


def test_the_watch_waits_while_a_unit_works(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    die(ctx, created)
    progress, over = watch(ctx, created.job_id, {})
    assert (progress.started, progress.queued, over) == (1, 1, False)


def test_the_watch_is_over_when_nothing_is_pending(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    work(ctx, created)
    with caplog.at_level(logging.INFO):
        progress, over = watch(ctx, created.job_id, {})
    assert (progress.finished, progress.total, over) == (2, 2, True)
    assert "2 of 2 finished, 0 running, 0 queued, 0 failed" in caplog.text


def test_the_rows_of_an_ended_unit_are_queued_again_with_the_reason(make: Make) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    relation = die(ctx, created, unit=1)
    progress, over = watch(ctx, created.job_id, {1: "failed"})
    assert (progress.queued, over) == (2, False)
    assert "the task of its unit 1 ended as failed" in str(row(ctx, created, relation).error)


def test_the_watch_is_over_when_no_unit_is_left_and_the_merge_does_the_rest(make: Make, generated: str) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    die(ctx, created, unit=1)
    progress, over = watch(ctx, created.job_id, {0: "success", 1: "failed"})
    assert (progress.queued, over) == (2, True)
    assert_same(path_of(merge(ctx, created)), generated, 1, *ONE)


def test_a_row_without_a_sign_of_life_is_hung_and_its_attempt_revoked(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    relation = die(ctx, created)
    wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
    assert str(row(ctx, created, relation).error).startswith("no sign of life for 0 s; the attempt was revoked")
    assert row(ctx, created, relation).deaths == 1


def test_a_gap_that_the_watcher_shares_is_no_proof_of_a_death(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.4, heartbeat_seconds=0.05)
    created = started(ctx, *ONE)
    claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {Process.this()}")
    assert claim is not None
    wait_until(lambda: ctx.ledger.watch.stale(created.job_id, 0.4))  # nobody could write, and nobody could look
    silence = Silence(ctx.settings)
    watch(ctx, created.job_id, {}, silence)
    assert silence
    assert ctx.ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 2)]) == set()
    watch(ctx, created.job_id, {}, silence)
    assert not silence
    assert row(ctx, created, claim.relation).state == "started"


def test_a_row_that_stays_silent_under_the_eyes_of_a_watcher_is_hung(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.4, heartbeat_seconds=0.05)
    created = started(ctx, *ONE)
    relation = die(ctx, created)
    wait_until(lambda: ctx.ledger.watch.stale(created.job_id, 0.4))
    silence = Silence(ctx.settings)
    assert silence.seconds == pytest.approx(0.2)
    assert watch(ctx, created.job_id, {}, silence)[0].started == 1
    wait_until(lambda: watch(ctx, created.job_id, {}, silence)[0].queued == 2)
    assert row(ctx, created, relation).deaths == 1


def test_a_process_that_gives_signs_for_another_row_is_not_killed(make: Make) -> None:
    ctx = make(units=1, hung_seconds=60)
    created = started(ctx, *ONE)
    living = subprocess.Popen(["sleep", "60"])
    try:
        owner = f"{RUN}/0/1 {replace(Process.this(), pid=living.pid, born=process_born(living.pid))}"
        lost, held = (ctx.ledger.claims.claim(created.job_id, 0, owner) for _ in range(2))
        assert lost is not None
        assert held is not None
        hour_ago(ctx, lost.row_id)
        progress, _ = watch(ctx, created.job_id, {})
        assert (progress.queued, progress.started) == (1, 1)
        assert living.poll() is None
    finally:
        living.kill()
        living.wait()


def hour_ago(ctx: Context, row_id: int) -> None:
    """Let the last sign of life of a row be an hour old."""
    with ctx.ledger._database.write() as connection:
        connection.execute(update(RelationExport).where(RelationExport.id == row_id).values(heartbeat_at=clock(-3600)))


def test_a_frozen_process_of_this_machine_is_killed_and_named(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    frozen = subprocess.Popen(["sleep", "60"])
    frozen.send_signal(signal.SIGSTOP)
    try:
        process = replace(Process.this(), pid=frozen.pid, born=process_born(frozen.pid))
        claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {process}")
        assert claim is not None
        wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
        assert frozen.wait(10) == -signal.SIGKILL
    finally:
        frozen.kill()
    said = f"from process {frozen.pid} on {process.host}, which was killed; the attempt was revoked"
    assert said in str(row(ctx, created, claim.relation).error)


@pytest.mark.parametrize("other", [{"host": "another-machine"}, {"born": "1"}, {"born": ""}])
def test_a_process_that_may_be_another_is_not_killed_but_named(make: Make, other: dict[str, str]) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        process = replace(Process.this(), pid=bystander.pid, born=process_born(bystander.pid))
        claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {replace(process, **other)}")
        assert claim is not None
        wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert f"process {bystander.pid} on " in str(row(ctx, created, claim.relation).error)
    assert "end it: kill -9" in str(row(ctx, created, claim.relation).error)


def test_an_export_that_nobody_works_on_ends_with_the_reason_and_a_clear_exports_it(make: Make, generated: str) -> None:
    ctx = make(units=2, slot_wait_seconds=0.05)
    created = started(ctx, *ONE)
    wait_until(lambda: give_up(ctx, created.job_id, "no slot of the pool 'p' for 900 s"))
    with pytest.raises(RelationsFailed) as caught:
        merge(ctx, created)
    assert [(failure.relation, failure.message) for failure in caught.value.failures] == [
        ("project", "no slot of the pool 'p' for 900 s"),
        ("*", "1 other relation(s) or part(s) were cancelled"),
    ]
    assert ctx.ledger.queries.job(created.job_id).state == "failed"
    assert_same(path_of(merge(ctx, created, attempt=2)), generated, 1, *ONE)


def test_an_export_waits_on_while_others_are_worked_on(make: Make) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    assert not give_up(ctx, created.job_id, "no slot")
    assert ctx.ledger.queries.progress(created.job_id).queued == 2


def process_born(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


# Snapshots


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
    with pytest.raises(SnapshotMissing, match=r"nobody holds a snapshot for job .* Does a triggerer run"):
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
