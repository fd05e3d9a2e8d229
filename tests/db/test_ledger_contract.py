"""The contract of the ledger's claims, jobs and watch, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, Engine, text, update
from sqlalchemy.exc import IntegrityError

from project_export.errors import AttemptRevoked, Failure, JobActive, JobMissing, MoveRefused
from project_export.ledger import Beat, Claim, Job, JobRequest, Ledger, Planned, Row, jobs
from project_export.ledger.columns import clock
from project_export.ledger.models import Base, ProjectExportJob, RelationExport
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest(
    source="gitlab_db",
    tree="gitlab",
    project_id=42,
    run_id="manual__1",
    requested_by="jane",
    params={"relations": ["issues"]},
    plan={"units": 2},
)


@dataclass(frozen=True)
class Facts:
    records: int = 3
    raw_bytes: int = 300
    stored_bytes: int = 30
    crc32: int = 2**32 - 1
    stored_crc32: int = 2**32 - 2
    sha256: str = "ab" * 32


def open_job(ledger: Ledger, *planned: Planned) -> Job:
    return ledger.jobs.open(REQUEST, planned or (Planned("issues", 0),))


def take(ledger: Ledger, job: Job, unit: int = 0) -> Claim:
    claim = ledger.claims.claim(job.id, unit, "unit 0")
    assert claim is not None
    return claim


def row(ledger: Ledger, row_id: int, job: Job) -> Row:
    return next(row for row in ledger.queries.rows(job.id) if row.id == row_id)


def age(engine: Engine, column: str) -> None:
    """Set a time of all relation_export rows to an hour ago."""
    with engine.begin() as connection:
        connection.execute(update(RelationExport).values({column: clock(-3600)}))


def test_a_new_job_is_started_and_keeps_its_request(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("labels", 1, unit=3, estimate=7), Planned("issues", 0, part=1, parts=2))
    assert ledger.queries.job(job.id) == job
    for name in ("source", "tree", "project_id", "run_id", "requested_by", "params", "plan"):
        assert getattr(job, name) == getattr(REQUEST, name)
    assert (job.state, job.consistency, job.errors, job.snapshot_generation) == ("started", "project", (), 0)
    assert job.started_at is not None
    assert job.started_at.tzinfo is not None
    issues, labels = ledger.queries.rows(job.id)
    assert (issues.relation, issues.part, issues.parts, issues.state, issues.attempt) == ("issues", 1, 2, "queued", 0)
    assert (labels.relation, labels.unit, labels.estimate, labels.remarks) == ("labels", 3, 7, ())


def test_rows_come_in_the_order_of_the_archive(ledger: Ledger) -> None:
    job = open_job(
        ledger,
        Planned("notes", 2),
        Planned("issues", 1, part=1, parts=2),
        Planned("labels", 0),
        Planned("issues", 1, part=0, parts=2),
    )
    assert [(row.relation, row.part) for row in ledger.queries.rows(job.id)] == [
        ("labels", 0),
        ("issues", 0),
        ("issues", 1),
        ("notes", 0),
    ]


def test_a_job_is_not_created_unless_all_its_rows_are(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        open_job(ledger, Planned("issues", 0), Planned("issues", 0))
    assert ledger.queries.job_of_run("manual__1") is None


def test_a_second_job_of_a_project_is_refused_with_the_name_of_the_first(ledger: Ledger) -> None:
    job = open_job(ledger)
    with pytest.raises(JobActive, match=rf"Project 42 .* job {job.id}: run manual__1, started since .* by jane"):
        open_job(ledger)
    assert ledger.queries.active_job("gitlab_db", "gitlab", 42) == job
    ledger.jobs.fail(job.id, [])
    assert ledger.queries.active_job("gitlab_db", "gitlab", 42) is None
    assert open_job(ledger).id > job.id


def test_a_job_is_created_when_the_active_one_ends_in_between(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    job, active_job = open_job(ledger), jobs.active_job

    def ended_meanwhile(connection: Connection, source: str, tree: str, project_id: int) -> Job | None:
        ledger.jobs.fail(job.id, [])
        return active_job(connection, source, tree, project_id)

    monkeypatch.setattr(jobs, "active_job", ended_meanwhile)
    assert open_job(ledger).id > job.id


def test_concurrent_jobs_of_a_project_are_created_or_refused_with_a_name(ledger: Ledger) -> None:
    together = threading.Barrier(10)

    def run(_: int) -> int:
        together.wait(60)
        opened = 0
        for _ in range(10):
            try:
                job = open_job(ledger)
            except JobActive:
                continue
            opened += 1
            ledger.jobs.fail(job.id, [])
            with suppress(JobActive):
                opened += ledger.jobs.reopen(job.id)
                ledger.jobs.fail(job.id, [])
        return opened

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(run, range(10))) > 0
    assert ledger.queries.active_job("gitlab_db", "gitlab", 42) is None


def test_the_newest_job_of_a_run_is_found(ledger: Ledger) -> None:
    ledger.jobs.fail(open_job(ledger).id, [])
    newest = open_job(ledger)
    assert ledger.queries.job_of_run("manual__1") == newest
    assert ledger.queries.job_of_run("manual__2") is None


def test_a_missing_job_is_an_error(ledger: Ledger) -> None:
    for ask in (ledger.queries.job, ledger.queries.progress, ledger.watch.in_grace, ledger.jobs.reopen):
        with pytest.raises(JobMissing, match="no job 7"):
            ask(7)
    with pytest.raises(JobMissing):
        ledger.jobs.fail(7, [])


def test_a_worker_claims_its_own_rows_before_others_and_the_largest_first(ledger: Ledger) -> None:
    job = open_job(
        ledger,
        Planned("a", 0, unit=0, estimate=10),
        Planned("b", 1, unit=1, estimate=99),
        Planned("c", 2, unit=0, estimate=20),
        Planned("d", 3, unit=0, estimate=20),
        Planned("e", 4, unit=2, estimate=5),
    )
    assert [take(ledger, job).relation for _ in range(5)] == ["c", "d", "a", "b", "e"]
    assert ledger.claims.claim(job.id, 0, "unit 0") is None


def test_a_row_that_killed_a_process_is_claimed_last(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("big", 0, estimate=100), Planned("small", 1, estimate=1))
    killer = take(ledger, job)
    assert ledger.claims.requeue([killer.row_id], "its process was killed", died=True) == 1
    assert [take(ledger, job).relation for _ in range(2)] == ["small", "big"]
    assert row(ledger, killer.row_id, job).deaths == 1


def test_a_claim_carries_the_next_attempt_and_the_generation(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("issues", 0, part=1, parts=2))
    ledger.jobs.begin_generation(job.id, 1, "00000003-1", "snapshot lost")
    first = take(ledger, job)
    assert first == Claim(first.row_id, job.id, "issues", 1, 2, attempt=1, generation=1)
    ledger.claims.fail_attempt(first, "lost connection", "08006", final=False)
    assert take(ledger, job).attempt == 2


def test_a_row_whose_attempt_failed_waits_for_its_next_one_and_keeps_its_error(ledger: Ledger, engine: Engine) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.fail_attempt(claim, "canceling statement", "57014", final=False, delay_seconds=60)
    waiting = row(ledger, claim.row_id, job)
    assert (waiting.state, waiting.error, waiting.sqlstate) == ("queued", "canceling statement", "57014")
    assert ledger.claims.claim(job.id, 0, "unit 0") is None
    age(engine, "available_at")
    assert take(ledger, job).attempt == 2


def test_a_row_whose_last_attempt_failed_is_listed_as_a_failure(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("issues", 0), Planned("notes", 1, part=1, parts=3))
    ledger.claims.fail_attempt(take(ledger, job), "permission denied for table issues", "42501", final=True)
    ledger.claims.fail_attempt(take(ledger, job), "bad value", final=True, code="Unforeseen")
    assert ledger.queries.failures(job.id) == [
        Failure("issues", 1, "permission denied for table issues", "42501", code="42501"),
        Failure("notes", 1, "part 2 of 3: bad value", None, code="Unforeseen"),
    ]
    assert ledger.claims.claim(job.id, 0, "unit 0") is None


def test_no_row_of_an_ended_job_can_be_claimed_and_its_claims_are_lost_at_the_next_heartbeat(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("issues", 0), Planned("labels", 1))
    claim = take(ledger, job)
    ledger.jobs.fail(job.id, [])
    assert ledger.claims.claim(job.id, 0, "unit 0") is None
    assert ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 10)]) == {claim.row_id}


def test_heartbeats_write_progress_and_return_the_rows_that_are_lost(ledger: Ledger, engine: Engine) -> None:
    job = open_job(ledger, *(Planned(f"r{n}", n) for n in range(4)))
    alive, other, requeued, failed = (take(ledger, job) for _ in range(4))
    ledger.claims.requeue([requeued.row_id], "hung")
    ledger.claims.fail_rows([failed.row_id], "killed")
    age(engine, "heartbeat_at")
    beats = [Beat(claim.row_id, claim.attempt, 10 + claim.row_id, 1000) for claim in (alive, requeued, failed)]
    assert ledger.claims.beat([*beats, Beat(other.row_id, other.attempt + 1, 1, 1)]) == {
        requeued.row_id,
        failed.row_id,
        other.row_id,
    }
    assert row(ledger, alive.row_id, job).records == 10 + alive.row_id
    assert [stale.id for stale in ledger.watch.stale(job.id, 60)] == [other.row_id]
    assert ledger.claims.beat([]) == set()


def test_a_finished_row_keeps_the_facts_of_its_part(ledger: Ledger) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.finish(claim, Facts(), "file:///parts/issues.0.1", ["column x was left out"])
    done = row(ledger, claim.row_id, job)
    assert (done.state, done.uri, done.remarks) == ("finished", "file:///parts/issues.0.1", ("column x was left out",))
    assert Facts(done.records, done.raw_bytes, done.stored_bytes, done.crc32, done.stored_crc32, done.sha256) == Facts()
    assert done.finished_at is not None
    assert done.error is None


def test_a_revoked_attempt_changes_nothing(ledger: Ledger) -> None:
    job = open_job(ledger)
    zombie = take(ledger, job)
    ledger.claims.requeue([zombie.row_id], "hung")
    for current in (None, take):
        if current:
            current(ledger, job)
        before = ledger.queries.rows(job.id)
        with pytest.raises(AttemptRevoked, match=rf"Attempt 1 of issues \(part 1 of 1, job {job.id}\)"):
            ledger.claims.finish(zombie, Facts(), "file:///zombie")
        with pytest.raises(AttemptRevoked):
            ledger.claims.fail_attempt(zombie, "too late", final=True)
        assert ledger.claims.beat([Beat(zombie.row_id, zombie.attempt, 9, 9)]) == {zombie.row_id}
        assert ledger.queries.rows(job.id) == before


def test_a_row_is_finished_once(ledger: Ledger) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.finish(claim, Facts(), "file:///a")
    with pytest.raises(AttemptRevoked):
        ledger.claims.finish(claim, Facts(), "file:///b")
    assert row(ledger, claim.row_id, job).uri == "file:///a"


def test_a_finish_can_be_repeated_when_its_answer_was_lost(ledger: Ledger) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.finish(claim, Facts(), "file:///a")
    before = ledger.queries.rows(job.id)
    ledger.claims.finish(claim, Facts(), "file:///a")
    assert ledger.queries.rows(job.id) == before
    ledger.claims.requeue([claim.row_id], "the part is corrupt")
    with pytest.raises(AttemptRevoked):
        ledger.claims.finish(claim, Facts(), "file:///a")


def test_a_requeued_part_no_longer_counts(ledger: Ledger) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.finish(claim, Facts(), "file:///a", ["odd"])
    assert ledger.claims.requeue([claim.row_id], "the part is corrupt") == 1
    again = row(ledger, claim.row_id, job)
    assert (again.state, again.error, again.attempt) == ("queued", "the part is corrupt", 1)
    assert (again.uri, again.sha256, again.records, again.remarks, again.finished_at) == (None, None, 0, (), None)
    assert ledger.claims.requeue([claim.row_id], "twice") == 0
    assert ledger.claims.requeue([], "none") == 0


def test_a_requeue_of_an_older_attempt_does_not_change_the_newer_one(ledger: Ledger) -> None:
    job = open_job(ledger)
    seen = take(ledger, job)
    ledger.claims.requeue({seen.row_id: seen.attempt}, "hung")
    current = take(ledger, job)
    assert ledger.claims.requeue({seen.row_id: seen.attempt}, "hung", died=True) == 0
    assert ledger.claims.fail_rows({seen.row_id: seen.attempt}, "hung") == 0
    assert ledger.claims.fail_rows({seen.row_id: current.attempt}, "killed twice") == 1
    assert ledger.queries.failures(job.id) == [Failure("issues", 2, "killed twice")]


def test_queued_and_started_rows_can_be_failed_but_not_finished_ones(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("a", 0), Planned("b", 1), Planned("c", 2))
    ledger.claims.finish(take(ledger, job), Facts(), "file:///a")
    take(ledger, job)
    assert ledger.claims.fail_rows([row.id for row in ledger.queries.rows(job.id)], "out of memory") == 2
    assert [row.state for row in ledger.queries.rows(job.id)] == ["finished", "failed", "failed"]
    assert ledger.claims.fail_rows([], "none") == 0


def test_all_pending_rows_of_a_job_can_be_cancelled_and_are_reported_by_number(ledger: Ledger) -> None:
    job = open_job(
        ledger, *(Planned(name, place) for place, name in enumerate(("issues", "labels", "notes", "boards")))
    )
    first, second, running = (take(ledger, job) for _ in range(3))
    ledger.claims.finish(first, Facts(), "file:///first")
    ledger.claims.fail_attempt(second, "no right", "42501", final=True)
    assert ledger.claims.cancel_rows(job.id, "labels had failed") == 2
    assert ledger.claims.beat([Beat(running.row_id, running.attempt, 1, 1)]) == {running.row_id}
    assert ledger.claims.cancel_rows(job.id, "labels had failed") == 0
    own, others = ledger.queries.failures(job.id)
    assert (own.relation, own.sqlstate, own.message) == (second.relation, "42501", "no right")
    assert datetime.fromisoformat(str(own.at)).utcoffset() == timedelta(0)
    assert str(own).endswith(f" (at {own.at})")
    assert others == Failure("*", 0, "2 other relation(s) or part(s) were cancelled", code="Cancelled")


def test_only_claimed_rows_are_started(ledger: Ledger) -> None:
    job = open_job(ledger, Planned("a", 0), Planned("b", 1))
    assert ledger.queries.rows(job.id, "started") == []
    claim = take(ledger, job)
    assert [(row.id, row.state, row.owner) for row in ledger.queries.rows(job.id, "started")] == [
        (claim.row_id, "started", "unit 0")
    ]
    ledger.claims.finish(claim, Facts(), "file:///a")
    assert ledger.queries.rows(job.id, "started") == []


def test_only_started_rows_without_a_heartbeat_are_stale(ledger: Ledger, engine: Engine) -> None:
    job = open_job(ledger, Planned("a", 0), Planned("b", 1))
    claim = take(ledger, job)
    assert ledger.watch.stale(job.id, 60) == []
    age(engine, "heartbeat_at")
    assert [row.id for row in ledger.watch.stale(job.id, 60)] == [claim.row_id]
    assert ledger.watch.stale(job.id, 7200) == []


def test_a_job_is_stalled_when_nobody_has_worked_on_any_job_for_a_while(ledger: Ledger, engine: Engine) -> None:
    def aged(model: type[Base], **columns: bool) -> None:
        with engine.begin() as connection:
            connection.execute(update(model).values({name: clock(-3600) for name in columns}))

    waits = open_job(ledger, Planned("a", 0), Planned("b", 1))
    assert not ledger.watch.stalled(waits.id, 60)
    aged(RelationExport, queued_at=True)
    assert not ledger.watch.stalled(waits.id, 60)
    aged(ProjectExportJob, updated_at=True)
    assert ledger.watch.stalled(waits.id, 60)
    assert not ledger.watch.stalled(waits.id, 7200)

    other = ledger.jobs.open(replace(REQUEST, project_id=43, run_id="manual__2"), [Planned("a", 0)])
    assert ledger.watch.stalled(waits.id, 60)
    claim = take(ledger, other)
    assert not ledger.watch.stalled(waits.id, 60)
    aged(RelationExport, started_at=True)
    ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 1)])
    assert not ledger.watch.stalled(waits.id, 60)
    aged(RelationExport, heartbeat_at=True)
    assert ledger.watch.stalled(waits.id, 60)
    ledger.claims.finish(claim, Facts(), "file:///a")
    assert not ledger.watch.stalled(waits.id, 60)
    aged(RelationExport, finished_at=True)
    ledger.jobs.finish(other.id, "file:///x", 1, "ab", 1)
    assert not ledger.watch.stalled(waits.id, 60)
    aged(ProjectExportJob, finished_at=True)
    assert not ledger.watch.stalled(waits.id, 60), "the job itself is untouched"
    aged(ProjectExportJob, updated_at=True)
    assert ledger.watch.stalled(waits.id, 60)
    ledger.claims.fail_rows([row.id for row in ledger.queries.rows(waits.id)], "no")
    assert not ledger.watch.stalled(waits.id, 60)


def test_progress_counts_the_rows_and_adds_them_up(ledger: Ledger) -> None:
    job = open_job(ledger, *(Planned(f"r{n}", n, estimate=10) for n in range(5)))
    ledger.claims.finish(take(ledger, job), Facts(), "file:///a")
    ledger.claims.fail_attempt(take(ledger, job), "no", final=True)
    started = take(ledger, job)
    ledger.claims.beat([Beat(started.row_id, 1, 4, 400)])
    progress = ledger.queries.progress(job.id)
    assert (progress.queued, progress.started, progress.finished, progress.failed) == (2, 1, 1, 1)
    assert (progress.pending, progress.total) == (3, 5)
    assert (progress.records, progress.raw_bytes, progress.estimate) == (7, 700, 50)
    assert (progress.state, progress.generation) == ("started", 0)
    assert {type(value) for value in (progress.records, progress.raw_bytes, progress.estimate)} == {int}


def test_a_job_without_rows_has_nothing_pending(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [])
    assert (ledger.queries.progress(job.id).pending, ledger.queries.progress(job.id).total) == (0, 0)


def test_a_generation_keeps_the_snapshot_of_its_first_holder(ledger: Ledger) -> None:
    job = open_job(ledger)
    assert ledger.queries.job(job.id).snapshot_id is None
    ledger.jobs.begin_generation(job.id, 1, "00000003-1", "first")
    held = ledger.queries.job(job.id)
    assert (held.snapshot_generation, held.snapshot_id) == (1, "00000003-1")
    assert held.snapshot_at is not None
    with pytest.raises(AttemptRevoked, match="another holder was first"):
        ledger.jobs.begin_generation(job.id, 1, "00000004-1", "a second that saw the same")
    assert ledger.queries.job(job.id) == held


def test_a_new_generation_requeues_the_rows_of_older_ones_unless_they_failed_for_good(ledger: Ledger) -> None:
    job = open_job(ledger, *(Planned(f"r{n}", n) for n in range(4)))
    ledger.jobs.begin_generation(job.id, 1, "00000003-1", "first")
    ledger.claims.finish(take(ledger, job), Facts(), "file:///a")
    ledger.claims.fail_attempt(take(ledger, job), "permission denied", "42501", final=True)
    running = take(ledger, job)
    ledger.jobs.begin_generation(job.id, 2, "00000005-1", "the snapshot's holder is gone")
    assert ledger.queries.job(job.id).snapshot_id == "00000005-1"
    assert [row.state for row in ledger.queries.rows(job.id)] == ["queued", "failed", "queued", "queued"]
    reason = "the snapshot's holder is gone"
    assert [row.error for row in ledger.queries.rows(job.id)] == [reason, "permission denied", reason, None]
    with pytest.raises(AttemptRevoked):
        ledger.claims.finish(running, Facts(), "file:///old")
    assert take(ledger, job).generation == 2


def test_a_new_generation_changes_no_row_that_needs_no_snapshot(ledger: Ledger) -> None:
    planned = [Planned("finished", 0, snapshot=False), Planned("started", 1, snapshot=False), Planned("records", 2)]
    job = open_job(ledger, *planned)
    ledger.jobs.begin_generation(job.id, 1, "00000003-1", "first")
    finished = take(ledger, job)
    ledger.claims.finish(finished, Facts(), "file:///a")
    started, records = take(ledger, job), take(ledger, job)
    assert [finished.snapshot, started.snapshot, records.snapshot] == [False, False, True]
    assert ledger.queries.progress(job.id).on_snapshot == 1
    ledger.claims.finish(records, Facts(), "file:///b")
    assert ledger.queries.progress(job.id).on_snapshot == 0
    ledger.jobs.begin_generation(job.id, 2, "00000005-1", "the snapshot's holder is gone")
    assert [row.state for row in ledger.queries.rows(job.id)] == ["finished", "started", "queued"]
    assert [row.snapshot for row in ledger.queries.rows(job.id)] == [False, False, True]
    assert ledger.queries.progress(job.id).on_snapshot == 1
    ledger.claims.finish(started, Facts(), "file:///c")


def test_a_generation_begins_only_after_the_one_before_it(ledger: Ledger) -> None:
    job = open_job(ledger)
    take(ledger, job)
    for generation in (0, 2):
        with pytest.raises(AttemptRevoked):
            ledger.jobs.begin_generation(job.id, generation, "00000003-1", "lost")
    ledger.jobs.begin_generation(job.id, 1, "00000003-1", "lost")
    take(ledger, job)
    with pytest.raises(AttemptRevoked):
        ledger.jobs.begin_generation(job.id, 1, "00000004-1", "a twin says so too")
    assert [row.state for row in ledger.queries.rows(job.id)] == ["started"]


def test_a_job_is_finished_once_with_its_archive(ledger: Ledger) -> None:
    job = open_job(ledger)
    assert ledger.jobs.finish(job.id, "file:///p.tar.gz", 10, "cd" * 32, 3) is True
    assert ledger.jobs.finish(job.id, "file:///p.tar.gz", 10, "cd" * 32, 3) is False
    with pytest.raises(AttemptRevoked, match=r"Another archive of job \d+ was published, not file:///other\.tar\.gz"):
        ledger.jobs.finish(job.id, "file:///other.tar.gz", 1, "ef" * 32, 1)
    done = ledger.queries.job(job.id)
    assert (done.state, done.archive_uri, done.archive_bytes, done.archive_sha256, done.records) == (
        "finished",
        "file:///p.tar.gz",
        10,
        "cd" * 32,
        3,
    )
    assert done.finished_at is not None
    with pytest.raises(MoveRefused, match=rf"Job {job.id} cannot fail: it is finished"):
        ledger.jobs.fail(job.id, [])


def test_a_job_is_failed_once_with_all_its_errors(ledger: Ledger) -> None:
    job = open_job(ledger)
    errors = (Failure("issues", 3, "no", "42501"), Failure("notes", 1, "postgresql://u:p@h/d is down"))
    assert ledger.jobs.fail(job.id, errors) is True
    assert ledger.jobs.fail(job.id, []) is False
    assert ledger.queries.job(job.id).errors == (errors[0], Failure("notes", 1, "postgresql://***@h/d is down"))
    with pytest.raises(MoveRefused, match="cannot finish: it is failed; finish is allowed when it is started"):
        ledger.jobs.finish(job.id, "file:///p.tar.gz", 10, "cd" * 32, 3)


def test_an_ended_job_is_reopened_unless_another_is_active(ledger: Ledger) -> None:
    job = open_job(ledger)
    ledger.jobs.fail(job.id, [Failure("issues", 1, "no")])
    assert ledger.jobs.reopen(job.id) is True
    assert ledger.jobs.reopen(job.id) is False
    again = ledger.queries.job(job.id)
    assert (again.state, again.errors, again.finished_at) == ("started", (), None)
    ledger.jobs.finish(job.id, "file:///p.tar.gz", 10, "cd" * 32, 3)
    other = open_job(ledger)
    with pytest.raises(JobActive, match=f"job {other.id}"):
        ledger.jobs.reopen(job.id)
    assert ledger.queries.job(job.id).state == "finished"


def test_the_end_of_a_reopened_job_is_reported_again(ledger: Ledger) -> None:
    job = open_job(ledger)
    ledger.jobs.fail(job.id, [])
    assert [ledger.notices.take(job.id, "failed", "mail") for _ in range(2)] == [True, False]
    assert [ledger.jobs.reopen(job.id) for _ in range(2)] == [True, False]
    assert [ledger.notices.take(job.id, "failed", "mail") for _ in range(2)] == [True, False]


def test_errors_are_stored_in_full_without_credentials(ledger: Ledger) -> None:
    job = open_job(ledger)
    claim = take(ledger, job)
    ledger.claims.fail_attempt(claim, "host=h password=s3cret: " + "x" * 50_000 + "\x00", final=False)
    assert row(ledger, claim.row_id, job).error == "host=h password=*** " + "x" * 50_000 + "\\x00"


def test_times_are_in_utc_in_any_session(ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
    engine.dispose()
    job = open_job(ledger)
    take(ledger, job)
    (started,) = ledger.queries.rows(job.id)
    times = (job.created_at, job.started_at, started.started_at, started.heartbeat_at)
    assert {time.tzinfo for time in times if time} == {timezone.utc}
    assert all(time and abs(time - datetime.now(timezone.utc)) < timedelta(minutes=10) for time in times)


def test_deleting_a_job_deletes_its_rows(ledger: Ledger, engine: Engine) -> None:
    job = open_job(ledger)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM project_export_job"))
    assert ledger.queries.rows(job.id) == []


def test_progress_estimates_the_share_that_is_done_and_the_time_left(ledger: Ledger, engine: Engine) -> None:
    job = open_job(ledger, Planned("big", 0, estimate=75), Planned("small", 1, estimate=25))
    begun = ledger.queries.progress(job.id)
    assert (begun.share, begun.seconds_left) == (0, None)
    big = take(ledger, job)
    with engine.begin() as connection:
        connection.execute(update(RelationExport).values(started_at=clock(-30)))
    ledger.claims.finish(big, Facts(), "file:///big")
    most = ledger.queries.progress(job.id)
    assert most.share == 0.75
    assert most.seconds_left == pytest.approx(10, abs=5)
    ledger.claims.finish(take(ledger, job), Facts(), "file:///small")
    assert ledger.queries.progress(job.id).share == 1
