"""The contract of notices and retention, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, update

from project_export.errors import Failure, MoveRefused
from project_export.ledger import Job, JobRequest, Keep, Ledger, Planned
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest(source="s", tree="t", project_id=42, run_id="dag/run", requested_by="jane")
ARCHIVE = ("file:///a.tar.gz", 10, "ab" * 32, 3)
HOUR = 3600.0


def ended(ledger: Ledger, engine: Engine, hours_ago: float, *, archive: bool = True, project_id: int = 42) -> Job:
    job = ledger.jobs.open(replace(REQUEST, project_id=project_id), [Planned("issues", 0)])
    if archive:
        ledger.jobs.finish(job.id, *ARCHIVE)
    else:
        ledger.jobs.fail(job.id, [Failure("issues", 1, "no")])
    with engine.begin() as connection:
        connection.execute(
            update(ProjectExportJob)
            .where(ProjectExportJob.id == job.id)
            .values(finished_at=clock(-hours_ago * HOUR), updated_at=clock(-hours_ago * HOUR))
        )
    return ledger.queries.job(job.id)


def test_one_of_several_concurrent_callers_may_report_an_outcome(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [])
    together = threading.Barrier(8)

    def take(_: int) -> bool:
        together.wait(30)
        return ledger.notices.take(job.id, "failed", "email")

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(take, range(8))) == [False] * 7 + [True]


def test_each_outcome_and_channel_has_a_notice_of_its_own(ledger: Ledger) -> None:
    first, second = ledger.jobs.open(REQUEST, []), ledger.jobs.open(replace(REQUEST, project_id=43), [])
    assert ledger.notices.take(first.id, "failed", "email")
    assert ledger.notices.take(first.id, "failed", "webhook")
    assert ledger.notices.take(first.id, "finished", "email")
    assert ledger.notices.take(second.id, "failed", "email")


def test_a_notice_that_could_not_be_sent_can_be_taken_again(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [])
    assert ledger.notices.take(job.id, "failed", "email")
    ledger.notices.release(job.id, "failed", "email")
    assert ledger.notices.take(job.id, "failed", "email")
    assert not ledger.notices.take(job.id, "failed", "email")


def test_a_published_job_is_still_started_and_has_its_archive(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [])
    ledger.jobs.publish(job.id, *ARCHIVE, attempts=0)
    found = ledger.queries.job(job.id)
    assert (found.state, found.archive_uri, found.archive_bytes, found.records) == ("started", ARCHIVE[0], 10, 3)
    ledger.jobs.fail(job.id, [])
    with pytest.raises(MoveRefused, match="cannot publish: it is failed"):
        ledger.jobs.publish(job.id, *ARCHIVE, attempts=0)


def test_the_age_of_an_archive_counts_from_the_end_of_its_export(ledger: Ledger, engine: Engine) -> None:
    old, _ = ended(ledger, engine, 25), ended(ledger, engine, 23)
    ended(ledger, engine, 25, archive=False)
    assert ledger.retention.expired_archives(24 * HOUR) == [old]


def test_an_expired_archive_stays_for_its_day_or_because_a_job_complements_it(ledger: Ledger, engine: Engine) -> None:
    base, last, other = (
        ended(ledger, engine, hours, project_id=project) for hours, project in ((99, 42), (50, 42), (50, 7))
    )
    assert ledger.retention.staying(Keep(), 24 * HOUR) == {}
    found = ledger.retention.staying(Keep(monthly=1), 24 * HOUR)
    assert set(found) == {last.id, other.id}
    now = datetime.now(timezone.utc)
    window = {"mode": "changes", "window_start": now - timedelta(days=1), "window_end": now}
    active = ledger.jobs.open(replace(REQUEST, predecessor_id=base.id, **window), [])  # type: ignore[arg-type]
    assert ledger.retention.staying(Keep(), 24 * HOUR) == {base.id: "an active job needs it"}
    with ledger.retention.locked(base) as locked:
        assert locked is None
    assert base in ledger.retention.expired_archives(24 * HOUR)  # the active job exports another mode
    ledger.jobs.finish(active.id, *ARCHIVE)
    assert ledger.retention.staying(Keep(), 24 * HOUR) == {base.id: f"the archive of job {active.id} needs it"}
    assert ledger.queries.latest_archive("s", "t", 42) == last
    assert ledger.queries.latest_archive("s", "t", 42, "changes") == ledger.queries.job(active.id)


def test_the_newest_archive_of_a_project_that_is_being_exported_does_not_expire(ledger: Ledger, engine: Engine) -> None:
    older, last, other = (
        ended(ledger, engine, 50),
        ended(ledger, engine, 49),
        ended(ledger, engine, 49, project_id=43),
    )
    ended(ledger, engine, 48, archive=False)
    active = ledger.jobs.open(REQUEST, [])
    assert ledger.retention.expired_archives(24 * HOUR) == [older, other]
    assert last not in ledger.retention.expired_jobs(24 * HOUR, 24 * HOUR)
    ledger.jobs.fail(active.id, [])
    assert ledger.retention.expired_archives(24 * HOUR) == [older, last, other]


def test_a_job_does_not_expire_before_its_archive(ledger: Ledger, engine: Engine) -> None:
    failed, finished = ended(ledger, engine, 200, archive=False), ended(ledger, engine, 200)
    ended(ledger, engine, 100, archive=False)
    assert ledger.retention.expired_jobs(168 * HOUR, 24 * HOUR) == [failed, finished]
    assert ledger.retention.expired_jobs(168 * HOUR, 300 * HOUR) == [failed]


def test_active_and_ended_jobs_are_listed(ledger: Ledger, engine: Engine) -> None:
    done, failed = ended(ledger, engine, 1), ended(ledger, engine, 1, archive=False)
    active = ledger.jobs.open(REQUEST, [])
    assert ledger.retention.active_jobs() == [active]
    assert ledger.retention.ended_jobs() == [done, failed]


def test_a_job_that_was_reopened_in_between_is_not_locked(ledger: Ledger, engine: Engine) -> None:
    job = ended(ledger, engine, 30)
    ledger.jobs.reopen(job.id)
    with ledger.retention.locked(job) as locked:
        assert locked is None
    ledger.jobs.finish(job.id, *ARCHIVE)
    with ledger.retention.locked(job) as locked:
        assert locked is None
    with ledger.retention.locked(ledger.queries.job(job.id)) as locked:
        assert locked is not None


def test_a_locked_job_cannot_be_reopened_before_the_lock_is_released(ledger: Ledger, engine: Engine) -> None:
    job = ended(ledger, engine, 30)
    order = []

    def reopen() -> None:
        ledger.jobs.reopen(job.id)
        order.append("opened")

    with ThreadPoolExecutor(1) as thread:
        with ledger.retention.locked(job) as locked:
            assert locked is not None
            opening = thread.submit(reopen)
            threading.Event().wait(0.2)
            order.append("forgotten")
            locked.forget_archive()
        opening.result(30)
    assert order == ["forgotten", "opened"]
    assert (ledger.queries.job(job.id).archive_uri, ledger.queries.job(job.id).archive_bytes) == (None, 10)


def test_nothing_is_deleted_when_the_files_could_not_be_removed(ledger: Ledger, engine: Engine) -> None:
    job = ended(ledger, engine, 30)
    with pytest.raises(RuntimeError), ledger.retention.locked(job) as locked:
        assert locked is not None
        locked.delete()
        raise RuntimeError("the disk is gone")
    assert ledger.queries.job(job.id) == job


def test_deleting_a_job_deletes_its_rows_and_notices(ledger: Ledger, engine: Engine) -> None:
    job = ended(ledger, engine, 30)
    ledger.notices.take(job.id, "finished", "email")
    with ledger.retention.locked(job) as locked:
        assert locked is not None
        locked.delete()
    assert ledger.retention.ended_jobs() == []
    assert ledger.queries.rows(job.id) == []
    with ledger.retention.locked(job) as locked:
        assert locked is None


def test_the_latest_archive_is_known_after_it_was_pruned(ledger: Ledger, engine: Engine) -> None:
    assert ledger.queries.latest_archive("s", "t", 42) is None
    job = ended(ledger, engine, 30)
    ended(ledger, engine, 30, archive=False)
    with ledger.retention.locked(job) as locked:
        assert locked is not None
        locked.forget_archive()
    latest = ledger.queries.latest_archive("s", "t", 42)
    assert latest is not None
    assert (latest.id, latest.archive_uri, latest.archive_bytes) == (job.id, None, 10)
    assert ledger.queries.latest_archive("s", "t", 43) is None
