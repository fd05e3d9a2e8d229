"""The waiter: how long one call listens, when it looks again, and what it does when no worker gets a slot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from project_export.errors import LedgerBusy, RelationsFailed
from project_export.ledger import Claim, JobRequest, Ledger, Planned, Progress, make_engine, upgrade
from project_export.settings import Settings
from project_export.steps import Context, Tasks, Waited, wait_for_workers
from project_export.steps.waiting import Pace, wait_for_news

NO_TIME = Pace(first=0, later=0, silent=0)
RUNNING = Tasks({}, others=2)


class Waiter:
    """A waiter on a job of two relations and two workers, whose ledger is a SQLite file."""

    def __init__(self, file: Path, **settings: float) -> None:
        upgrade(make_engine(f"sqlite:///{file}"))
        self.ledger = Ledger(make_engine(f"sqlite:///{file}"))
        request = JobRequest("source", "gitlab", 1, "run", "jane", plan={"titles": ["issues", "labels"]})
        self.job = self.ledger.jobs.open(request, [Planned("issues", 0), Planned("labels", 1)]).id
        self.settings = Settings(**settings)

    def wait(
        self,
        *answers: Tasks,
        first: bool = False,
        pace: Pace = NO_TIME,
        ledger: Ledger | None = None,
    ) -> Waited:
        """Call the step once. answers: what the scheduler says each time it is asked; the last one from then on."""
        said = list(answers)
        return wait_for_workers(
            Context(self.settings, ledger or self.ledger, "source", lambda: pytest.fail("the source was opened")),
            self.job,
            lambda: said.pop(0) if len(said) > 1 else said[0],
            workers=2,
            first=first,
            pool="exports",
            remedy="add slots",
            pace=pace,
        )

    def claim(self, worker: int = 0) -> Claim:
        """Start the next relation."""
        claim = self.ledger.claims.claim(self.job, worker, f"run/{worker}/1")
        assert claim is not None
        return claim

    def fail(self, *numbers: int) -> None:
        """Fail relations by their number in the archive."""
        rows = self.ledger.queries.rows(self.job)
        self.ledger.claims.fail_rows({rows[number].id: rows[number].attempt for number in numbers}, "no right", None)

    def states(self) -> list[str]:
        return [row.state for row in self.ledger.queries.rows(self.job)]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Waiter]:
    return lambda **settings: Waiter(tmp_path / "ledger.sqlite", **settings)


def test_the_wait_is_over_when_all_workers_have_ended_and_raises_every_failure(make):
    waiter = make()
    waiter.fail(0, 1)
    assert waiter.wait(RUNNING) == Waited(over=False)
    with pytest.raises(RelationsFailed) as caught:
        waiter.wait(Tasks({0: "failed", 1: "failed"}))
    assert [failure.relation for failure in caught.value.failures] == ["issues", "labels"]


def test_rows_that_no_worker_is_left_for_end_the_wait_because_the_merge_exports_them(make):
    waiter = make()
    assert waiter.wait(Tasks({0: "success"}, others=1)) == Waited(over=False)
    assert waiter.wait(Tasks({0: "success", 1: "success"})) == Waited(over=True)


def test_the_first_call_waits_for_a_small_export_and_later_ones_return_soon(make):
    waiter = make()
    pace = Pace(first=20, later=0, tasks=0.05)
    ended = Tasks({0: "success", 1: "success"})
    began = time.monotonic()
    assert waiter.wait(RUNNING, ended, first=False, pace=pace) == Waited(over=False)
    assert waiter.wait(RUNNING, ended, first=True, pace=pace) == Waited(over=True)
    assert time.monotonic() - began < 10


def test_the_end_of_a_worker_which_nothing_announces_is_seen_soon_after_a_failure(make):
    waiter = make()
    waiter.fail(0, 1)
    asked = []

    def answers() -> Tasks:
        asked.append(time.monotonic())
        return RUNNING if len(asked) < 4 else Tasks({0: "failed", 1: "failed"})

    ctx = Context(waiter.settings, waiter.ledger, "source", lambda: pytest.fail("the source was opened"))
    with pytest.raises(RelationsFailed):
        wait_for_workers(
            ctx, waiter.job, answers, workers=2, first=True, pool="p", remedy="", pace=Pace(first=60, tasks=0.02)
        )
    assert asked[-1] - asked[0] < 10


def test_a_call_goes_on_while_a_row_is_silent_until_the_row_is_judged(make):
    waiter = make(hung_seconds=0.2, heartbeat_seconds=0.05)
    waiter.claim()
    time.sleep(0.3)
    assert waiter.wait(RUNNING, pace=Pace(later=0, silent=0)) == Waited(over=False)
    assert waiter.states() == ["started", "queued"]
    assert waiter.wait(RUNNING, pace=Pace(later=0, silent=30, tasks=0.02)) == Waited(over=False)
    assert waiter.states() == ["queued", "queued"]


def test_a_ledger_that_does_not_answer_is_asked_again_while_a_worker_is_left(make, tmp_path, caplog):
    waiter = make()
    away = Ledger(make_engine(f"sqlite:///{tmp_path}/no such folder/ledger.sqlite"))
    assert waiter.wait(Tasks({0: "success"}, others=1), ledger=away) == Waited(over=False)
    assert "did not answer" in caplog.text
    assert "The waiter will look again." in caplog.text
    with pytest.raises(LedgerBusy):
        waiter.wait(Tasks({0: "success", 1: "failed"}), ledger=away)


@pytest.mark.parametrize("tasks", [Tasks({}, [0, 1]), Tasks({0: "success"}, [1])])
def test_without_slots_the_pool_is_named_and_then_the_export_fails(make, caplog, tasks):
    waiter = make()
    assert waiter.wait(tasks) == Waited(over=False)
    assert "no worker has got a slot in the pool 'exports' yet; if no other export is running, add slots" in caplog.text
    waiter.settings = Settings(slot_wait_seconds=0.05)
    time.sleep(0.1)
    assert waiter.wait(tasks) == Waited(over=False, starved=tuple(tasks.waiting))
    (starved, others) = waiter.ledger.queries.failures(waiter.job)
    assert (starved.code, others.code) == ("Starved", "Cancelled")
    assert starved.message == "no worker has got a slot in the pool 'exports' for 0 s; add slots"
    assert caplog.records[-1].levelno == logging.ERROR
    assert "for 0 s, so the export fails; add slots" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("tasks", [Tasks({}, [0], others=1), Tasks({0: "success"}, [], others=1)])
def test_an_export_with_a_worker_that_has_a_slot_is_not_given_up(make, caplog, tasks):
    waiter = make(slot_wait_seconds=0.05)
    time.sleep(0.1)
    assert waiter.wait(tasks) == Waited(over=False)
    assert "slot" not in caplog.text
    assert waiter.states() == ["queued", "queued"]


@pytest.mark.parametrize(
    ("seen", "looks"),
    [
        ([{"started": 2}, {"started": 1, "finished": 1}, {"finished": 2}], 2),
        ([{"started": 2}, {"started": 1, "failed": 1}, {"failed": 2}], 1),
    ],
)
def test_the_last_relation_or_a_failure_is_worth_another_look_and_not_each_relation(seen, looks):
    states = [progress(**state) for state in seen]
    asked = iter(states[1:])
    wait_for_news(lambda: next(asked), states[0], lambda seconds: True, 60)
    assert len(states) - 1 - len(list(asked)) == looks


def test_any_change_is_worth_another_look_after_a_while():
    waits = []

    def wait(seconds: float) -> bool:
        waits.append(time.monotonic())
        time.sleep(0.02)
        return True

    began = time.monotonic()
    wait_for_news(lambda: progress(started=2), progress(started=2), wait, 60, Pace(busy=0.05))
    assert 0.05 <= time.monotonic() - began < 30
    assert waits[-1] - began < 0.05  # the change after which the time was up was the last one that was waited for


def test_without_a_change_the_time_that_was_given_is_waited():
    waits = []
    wait_for_news(lambda: pytest.fail("nothing has changed"), progress(started=2), lambda s: bool(waits.append(s)), 0.5)
    assert waits == [pytest.approx(0.5, abs=0.1)]


def progress(**states: int) -> Progress:
    nothing = {"queued": 0, "started": 0, "finished": 0, "failed": 0, "records": 0, "raw_bytes": 0, "estimate": 0}
    return Progress("started", 0, **{**nothing, **states})
