"""Many projects: the DAG file, its timetable, and what its tasks make of a run, without a running Airflow."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from project_export.errors import BadRequest
from project_export.steps import FoundProject
from project_export.tree import load
from tests.dags.task_instances import TaskInstance, task_context

DAY = datetime(2026, 11, 1, tzinfo=timezone.utc)
DEFAULTS = {"projects": [], "again": "failed", "mode": "full", "relations": [], "description": None, "fail_fast": False}


TWO = (FoundProject(7, "acme/app"), FoundProject(8, ""))


@pytest.fixture(scope="module")
def dag(repo: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(repo / "dags" / "export_projects.py"))
    assert not bag.import_errors
    return bag.dags["export_projects"]


def run(**given: Any) -> SimpleNamespace:
    """Return a run of the fleet for one day."""
    usual = {
        "dag_id": "export_projects",
        "run_id": "backfill__2026-11-02T00:00:00+00:00",
        "run_type": "backfill",
        "triggering_user_name": "jane",
        "logical_date": DAY,
        "data_interval_start": DAY,
        "data_interval_end": DAY + timedelta(days=1),
        "conf": {},
    }
    return SimpleNamespace(**{**usual, **given})


def context(dag_run: Any = None, ti: Any = None, **params: Any) -> dict[str, Any]:
    return {"dag_run": dag_run or run(), "ti": ti or Fleet(), "params": {**DEFAULTS, **params}}


class Fleet(TaskInstance):
    """A task instance of the fleet. runs: states of runs of export_project by id."""

    def __init__(self, runs: dict[str, str] | None = None, *, paused: bool = False, **xcoms: Any) -> None:
        super().__init__(xcoms=xcoms)
        self.runs = runs or {}
        self.paused = paused

    def get_dagrun_state(self, *, dag_id: str, run_id: str) -> str:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        if run_id not in self.runs:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404}))
        return self.runs[run_id]

    def get_dag(self, dag_id: str) -> Any:
        return SimpleNamespace(is_paused=self.paused)

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.xcoms.get(key)


@pytest.fixture
def triggered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], bool]]:
    """What is triggered: run id, conf, and whether the run is cleared instead."""
    from project_export.airflow import fleet

    calls: list[tuple[str, dict[str, Any], bool]] = []
    monkeypatch.setattr(fleet, "trigger_run", lambda dag, run, conf, clear: calls.append((run, conf, clear)))
    return calls


def export(ti: Fleet, **given: Any) -> tuple[dict[str, str], str]:
    """Run the mapped task for project 7; return its result and its name in the grid."""
    from project_export.airflow.fleet import ExportProject

    around = context(ti=ti, **given)
    task = ExportProject(task_id="export_project", project={"project_id": 7, "title": "acme/app"})
    return task.execute(around), around["did"]


def test_the_file_is_thin_and_speaks_no_sql(repo):
    text = (repo / "dags" / "export_projects.py").read_text()
    assert len(text.splitlines()) < 100
    assert not re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|COPY)\b", text)


def test_the_shape(dag):
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "choose_projects": {"export_project", "end_exports"},
        "export_project": {"end_exports"},
        "end_exports": set(),
    }
    assert dag.get_task("end_exports").trigger_rule.value == "all_done"
    assert (dag.catchup, dag.is_paused_upon_creation, {task.retries for task in dag.tasks}) == (False, False, {3})


def test_the_params_are_those_of_one_export_that_all_projects_share(dag):
    from project_export.airflow.form import export_params

    ours = set(dag.params)
    assert ours - set(export_params()) == {"projects", "again"}
    assert set(export_params()) - ours == {
        "project_id",
        "if_running",
        "window_start",
        "window_end",
        "after_export",
        "upload_url",
        "upload_http_method",
    }


def test_without_a_cron_no_run_starts_by_itself_but_days_can_be_backfilled(dag, repo, monkeypatch):
    from airflow import plugins_manager
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization

    from project_export.airflow.timetable import BackfillTimetable

    name = f"{BackfillTimetable.__module__}.{BackfillTimetable.__qualname__}"
    monkeypatch.setattr(plugins_manager, "get_timetables_plugins", lambda: {name: BackfillTimetable})
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert isinstance(stored, SerializedDAG)
    assert stored.timetable.periodic
    assert stored.timetable.summary == "only backfilled"
    assert stored.next_dagrun_info(last_automated_run_info=None, restricted=True) is None
    days = list(stored.iter_dagrun_infos_between(DAY, DAY + timedelta(days=2)))
    assert [day.data_interval.start.day for day in days] == [1, 2, 3]
    assert all(day.data_interval.end - day.data_interval.start == timedelta(days=1) for day in days)


def test_the_plugin_registers_the_timetable(repo):
    from airflow._shared.plugins_manager import _load_plugins_from_plugin_directory

    from project_export.airflow.timetable import BackfillTimetable

    plugins, errors = _load_plugins_from_plugin_directory(str(repo / "plugins"), False)
    assert not errors
    assert [timetable for plugin in plugins for timetable in plugin.timetables] == [BackfillTimetable]


def test_a_cron_by_setting_makes_intervals_in_its_zone(monkeypatch):
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable

    from project_export.airflow.timetable import timetable

    monkeypatch.setenv("PROJECT_EXPORT_SCHEDULE", "0 2 * * *")
    monkeypatch.setenv("PROJECT_EXPORT_SCHEDULE_ZONE", "Europe/Berlin")
    nightly = timetable()
    assert type(nightly) is CronDataIntervalTimetable
    info = nightly.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    assert info is not None
    start, end = info.data_interval.start, info.data_interval.end
    assert start < end <= datetime.now(timezone.utc)
    assert (start.in_timezone("Europe/Berlin").hour, end.in_timezone("Europe/Berlin").hour) == (2, 2)


def test_a_project_without_a_run_gets_one(triggered):
    result, name = export(Fleet())
    ((run_id, conf, clear),) = triggered
    assert result == {"run_id": run_id, "did": "started"}
    assert (name, clear) == ("acme/app: started", False)
    assert re.fullmatch(r"7__backfill__2026-11-02T00:00:00\+00:00__[0-9a-f]{8}", run_id)
    assert conf == {
        "project_id": 7,
        "mode": "full",
        "fail_fast": False,
        "if_running": "wait",
        "after_export": "none",
        "requested_by": "jane",
    }


@pytest.mark.parametrize(
    ("state", "again", "did", "cleared"),
    [
        ("queued", "all", "running already", None),
        ("running", "failed", "running already", None),
        ("failed", "failed", "repeated", True),
        ("success", "failed", "exported already", None),
        ("success", "all", "repeated", True),
    ],
)
def test_what_is_done_with_a_run_depends_on_its_state(triggered, state, again, did, cleared):
    run_id = export(Fleet())[0]["run_id"]
    triggered.clear()
    assert export(Fleet({run_id: state}), again=again) == ({"run_id": run_id, "did": did}, f"acme/app: {did}")
    assert [clear for *_, clear in triggered] == ([] if cleared is None else [cleared])


def test_another_conf_is_another_run_and_another_user_is_not(triggered):
    first = export(Fleet())[0]["run_id"]
    assert export(Fleet(), relations=["issues"])[0]["run_id"] != first
    assert export(Fleet(), again="all")[0]["run_id"] == first
    assert export(Fleet(), dag_run=run(triggering_user_name="joe"))[0]["run_id"] == first
    assert export(Fleet(), dag_run=run(run_id="x" * 240))[0]["run_id"].count("x") < 100


def test_a_window_is_the_interval_of_the_run_in_utc(triggered):
    berlin = timezone(timedelta(hours=1))
    interval = {"data_interval_start": DAY.astimezone(berlin), "data_interval_end": DAY + timedelta(days=1)}
    export(Fleet(), dag_run=run(**interval), mode="changes")
    ((_, conf, _),) = triggered
    assert conf["window_start"] == "2026-11-01T00:00:00+00:00"
    assert conf["window_end"] == "2026-11-02T00:00:00+00:00"
    with pytest.raises(BadRequest, match="data interval"):
        export(Fleet(), dag_run=run(data_interval_start=None), mode="changes")


def choose(
    dag: Any,
    monkeypatch: pytest.MonkeyPatch,
    newer: Sequence[Any] = (),
    found: Sequence[FoundProject] = TWO,
    **given: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the first task with a step that finds these projects; return its result and the step's arguments."""
    from project_export import steps
    from project_export.airflow import fleet

    arguments: dict[str, Any] = {}

    def step(ctx: Any, words: Any, interval: Any, **others: Any) -> list[FoundProject]:
        arguments.update(others, words=words, interval=interval)
        return [] if others["only_active"] and "active" not in words else list(found)

    task_context(
        monkeypatch, SimpleNamespace(tree=load("gitlab"), others=(), settings=SimpleNamespace(archive_hours=24))
    )
    monkeypatch.setattr(steps, "choose_projects", step)
    monkeypatch.setattr(fleet, "later_runs", lambda *_: iter(newer))
    return dag.get_task("choose_projects").execute(context(**given)), arguments


def test_the_projects_are_returned_with_their_names(dag, monkeypatch):
    found, arguments = choose(dag, monkeypatch, projects=["acme/*", 8])
    assert found == [{"project_id": 7, "title": "acme/app"}, {"project_id": 8, "title": "8"}]
    assert (arguments["words"], arguments["most"], arguments["only_active"]) == (["acme/*", 8], 1024, False)
    assert (arguments["interval"].since, arguments["interval"].before) == (DAY, None)


def test_500_projects_are_a_small_xcom(dag, monkeypatch):
    many = [FoundProject(10**7 + number, f"a-group/with/subgroups/project-{number}") for number in range(500)]
    assert len(json.dumps(choose(dag, monkeypatch, found=many)[0])) < 48_000


@pytest.mark.parametrize(
    ("params", "paused", "fault"),
    [
        ({"project": [7]}, False, "parameter project is unknown; nearest: projects"),
        ({"requested_by": "root"}, False, "parameter requested_by is unknown"),
        ({"relations": ["isues"]}, False, "relation isues is unknown; nearest: issues"),
        ({}, True, "export_project is paused"),
    ],
)
def test_what_is_wrong_for_all_projects_is_refused_once(dag, monkeypatch, params, paused, fault):
    from airflow.sdk.exceptions import AirflowFailException

    ti = Fleet(paused=paused)
    with pytest.raises(AirflowFailException, match=fault):
        choose(dag, monkeypatch, ti=ti, **params)
    assert re.search(fault, ti.xcoms["error"])


def later(**given: Any) -> SimpleNamespace:
    date = DAY + timedelta(days=1)
    return run(**{"run_id": "backfill__2026-11-03", "logical_date": date, "state": "queued", "end_date": None, **given})


def test_a_full_export_is_made_by_the_newest_day_of_a_backfill(dag, monkeypatch):
    from airflow.sdk.exceptions import AirflowSkipException

    newest = later(run_id="backfill__2026-11-04", logical_date=DAY + timedelta(days=2))
    ti = Fleet()
    with pytest.raises(AirflowSkipException, match="exported once, by the run backfill__2026-11-04"):
        choose(dag, monkeypatch, [later(), newest], ti=ti)
    assert "backfill__2026-11-04" in ti.xcoms["exported_by"]


def test_active_projects_of_an_older_day_are_exported_by_that_day(dag, monkeypatch):
    found, arguments = choose(dag, monkeypatch, [later()], projects=["active"])
    assert len(found) == 2
    assert (arguments["only_active"], arguments["interval"].before) == (True, DAY + timedelta(days=1))


@pytest.mark.parametrize(
    "other",
    [
        later(run_type="scheduled"),
        later(conf={"projects": [1]}),
        later(state="success", end_date=datetime.now(timezone.utc) - timedelta(hours=25)),
    ],
    ids=("scheduled", "another conf", "long ago"),
)
def test_runs_that_export_something_else_or_long_ago_do_not_count(dag, monkeypatch, other):
    assert len(choose(dag, monkeypatch, [other])[0]) == 2
    assert len(choose(dag, monkeypatch, [later()], mode="changes")[0]) == 2
    assert len(choose(dag, monkeypatch, [later()], dag_run=run(run_type="scheduled"))[0]) == 2


def test_one_trigger_waits_for_all_runs_in_few_requests(monkeypatch):
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    from project_export.airflow.ended import RunsEnded

    left = {f"run{number}": "running" for number in range(250)}
    asked: list[int] = []

    def count(*, dag_id: str, run_ids: list[str], states: list[str]) -> int:
        asked.append(len(run_ids))
        found = sum(left.get(run_id) in states for run_id in run_ids)
        for run_id in run_ids:
            left[run_id] = "success"
        return found

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
    path, arguments = RunsEnded("export_project", list(left)).serialize()
    assert path == "project_export.airflow.ended.RunsEnded"

    async def wait() -> list[Any]:
        return [event async for event in RunsEnded(**{**arguments, "poll_seconds": 0}).run()]

    (event,) = asyncio.run(wait())
    assert event.payload == {"ended": 250}
    assert asked == [50] * 10


def create(monkeypatch: pytest.MonkeyPatch, run_type: str, named: Any) -> str:
    """Run the first task of export_project with `requested_by`; return the user for whom it creates a job."""
    from project_export import steps
    from project_export.airflow.operators import CreateRelationExports

    users: list[str] = []

    def step(*_: Any, requested_by: str, **__: Any) -> steps.Created:
        users.append(requested_by)
        return steps.Created(7, ("issues",))

    task_context(monkeypatch, SimpleNamespace(tree=load("gitlab"), others=(), source="source"))
    monkeypatch.setattr(steps, "create", step)
    child = SimpleNamespace(dag_id="export_project", run_id="x", triggering_user_name=None, run_type=run_type)
    params = {"project_id": 1, "requested_by": named}
    CreateRelationExports(task_id="create").execute({"ti": TaskInstance(), "dag_run": child, "params": params})
    return users[0]


def test_the_user_who_asked_for_all_projects_is_the_one_who_exports_each(monkeypatch):
    assert create(monkeypatch, "operator_triggered", "jane") == "jane"
    assert create(monkeypatch, "operator_triggered", None) == "operator_triggered"


@pytest.mark.parametrize(("run_type", "named"), [("manual", "root"), ("operator_triggered", 7), ("scheduled", "root")])
def test_nobody_else_can_name_the_user(monkeypatch, run_type, named):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="requested_by is only for runs that another DAG triggers"):
        create(monkeypatch, run_type, named)


def end(
    monkeypatch: pytest.MonkeyPatch, ti: Fleet, projects: Any, still_open: bool = False, event: Any = None
) -> tuple[Any, dict[str, Any]]:
    """Run the last task; return its result, and what it passes to the steps."""
    from project_export import steps
    from project_export.airflow import fleet

    passed: dict[str, Any] = {}

    def summarise(ctx: Any, ended: list[steps.Ended]) -> steps.Summary:
        passed["ended"] = ended
        failures = [steps.fleet.Failed(one.project.id, "", one.run_id, one.refused or "") for one in ended if one.fault]
        return steps.Summary(len(ended), len(ended) - len(failures), 12, 345, tuple(failures), {})

    task_context(monkeypatch)
    monkeypatch.setattr(fleet, "still_open", lambda dag, runs: runs if still_open else [])
    monkeypatch.setattr(steps, "summarise", summarise)
    monkeypatch.setattr(steps, "announce_fleet", lambda *said: passed.update(announced=said[1:]))
    monkeypatch.setattr(steps, "announce_refusal", lambda *said: passed.update(refused=said[1:]))
    around = {**context(ti=ti), "outlet_events": {fleet.PROJECTS: SimpleNamespace(extra=None)}}
    task = fleet.EndExports(task_id="end_exports", projects=projects, chooser="choose_projects")
    try:
        result = task.execute(around, event)
    finally:
        passed["event"] = around["outlet_events"][fleet.PROJECTS].extra
        ti.xcoms["passed"] = passed
    return result, passed


CHOSEN = [{"project_id": 7, "title": "acme/app"}]


def test_the_last_task_waits_in_the_triggerer_and_resumes_itself(monkeypatch):
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        end(monkeypatch, Fleet(), CHOSEN, still_open=True)
    assert caught.value.method_name == "execute"
    assert len(caught.value.trigger.run_ids) == 1


def test_a_fleet_that_succeeded_is_an_event_of_an_asset_and_one_notice(monkeypatch, triggered):
    run_id = export(Fleet())[0]["run_id"]
    summary, passed = end(monkeypatch, Fleet({run_id: "success"}), CHOSEN, event={"ended": 1})
    assert (summary["exported"], summary["records"], summary["bytes"], summary["failures"]) == (1, 12, 345, [])
    assert passed["event"] == summary
    assert passed["announced"][1:] == ("export_projects/backfill__2026-11-02T00:00:00+00:00", "jane")
    assert [one.run_id for one in passed["ended"]] == [f"export_project/{run_id}"]


def test_a_project_that_failed_fails_the_run_with_its_error_and_without_an_event(monkeypatch, triggered):
    from airflow.sdk.exceptions import AirflowFailException

    run_id = export(Fleet())[0]["run_id"]
    ti = Fleet({run_id: "failed"}, error="project 7 is not in the source")
    with pytest.raises(
        AirflowFailException, match="1 of 1 projects were not exported:\n  project 7: project 7 is not in"
    ):
        end(monkeypatch, ti, CHOSEN)
    assert ti.xcoms["return_value"]["failures"][0]["project_id"] == 7
    assert ti.xcoms["passed"]["event"] is None
    assert "announced" in ti.xcoms["passed"]


def test_a_run_without_projects_reports_why(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

    with pytest.raises(AirflowSkipException, match="exported once"):
        end(monkeypatch, Fleet(exported_by="exported once, by another run"), None)
    ti = Fleet(error="parameter project is unknown")
    with pytest.raises(AirflowFailException, match="no project was exported: parameter project is unknown"):
        end(monkeypatch, ti, None)
    assert ti.xcoms["passed"]["refused"][0] == "parameter project is unknown"
