"""The first task: what it passes to the step, and how its errors reach Airflow."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from project_export.errors import AwaitsTurn, BadRequest, JobActive, SourceBusy
from tests.dags.task_instances import TaskInstance, connections, context, task_context


def create(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None = None,
    states: dict[str, str | None] | None = None,
    ti: TaskInstance | None = None,
    params: dict[str, Any] | None = None,
    **run: Any,
) -> tuple[Any, dict[str, Any]]:
    """Run the task with a step that raises this error, or creates a job; return its result and the step's arguments.

    states: of the tasks after this one. params: in addition to the project. run: attributes of the run that differ.
    """
    from project_export import steps
    from project_export.airflow.operators import CreateRelationExports
    from project_export.tree import load

    arguments: dict[str, Any] = {}

    def step(*_: Any, **given: Any) -> steps.Created:
        arguments.update(given)
        if error is not None:
            raise error
        return steps.Created(7, ("issues", "labels"), shared=True)

    task_context(monkeypatch, SimpleNamespace(tree=load("gitlab"), source="project_export_source", others={}))
    monkeypatch.setattr(steps, "create", step)
    task = CreateRelationExports(task_id="create")
    task.downstream_task_ids = {"export_relation", "merge"}
    given = context(ti or TaskInstance(states))
    vars(given["dag_run"]).update(run)
    given["params"].update(params or {})
    return task.execute(given), arguments


def test_it_returns_the_units_and_asks_for_the_user(monkeypatch):
    units, arguments = create(monkeypatch)
    assert [(unit["job_id"], unit["unit"], unit["title"]) for unit in units] == [(7, 0, "issues"), (7, 1, "labels")]
    assert {(unit["alone"], unit["shared"]) for unit in units} == {(False, True)}
    assert (arguments["run_id"], arguments["requested_by"]) == ("export_project/run", "jane")
    assert (arguments["watched"], arguments["queued"]) == (True, True)


def test_a_run_that_nobody_triggered_is_its_types(monkeypatch):
    from airflow.sdk.api.datamodels._generated import DagRunType

    _, arguments = create(monkeypatch, triggering_user_name=None, run_type=DagRunType.SCHEDULED)
    assert type(arguments["requested_by"]) is str
    assert (arguments["requested_by"], arguments["watched"]) == ("scheduled", False)


@pytest.mark.parametrize(("tries", "last"), [(1, False), (3, False), (4, True)])
def test_it_says_whether_it_will_be_tried_again(monkeypatch, tries, last):
    ti = TaskInstance()
    ti.try_number = tries
    _, arguments = create(monkeypatch, ti=ti)
    assert arguments["last_try"] is last


@pytest.mark.parametrize(
    ("states", "followed"),
    [
        ({}, True),
        ({"export_relation": None, "merge": None}, True),
        ({"export_relation_0": "success", "merge": None}, True),
        ({"export_relation_0": "success", "merge": "success"}, False),
        ({"export_relation": "upstream_failed", "merge": "failed"}, False),
    ],
)
def test_it_sees_whether_it_was_cleared_alone(monkeypatch, states, followed):
    _, arguments = create(monkeypatch, states=states)
    assert arguments["followed"] is followed


def test_a_source_that_is_down_is_retried(monkeypatch):
    error = SourceBusy("plan project 1, connect: connection refused")
    with pytest.raises(SourceBusy):
        create(monkeypatch, error)


def test_a_job_that_waits_for_its_turn_frees_the_slot_and_keeps_no_error(monkeypatch):
    from airflow.sdk.exceptions import AirflowRescheduleException

    ti = TaskInstance()
    with pytest.raises(AirflowRescheduleException) as caught:
        create(monkeypatch, AwaitsTurn("Job 7 waits for its turn: 5 exports are before it.", 15.0), ti=ti)
    left = (caught.value.reschedule_date - datetime.now(timezone.utc)).total_seconds()
    assert 10 < left <= 15
    assert ti.xcoms == {}


def test_where_asking_takes_long_a_job_asks_less_often(monkeypatch):
    from airflow.sdk.exceptions import AirflowRescheduleException

    ti = TaskInstance()
    for ti.took, expected in ((3, 30), (99, 60)):
        with pytest.raises(AirflowRescheduleException) as caught:
            create(monkeypatch, AwaitsTurn("Job 7 waits for its turn: 5 exports are before it.", 15.0), ti=ti)
        left = (caught.value.reschedule_date - datetime.now(timezone.utc)).total_seconds()
        assert expected - 5 < left < expected + 5


def test_a_cleared_run_asks_again_while_another_exports_the_project_only_if_it_may_wait(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

    error = JobActive("Project 1 is being exported by job 8")
    with pytest.raises(AirflowFailException, match="by job 8"):
        create(monkeypatch, error)
    with pytest.raises(AirflowRescheduleException):
        create(monkeypatch, error, params={"if_running": "wait"})


def test_a_wrong_request_is_not_retried(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="relation isues is unknown"):
        create(monkeypatch, BadRequest("relation isues is unknown"))


def test_an_unforeseen_error_is_kept_for_the_last_task_too(monkeypatch):
    ti = TaskInstance()
    with pytest.raises(RuntimeError):
        create(monkeypatch, RuntimeError("boom"), ti=ti)
    assert ti.xcoms["error"] == "boom"


def test_it_lists_missing_connections_settings_and_store_in_one_error(monkeypatch, tmp_path):
    from airflow.sdk.exceptions import AirflowFailException

    from project_export.airflow.operators import CreateRelationExports

    connections(monkeypatch, project_export_ledger_conn_id="no_such_connection")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROJECT_EXPORT_STORE", f"file://{tmp_path}/file/exports")
    ti = TaskInstance()
    with pytest.raises(AirflowFailException) as caught:
        CreateRelationExports(task_id="create").execute(context(ti))
    said = str(caught.value)
    assert said.startswith("5 things are missing for an export:")
    for missing in (
        *("PROJECT_EXPORT_GITLAB_VERSION is not set", "PROJECT_EXPORT_GITLAB_REVISION is not set"),
        *("ledger: Airflow has no connection 'no_such_connection'", "ENOTDIR", "source: "),
    ):
        assert missing in said
    assert ti.xcoms["error"] == said
    assert "s3cret" not in said
