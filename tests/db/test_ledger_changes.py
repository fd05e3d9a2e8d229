"""Every change of state is one line of the log, one call of the observer, and the metrics that follow from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pytest
from sqlalchemy import Engine

from project_export.errors import Failure, JobActive, MoveRefused
from project_export.ledger import Change, JobRequest, Ledger, Planned
from project_export.steps.metrics import COUNTERS, GAUGES, PREFIX, TIMINGS, measure, measuring
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest("main", "gitlab", 1, "dag/run", "jane", waiting=True)


class Received:
    """Metrics that are kept: the sums of counters, and the names of all others."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.times: list[str] = []
        self.gauges: dict[str, float] = {}

    def count(self, name: str, by: int, tags: Mapping[str, str]) -> None:
        assert tags
        self.counts[name.removeprefix(PREFIX)] += by

    def time(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        assert seconds >= 0
        self.times.append(name.removeprefix(PREFIX))

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name.removeprefix(PREFIX)] = value


class Part:
    records, raw_bytes, stored_bytes, crc32, stored_crc32, sha256 = 5, 120, 60, 1, 2, "ab" * 32


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def ledger(engine: Engine, received: Received) -> Ledger:
    return Ledger(engine, observe=measuring(received))


def exported(ledger: Ledger, rows: int = 2) -> int:
    """Take a job from the queue to its archive; one relation fails once."""
    job = ledger.jobs.queue(REQUEST)
    ledger.queue.admit(job.id, 1)
    ledger.jobs.start(job.id, REQUEST, [Planned(f"relation_{number}", number) for number in range(rows)])
    ledger.jobs.begin_generation(job.id, 1, "0003-1", "there was none")
    first = ledger.claims.claim(job.id, 0, "worker")
    assert first is not None
    ledger.claims.fail_attempt(first, "lost connection", "08006", final=False)
    for _ in range(rows):
        claim = ledger.claims.claim(job.id, 0, "worker")
        assert claim is not None
        ledger.claims.finish(claim, Part(), f"file:///{claim.relation}")
    ledger.jobs.finish(job.id, "file:///a", 77, "ab" * 32, 5 * rows)
    return job.id


def test_each_change_is_a_line_with_job_relation_and_attempt(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "project_export.ledger.changes")
    job_id = exported(ledger, rows=1)
    lines = [re.sub(r"seconds=[\d.]+", "seconds=S", record.getMessage()) for record in caplog.records]
    row = f"job={job_id} relation=relation_0 part=0"
    assert lines == [
        f"job={job_id} event=queue state=queued mode=full",
        f"job={job_id} event=admit state=queued mode=full",
        f"job={job_id} event=start state=started mode=full wait_seconds=S",
        f"job={job_id} event=snapshot state=started mode=full",
        f"{row} attempt=1 event=claim state=started wait_seconds=S",
        f"{row} attempt=1 event=retry state=queued code=08006",
        f"{row} attempt=2 event=claim state=started wait_seconds=S",
        f"{row} attempt=2 event=finish state=finished records=5 bytes=120 seconds=S",
        f"job={job_id} event=finish state=finished mode=full outcome=finished records=5 bytes=77 seconds=S",
    ]


def test_changes_are_counted_and_timed(ledger: Ledger, received: Received) -> None:
    exported(ledger)
    assert received.counts == {
        **dict.fromkeys(("jobs.queued", "jobs.admitted", "jobs.started", "jobs.finished", "snapshots"), 1),
        **{"relations.repeated": 1, "relations.finished": 2, "records": 10, "bytes": 240, "archive_bytes": 77},
    }
    assert Counter(received.times) == {"job_wait_seconds": 1, "relation_seconds": 2, "job_seconds": 1}


def test_every_metric_of_the_list_is_sent_and_no_other(ledger: Ledger, received: Received) -> None:
    job_id = exported(ledger)
    ledger.jobs.reopen(job_id, ("finished",))
    claim = ledger.claims.claim(job_id, 0, "worker")
    assert claim is not None
    ledger.claims.fail_attempt(claim, "no right", "42501", final=True)
    ledger.claims.cancel_rows(job_id, "the other had failed")
    ledger.jobs.fail(job_id, [Failure("relation_0", 3, "no right")])
    ledger.jobs.fail(ledger.jobs.queue(REQUEST).id, [], cancelled=True)
    measure(received, ledger.watch.load(), 3)
    assert received.counts.keys() == COUNTERS.keys()
    assert set(received.times) == TIMINGS.keys()
    assert received.gauges.keys() == GAUGES.keys()
    assert received.counts["jobs.failed"] == received.counts["jobs.cancelled"] == 1


def test_what_changes_nothing_is_not_reported(ledger: Ledger, received: Received, engine: Engine) -> None:
    job = ledger.jobs.open(JobRequest("main", "gitlab", 1, "dag/run", "jane"), [])
    received.counts.clear()
    with pytest.raises(JobActive):
        ledger.jobs.open(JobRequest("main", "gitlab", 1, "dag/other", "jane"), [])
    with pytest.raises(MoveRefused):
        ledger.jobs.fail(job.id, [], queued_only=True)
    assert ledger.claims.claim(job.id, 0, "worker") is None
    assert not received.counts

    def broken(_: Change) -> None:
        raise RuntimeError("the receiver is broken")

    assert Ledger(engine, observe=broken).jobs.fail(job.id, [])


def test_the_gauges_are_the_numbers_and_ages_of_jobs(ledger: Ledger) -> None:
    assert ledger.watch.load().queued == ledger.watch.load().oldest_queued_seconds == 0
    waits = ledger.jobs.queue(REQUEST)
    ledger.jobs.open(JobRequest("main", "gitlab", 2, "dag/other", "jane"), [])
    load = ledger.watch.load()
    assert (load.queued, load.running) == (1, 1)
    assert 0 <= load.oldest_running_seconds <= load.oldest_queued_seconds < 60
    ledger.queue.admit(waits.id, 1)
    assert (ledger.watch.load().queued, ledger.watch.load().running) == (0, 2)
