"""The waiter: what it reads from Airflow's task states, and what Airflow gets for each answer of the step."""

from __future__ import annotations

from typing import Any

import pytest

from project_export.errors import Failure, LedgerBusy, RelationsFailed
from tests.dags.task_instances import UNIT, TaskInstance, context, task_context

ENDED = ["success", "failed", "upstream_failed", "skipped", "removed"]
OTHERS = ["up_for_retry", "restarting", "running", "queued", "deferred", "up_for_reschedule", None]


def tasks(states: dict[str, str | None]) -> Any:
    from project_export.airflow.runs import worker_tasks

    return worker_tasks(TaskInstance(states), "export_relation")


def test_only_a_task_that_is_over_for_good_has_ended_its_worker():
    states = {f"export_relation_{number}": state for number, state in enumerate([*OTHERS, *ENDED])}
    found = tasks(states)
    assert found.ended == dict(enumerate(ENDED, start=len(OTHERS)))
    assert (list(found.waiting), found.others) == ([], len(OTHERS))


def test_a_task_without_a_slot_is_waiting_for_one():
    found = tasks({"export_relation_0": "scheduled", "export_relation_1": "success", "export_relation_2": "queued"})
    assert (found.ended, list(found.waiting), found.others) == ({1: "success"}, [0], 1)


@pytest.mark.parametrize("state", [None, "upstream_failed"])
def test_a_task_that_is_not_expanded_has_no_workers(state):
    found = tasks({"export_relation": state})
    assert (found.ended, list(found.waiting), found.others) == ({}, [], 0)


def poke(monkeypatch: pytest.MonkeyPatch, answer: Any, units: Any = (UNIT, UNIT), reschedules: int = 0) -> Any:
    """Let the waiter look once, with a step that returns or raises this answer; return its answer and the call."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    from project_export import steps
    from project_export.airflow.sensor import WaitRelationExports

    called: dict[str, Any] = {}

    def step(ctx: Any, job_id: int, ask: Any, **given: Any) -> Any:
        called.update(given, job_id=job_id, tasks=ask())
        if isinstance(answer, Exception):
            raise answer
        return answer

    task_context(monkeypatch)
    monkeypatch.setattr(steps, "wait_for_workers", step)
    waiter = WaitRelationExports(task_id="wait", exporter="export_relation", units=units)
    waiter.dag = DAG("export_project", schedule=None)
    waiter.dag.add_task(EmptyOperator(task_id="export_relation", pool="p"))
    ti = TaskInstance({"export_relation_0": "scheduled", "export_relation_1": "running"})
    return waiter.poke({**context(ti), "task_reschedule_count": reschedules}), called


@pytest.mark.parametrize("over", [True, False])
def test_it_returns_whether_the_wait_is_over(monkeypatch, over):
    from project_export.steps import Tasks, Waited

    answer, called = poke(monkeypatch, Waited(over))
    assert answer is over
    assert (called["job_id"], called["workers"], called["first"], called["pool"]) == (7, 2, True, "p")
    assert called["remedy"] == 'check that the pool exists and has slots: airflow pools set p 4 "exports"'
    assert called["tasks"] == Tasks({}, [0], others=1)


def test_it_says_that_a_later_poke_is_not_the_first(monkeypatch):
    from project_export.steps import Waited

    assert poke(monkeypatch, Waited(over=False), reschedules=3)[1]["first"] is False


def test_failed_relations_fail_it_for_good(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"(?s)1 relation.*boards.*no right"):
        poke(monkeypatch, RelationsFailed([Failure("boards", 1, "no right")]))


def test_a_ledger_that_stays_away_is_left_to_airflows_retries(monkeypatch):
    with pytest.raises(LedgerBusy):
        poke(monkeypatch, LedgerBusy("no answer"))


def test_workers_that_never_got_a_slot_are_skipped_so_that_the_merge_can_report_it(monkeypatch):
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    from project_export.steps import Waited

    with pytest.raises(DownstreamTasksSkipped) as caught:
        poke(monkeypatch, Waited(over=False, starved=(0, 1)))
    assert caught.value.tasks == [("export_relation", 0), ("export_relation", 1)]


@pytest.mark.parametrize("units", [None, []])
def test_without_a_job_it_is_skipped(monkeypatch, units):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="nothing to wait for"):
        poke(monkeypatch, None, units=units)
