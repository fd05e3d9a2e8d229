"""The contract of queued jobs, which wait for their run without a plan, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, update

from project_export.errors import Failure, JobActive, JobMissing, MoveRefused
from project_export.ledger import Job, JobRequest, Ledger, Planned
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest("main", "gitlab", 42, "dag/run", "jane", params={"relations": ["labels"]})
ROWS = (Planned("labels", 0), Planned("issues", 1))
PLAN: dict[str, Any] = {"titles": ["labels, issues"], "project": "group/app"}


PLANNED = replace(REQUEST, plan=PLAN, params={"relations": []}, consistency="relation", grace_seconds=9)


def started(ledger: Ledger, job: Job) -> Job:
    return ledger.jobs.start(job.id, PLANNED, ROWS)


def test_a_queued_job_has_neither_a_plan_nor_rows(ledger: Ledger) -> None:
    job = ledger.jobs.queue(REQUEST)
    assert ledger.queries.job(job.id) == job == ledger.queries.job_of_run("dag/run")
    assert (job.state, job.plan, job.params, job.started_at) == ("queued", {}, {"relations": ["labels"]}, None)
    assert (job.requested_by, job.planned, ledger.queries.rows(job.id)) == ("jane", False, [])
    assert ledger.claims.claim(job.id, 0, "somebody") is None


def test_its_progress_is_nothing_and_has_no_end(ledger: Ledger) -> None:
    job = ledger.jobs.queue(REQUEST)
    (listed,) = ledger.queries.jobs(state="queued")
    for progress in (ledger.queries.progress(job.id), listed.progress):
        assert (progress.total, progress.share, progress.seconds_left) == (0, 0.0, None)
    assert ledger.queries.relations(job.id) == []


def test_a_project_has_one_job_whether_it_is_queued_or_started(ledger: Ledger) -> None:
    job = ledger.jobs.queue(REQUEST)
    said = rf"job {job.id}: run dag/run, queued since .*, requested by jane"
    for write in (ledger.jobs.queue, lambda request: ledger.jobs.open(request, ROWS)):
        with pytest.raises(JobActive, match=said):
            write(replace(REQUEST, run_id="dag/other"))
    started(ledger, job)
    with pytest.raises(JobActive, match=rf"job {job.id}: run dag/run, started since"):
        ledger.jobs.queue(replace(REQUEST, run_id="dag/other"))


def test_of_many_who_queue_a_job_at_once_one_succeeds(ledger: Ledger) -> None:
    together = threading.Barrier(8)

    def run(number: int) -> Job | None:
        together.wait(30)
        try:
            return ledger.jobs.queue(replace(REQUEST, run_id=f"dag/{number}"))
        except JobActive:
            return None

    with ThreadPoolExecutor(8) as threads:
        (job,) = [one for one in threads.map(run, range(8)) if one]
    assert ledger.retention.active_jobs() == [job]


def test_its_run_starts_it_with_plan_and_rows(ledger: Ledger) -> None:
    queued = ledger.jobs.queue(REQUEST)
    job = started(ledger, queued)
    assert ledger.queries.job(job.id) == job
    assert (job.id, job.state, job.plan, job.planned) == (queued.id, "started", PLAN, True)
    assert (job.consistency, job.params, job.grace_seconds) == ("relation", {"relations": []}, 9)
    assert (job.requested_by, job.run_id, job.created_at) == ("jane", "dag/run", queued.created_at)
    assert [(row.relation, row.state) for row in ledger.queries.rows(job.id)] == [
        ("labels", "queued"),
        ("issues", "queued"),
    ]


def test_a_job_that_a_twin_has_started_keeps_its_plan_and_rows(ledger: Ledger) -> None:
    queued = ledger.jobs.queue(REQUEST)
    together = threading.Barrier(4)

    def run(number: int) -> Job:
        together.wait(30)
        return ledger.jobs.start(queued.id, replace(PLANNED, plan={"number": number}), ROWS)

    with ThreadPoolExecutor(4) as threads:
        jobs = list(threads.map(run, range(4)))
    assert {job.plan["number"] for job in jobs} == {ledger.queries.job(queued.id).plan["number"]}
    assert len(ledger.queries.rows(queued.id)) == len(ROWS)


def test_a_job_that_has_ended_or_does_not_exist_is_not_started(ledger: Ledger) -> None:
    job = ledger.jobs.queue(REQUEST)
    ledger.jobs.fail(job.id, [])
    with pytest.raises(MoveRefused, match=f"Job {job.id} cannot start: it is failed"):
        started(ledger, job)
    assert ledger.queries.rows(job.id) == []
    with pytest.raises(JobMissing):
        started(ledger, replace(job, id=4711))


def test_a_job_may_be_failed_only_while_it_is_queued(ledger: Ledger) -> None:
    error = Failure("*", 0, "postgresql://u:p@h/d is down", code="NotStarted")
    job = ledger.jobs.queue(REQUEST)
    assert [ledger.jobs.fail(job.id, [error], queued_only=True) for _ in range(2)] == [True, False]
    refused = ledger.queries.job(job.id)
    assert (refused.state, refused.outcome, refused.finished_at is not None) == ("failed", "failed", True)
    assert [(one.message, one.code) for one in refused.errors] == [("postgresql://***@h/d is down", "NotStarted")]
    other = started(ledger, ledger.jobs.queue(REQUEST))
    with pytest.raises(MoveRefused, match=f"Job {other.id} cannot refuse: it is started"):
        ledger.jobs.fail(other.id, [error], queued_only=True)
    assert ledger.queries.job(other.id) == other


def test_a_failed_job_that_was_never_started_is_queued_again_without_its_end(ledger: Ledger) -> None:
    job = ledger.jobs.queue(REQUEST)
    assert ledger.jobs.queue_again(job.id) == job
    ledger.jobs.fail(job.id, [Failure("*", 0, "no such project")])
    assert ledger.notices.take(job.id, "failed", "mail")
    again = ledger.jobs.queue_again(job.id)
    assert (again.state, again.errors, again.outcome, again.finished_at) == ("queued", (), None, None)
    assert ledger.notices.take(job.id, "failed", "mail")


def test_a_job_is_not_queued_again_if_it_was_started_or_another_is_active(ledger: Ledger) -> None:
    first = ledger.jobs.queue(REQUEST)
    ledger.jobs.fail(first.id, [])
    second = started(ledger, ledger.jobs.queue(replace(REQUEST, run_id="dag/second")))
    with pytest.raises(JobActive, match=f"by job {second.id}"):
        ledger.jobs.queue_again(first.id)
    ledger.jobs.fail(second.id, [])
    with pytest.raises(MoveRefused, match=f"Job {second.id} cannot be queued again: it is failed"):
        ledger.jobs.queue_again(second.id)
    with pytest.raises(JobMissing):
        ledger.jobs.queue_again(4711)


def test_a_job_awaits_its_run_for_a_while_after_it_was_queued(ledger: Ledger, engine: Engine) -> None:
    job = ledger.jobs.queue(REQUEST)
    assert ledger.watch.awaits_run(job.id, 60)
    with engine.begin() as connection:
        connection.execute(update(ProjectExportJob).values(created_at=clock(-61)))
    assert not ledger.watch.awaits_run(job.id, 60)
    assert ledger.watch.awaits_run(job.id, 120)
    started(ledger, job)
    assert not ledger.watch.awaits_run(job.id, 120)
