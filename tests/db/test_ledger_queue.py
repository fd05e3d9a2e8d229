"""Admission on PostgreSQL and on SQLite: the limit holds, and nobody gets a place twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from project_export.errors import AwaitsTurn, JobActive, JobMissing
from project_export.ledger import Job, JobRequest, Ledger, Planned
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest("main", "gitlab", 1, "dag/run", "jane", waiting=True)
ROWS = (Planned("labels", 0),)


def queued(ledger: Ledger, number: int, user: str = "jane", **values: object) -> Job:
    return ledger.jobs.queue(
        replace(REQUEST, project_id=number, run_id=f"dag/{number}", requested_by=user, **values)  # type: ignore[arg-type]
    )


def start(ledger: Ledger, job: Job) -> Job:
    return ledger.jobs.start(job.id, REQUEST, ROWS)


def test_a_job_that_waits_is_not_the_active_one_until_its_turn(ledger: Ledger) -> None:
    first, second = (ledger.jobs.queue(replace(REQUEST, run_id=run_id)) for run_id in ("dag/1", "dag/2"))
    assert ledger.queries.active_job("main", "gitlab", 1) is None
    assert ledger.queue.admit(second.id, 25).blocker == first.id
    assert ledger.queue.admit(first.id, 25).admitted
    admitted = ledger.queries.job(first.id)
    assert (admitted.state, admitted.waiting, admitted.admitted_at is not None) == ("queued", False, True)
    assert ledger.queries.active_job("main", "gitlab", 1) == admitted
    assert ledger.queue.admit(first.id, 25).admitted
    assert start(ledger, first).state == "started"
    assert ledger.queue.turn(second.id, 25).blocker == first.id
    ledger.jobs.fail(first.id, [])
    assert ledger.queue.admit(second.id, 25).admitted
    with pytest.raises(JobMissing):
        ledger.queue.admit(4711, 25)


def test_the_limit_holds_however_many_ask_at_once(ledger: Ledger) -> None:
    jobs = [queued(ledger, number) for number in range(1, 17)]
    together = threading.Barrier(16)

    def ask(job: Job) -> bool:
        together.wait(30)
        return ledger.queue.admit(job.id, 3).admitted

    with ThreadPoolExecutor(16) as threads:
        admitted = list(threads.map(ask, jobs))
    assert admitted == [True] * 3 + [False] * 13
    assert not any(ledger.queue.admit(job.id, 3).admitted for job in jobs[3:])
    ledger.jobs.fail(start(ledger, jobs[1]).id, [])
    assert [ledger.queue.admit(job.id, 3).admitted for job in jobs[3:]] == [True] + [False] * 12
    assert all(ledger.queue.admit(job.id, 0).admitted for job in jobs[3:])


def test_of_two_of_a_project_that_ask_at_once_one_is_admitted(ledger: Ledger) -> None:
    jobs = [ledger.jobs.queue(replace(REQUEST, run_id=f"dag/{number}")) for number in range(2)]
    together = threading.Barrier(2)

    def ask(job: Job) -> bool:
        together.wait(30)
        return ledger.queue.admit(job.id, 25).admitted

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, jobs)) == [True, False]


def test_a_run_waits_with_one_job_however_often_it_is_queued(ledger: Ledger) -> None:
    together = threading.Barrier(4)

    def queue(_: int) -> int:
        together.wait(30)
        return ledger.jobs.queue(REQUEST).id

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(queue, range(4)))) == 1


def test_a_job_that_does_not_queue_starts_only_if_nobody_is_before_it(ledger: Ledger) -> None:
    def opened(number: int, most: int | None) -> Job:
        return ledger.jobs.open(
            replace(REQUEST, waiting=False, project_id=number, run_id=f"dag/{number}"), [], most=most
        )

    assert opened(1, 2).admitted_at is not None
    assert opened(2, None).admitted_at is None
    other = queued(ledger, 3)
    with pytest.raises(AwaitsTurn, match="1 of 2 exports are running, and 1 are before this one"):
        opened(4, 2)
    ledger.jobs.fail(other.id, [])
    assert opened(4, 2).admitted_at is not None
    with pytest.raises(AwaitsTurn):
        opened(5, 2)
    assert opened(5, 0).state == "started"
    with pytest.raises(JobActive):
        opened(5, 0)


def test_a_hundred_jobs_of_one_user_delay_another_by_one(ledger: Ledger) -> None:
    many = [queued(ledger, number) for number in range(1, 101)]
    running = [job for job in many[:5] if ledger.queue.admit(job.id, 5).admitted]
    other = queued(ledger, 200, "joe")
    assert len(running) == 5
    assert (ledger.queue.admit(other.id, 5).admitted, ledger.queue.turn(other.id, 5).ahead) == (False, 1)
    ledger.jobs.fail(running[0].id, [])
    assert not ledger.queue.admit(many[5].id, 5).admitted
    assert ledger.queue.admit(other.id, 5).admitted


def test_a_job_that_was_queued_again_has_lost_its_place(ledger: Ledger) -> None:
    job = queued(ledger, 1)
    ledger.queue.admit(job.id, 1)
    ledger.jobs.fail(job.id, [])
    again = ledger.jobs.queue_again(job.id, waiting=True)
    assert (again.waiting, again.admitted_at) == (True, None)


def test_admitted_jobs_of_which_nothing_is_heard_are_found(ledger: Ledger, engine: Engine) -> None:
    waits, silent, works = (queued(ledger, number) for number in range(1, 4))
    for job in (silent, works):
        ledger.queue.admit(job.id, 25)
    start(ledger, works)
    assert ledger.queue.silent(60) == []
    with engine.begin() as connection:
        connection.execute(update(ProjectExportJob).values(updated_at=clock(-61)))
    assert [job.id for job in ledger.queue.silent(60)] == [silent.id]
    assert ledger.queries.job(waits.id).waiting
