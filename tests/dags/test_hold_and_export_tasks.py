"""The tasks that hold the snapshot and export relations: when they are skipped, and which worker lends a snapshot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.dags.task_instances import UNIT, TaskInstance, connections, context, task_context


@pytest.mark.parametrize("units", [None, [], [{**UNIT, "shared": False}]])
def test_nothing_is_held_when_no_snapshot_is_shared(units):
    from airflow.sdk.exceptions import AirflowSkipException

    from project_export.airflow.operators import HoldSnapshot

    with pytest.raises(AirflowSkipException):
        HoldSnapshot(task_id="hold", units=units).execute({})


@pytest.mark.parametrize(("number", "pending", "held"), [(1, 0, True), (2, 3, True), (2, 0, False)])
def test_a_retry_holds_a_snapshot_only_while_a_relation_needs_it(monkeypatch, number, pending, held):
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

    from project_export.airflow.operators import HoldSnapshot

    queries = SimpleNamespace(progress=lambda job_id: SimpleNamespace(on_snapshot=pending))
    connections(monkeypatch)
    task_context(monkeypatch, SimpleNamespace(ledger=SimpleNamespace(queries=queries)))
    ti = TaskInstance()
    ti.try_number = number
    with pytest.raises(TaskDeferred if held else AirflowSkipException):
        HoldSnapshot(task_id="hold", units=[UNIT]).execute(context(ti))


def test_no_triggerer_is_waited_for_when_one_task_runs_after_the_other(monkeypatch):
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    from project_export.airflow.operators import HoldSnapshot

    comms = InProcessSupervisorComms(supervisor=None)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    with pytest.raises(AirflowSkipException, match="one after the other"):
        HoldSnapshot(task_id="hold", units=[UNIT]).execute(context(TaskInstance()))


class Worker:
    """Stands for the worker of the steps: keeps its arguments, and has exported two relations."""

    def __init__(self, ctx: Any, job_id: int, owner: Any, *, alone: bool, lends: bool) -> None:
        self.arguments = (job_id, str(owner), alone, lends)
        self.cancelled = False
        self.worked: Any = None

    def run(self) -> Any:
        from project_export.steps import Worked

        self.worked = Worked(2, 12, 345, ("issues", "labels"))
        return self.worked

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def workers(monkeypatch) -> list[Worker]:
    """The workers that the tasks have started."""
    from project_export import steps

    started: list[Worker] = []

    def start(*args: Any, **kwargs: Any) -> Worker:
        started.append(Worker(*args, **kwargs))
        return started[-1]

    task_context(monkeypatch)
    monkeypatch.setattr(steps, "Worker", start)
    return started


@pytest.mark.parametrize(
    ("unit", "holder", "lends"),
    [
        ({"alone": False, "shared": False}, "skipped", False),
        ({}, None, False),
        ({}, "deferred", False),
        ({}, "up_for_retry", False),
        ({}, "success", True),
        ({}, "failed", True),
    ],
)
def test_a_worker_lends_a_snapshot_only_if_no_task_will_hold_one(workers, unit, holder, lends):
    from project_export.airflow.operators import ExportRelation

    task = ExportRelation(task_id="export", unit={**UNIT, **unit}, holder="hold")
    task.execute(context(TaskInstance({"hold": holder})))
    assert workers[0].arguments == (7, "export_project/run/0/1", False, lends)


def test_a_worker_is_named_by_what_it_did_and_returns_its_numbers(workers):
    from project_export.airflow.operators import ExportRelation

    task, run = ExportRelation(task_id="export", unit=UNIT, holder="hold"), context(TaskInstance())
    assert task.execute(run) == {"parts": 2, "records": 12, "raw_bytes": 345}
    assert run["did"] == "issues, labels: 12 records"
    task.on_kill()
    assert workers[0].cancelled
