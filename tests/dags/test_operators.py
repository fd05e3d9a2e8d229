"""What operators, waiter and trigger decide by themselves. Airflow is not running: task instances are stand-ins."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from project_export.errors import AttemptRevoked, BadRequest, LedgerBusy, SnapshotMissing, SourceBusy

pytestmark = pytest.mark.xdist_group("airflow")

NOTHING = {"queued": 0, "started": 0, "finished": 0, "failed": 0, "rows": 0, "raw_bytes": 0, "estimate": 0}
UNIT = {"job_id": 7, "unit": 0, "title": "issues", "alone": False, "shared": True}


class TaskInstance:
    """What a task asks of its task instance."""

    dag_id, run_id, try_number, max_tries = "export_project", "run", 1, 3

    def __init__(self, states: dict[str, str | None] | None = None, xcoms: dict[str, Any] | None = None) -> None:
        self.states = states or {}
        self.xcoms = xcoms or {}

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, Any]:
        assert (dag_id, run_ids) == (self.dag_id, [self.run_id])
        return {self.run_id: {name: state for name, state in self.states.items() if name.startswith(task_ids[0])}}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        assert task_ids == "create"
        return self.xcoms.get(key)


def context(ti: TaskInstance) -> dict[str, Any]:
    run = SimpleNamespace(dag_id=ti.dag_id, run_id=ti.run_id, triggering_user_name="jane", run_type="manual")
    return {"ti": ti, "dag_run": run, "params": {"project_id": 1}}


def waiter(**kwargs: Any) -> Any:
    from project_export.airflow.sensor import WaitRelationExports

    return WaitRelationExports(task_id="wait", exporter="export_relation", **kwargs)


@pytest.mark.parametrize("units", [None, []])
def test_without_a_job_waiter_and_merge_are_skipped(units):
    from airflow.sdk.exceptions import AirflowSkipException

    from project_export.airflow.operators import MergeRelationExports

    with pytest.raises(AirflowSkipException, match="nothing to wait for"):
        waiter(units=units).poke(context(TaskInstance()))
    with pytest.raises(AirflowSkipException, match="nothing to merge"):
        MergeRelationExports(task_id="merge", units=units).execute(context(TaskInstance()))


def end(units: Any, job: Any, monkeypatch: pytest.MonkeyPatch, after: str | None = "success") -> str:
    """Run the last task where the run's job is this one; what it is asked to say of an open job is the job's error."""
    import project_export.airflow.context as room
    import project_export.steps as steps
    from project_export.airflow.end import EndExport

    def conclude(ctx: Any, run_id: str, reason: str) -> Any:
        assert run_id == "export_project/run"
        if job is not None and job.state == "started":
            job.state, job.errors = "failed", [reason]
        return job

    monkeypatch.setattr(room, "task_context", lambda: None)
    monkeypatch.setattr(steps, "conclude", conclude)
    ti = TaskInstance({"after": after}, xcoms={"error": "no such project"})
    return EndExport(task_id="end", units=units, creator="create", after="after").execute(context(ti))


def ended(state: str, *errors: str) -> Any:
    return SimpleNamespace(state=state, errors=errors, project_id=1, finished_at=None, archive_uri="file:///a")


def test_a_published_archive_ends_the_run_well(monkeypatch):
    assert end([UNIT], ended("finished"), monkeypatch) == "file:///a"


@pytest.mark.parametrize(
    ("units", "job", "after", "said"),
    [
        (None, None, "skipped", "no archive was published: no such project"),
        (None, ended("started"), "skipped", "no archive was published: no such project"),
        ([UNIT], None, "upstream_failed", "no archive was published: see the log of create"),
        ([UNIT], ended("failed", "boards: no right"), "upstream_failed", "(?s)project 1 failed.*boards: no right"),
        ([UNIT], ended("started"), "upstream_failed", "none has ended the job"),
        ([UNIT], ended("finished"), "failed", "file:///a is published, but after has not ended well"),
    ],
)
def test_whatever_else_happened_ends_it_badly_and_is_said(units, job, after, said, monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=said):
        end(units, job, monkeypatch, after)


def test_a_run_that_joined_another_one_ends_with_nothing(monkeypatch):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        end([], None, monkeypatch)


def test_where_one_task_runs_after_the_other_no_triggerer_is_waited_for(monkeypatch):
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    from project_export.airflow.operators import HoldSnapshot

    comms = InProcessSupervisorComms(supervisor=None)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    with pytest.raises(AirflowSkipException, match="one after the other"):
        HoldSnapshot(task_id="hold", units=[UNIT]).execute(context(TaskInstance()))


def test_only_a_task_that_is_over_for_good_has_given_its_unit_up():
    alive = ["up_for_retry", "restarting", "running", "queued", "scheduled", "deferred", "up_for_reschedule", None]
    over = ["success", "failed", "upstream_failed", "skipped", "removed"]
    states = {f"export_relation_{unit}": state for unit, state in enumerate([*alive, *over])}
    ended = waiter(units=[UNIT])._ended(TaskInstance(states))
    assert ended == dict(enumerate(over, start=len(alive)))


def test_a_task_without_instances_ends_no_unit():
    assert waiter(units=[UNIT])._ended(TaskInstance({"export_relation": "upstream_failed"})) == {}


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
def test_a_unit_lends_a_snapshot_only_if_no_task_will_hold_one(unit, holder, lends):
    from project_export.airflow.operators import ExportRelation

    export = ExportRelation(task_id="export", unit={**UNIT, **unit}, holder="hold")
    assert export._lends(TaskInstance({"hold": holder})) is lends


@pytest.mark.parametrize("units", [None, [], [{**UNIT, "shared": False}]])
def test_nothing_is_held_where_no_snapshot_is_shared(units):
    from airflow.sdk.exceptions import AirflowSkipException

    from project_export.airflow.operators import HoldSnapshot

    with pytest.raises(AirflowSkipException):
        HoldSnapshot(task_id="hold", units=units).execute({})


@pytest.mark.parametrize(("number", "pending", "held"), [(1, 0, True), (2, 3, True), (2, 0, False)])
def test_a_snapshot_that_is_asked_for_again_is_held_only_while_a_relation_needs_it(monkeypatch, number, pending, held):
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

    import project_export.airflow.context as room
    from project_export.airflow.operators import HoldSnapshot

    ledger = SimpleNamespace(progress=lambda job_id: SimpleNamespace(pending=pending))
    connections(monkeypatch)
    monkeypatch.setattr(room, "task_context", lambda: SimpleNamespace(ledger=ledger))
    ti = TaskInstance()
    ti.try_number = number
    with pytest.raises(TaskDeferred if held else AirflowSkipException):
        HoldSnapshot(task_id="hold", units=[UNIT]).execute(context(ti))


PUSHED: dict[str, Any] = {}
"""What create has left for other tasks."""


def create_that_meets(error: Exception, monkeypatch: pytest.MonkeyPatch) -> TaskInstance:
    """Run create, whose step raises this error."""
    import project_export.airflow.context as room
    import project_export.steps as steps
    from project_export.airflow.operators import CreateRelationExports
    from project_export.tree import load

    def create(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(room, "task_context", lambda: SimpleNamespace(tree=load("gitlab")))
    monkeypatch.setattr(steps, "create", create)
    ti = TaskInstance()
    PUSHED.clear()
    try:
        CreateRelationExports(task_id="create").execute(context(ti))
    finally:
        PUSHED.update(ti.xcoms)
    return ti


def test_a_source_that_is_down_is_asked_again(monkeypatch):
    error = SourceBusy("plan project 1, connect: connection refused")
    with pytest.raises(SourceBusy):
        create_that_meets(error, monkeypatch)


def test_a_wrong_request_is_not_retried(monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="relation isues is unknown"):
        create_that_meets(BadRequest("relation isues is unknown"), monkeypatch)


def test_what_nobody_foresaw_is_kept_for_the_last_task_too(monkeypatch):
    with pytest.raises(RuntimeError):
        create_that_meets(RuntimeError("boom"), monkeypatch)
    assert PUSHED["error"] == "boom"


HEAVY = """
import asyncio, sys, threading
from project_export.airflow.trigger import SnapshotTrigger
from airflow.sdk import BaseHook, Connection

class Seen:
    def find_spec(self, name, path=None, target=None):
        if name in ("psycopg", "project_export.steps", "sqlalchemy.orm") :
            print(name, threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Seen())

async def connection(conn_id):
    return Connection(conn_id=conn_id, conn_type="postgres", host="127.0.0.1", port=9)
BaseHook.aget_connection = connection

async def main():
    trigger = SnapshotTrigger(7, "source", "ledger")
    try:
        await trigger._hold()
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""


def test_the_trigger_imports_in_a_thread_so_that_the_triggerer_goes_on(tmp_path, repo):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT")}
    environment |= {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(repo / "include")}
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    *imports, error = done.stdout.splitlines()
    assert "project_export.steps False" in imports
    assert not [line for line in imports if line.endswith("True")]
    assert error == "SourceBusy"


def test_the_trigger_keeps_names_only():
    from project_export.airflow.trigger import SnapshotTrigger

    path, arguments = SnapshotTrigger(7, "source", "ledger", {"zone": "UTC"}).serialize()
    assert path == "project_export.airflow.trigger.SnapshotTrigger"
    names = {"job_id": 7, "source_conn_id": "source", "ledger_conn_id": "ledger"}
    assert arguments == {**names, "settings": {"zone": "UTC"}}


@pytest.mark.parametrize(
    ("endings", "held"),
    [
        ([None], 1),
        ([SourceBusy("connection lost"), LedgerBusy("no answer"), None], 3),
        ([SnapshotMissing("lost 8 times")], 1),
        ([AttemptRevoked("another holder was first")], 1),
        ([RuntimeError("nobody foresaw it")], 1),
    ],
)
def test_however_the_holding_ends_the_task_succeeds_without_another_start(endings, held, monkeypatch):
    from airflow.triggers.base import TaskSuccessEvent

    from project_export.airflow import trigger as room

    holdings = []

    async def hold(self: Any) -> None:
        ending = endings[len(holdings)]
        holdings.append(ending)
        if ending is not None:
            raise ending

    async def events() -> list[Any]:
        return [event async for event in room.SnapshotTrigger(7, "source", "ledger").run()]

    monkeypatch.setattr(room.SnapshotTrigger, "_hold", hold)
    monkeypatch.setattr(room, "_TOUCH_SECONDS", 0)
    (event,) = asyncio.run(events())
    assert isinstance(event, TaskSuccessEvent)
    assert len(holdings) == held


def test_no_more_units_are_planned_than_airflow_maps_a_task_over(monkeypatch, caplog):
    from project_export.airflow.context import task_settings

    connections(monkeypatch)
    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "7")
    assert task_settings().units == 7
    assert caplog.text == ""
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "5")
    assert task_settings().units == 5
    assert "PROJECT_EXPORT_UNITS is 7, but [core] max_map_length is 5" in caplog.text


def connections(monkeypatch: pytest.MonkeyPatch, source_extra: Any = None, **variables: str) -> None:
    """Give this process, which is no task, Airflow's connections and Variables."""
    from airflow.sdk import Variable

    extra = "" if source_extra is None else f"?__extra__={quote(json.dumps({'project_export': source_extra}))}"
    monkeypatch.setenv("AIRFLOW_CONN_PROJECT_EXPORT_SOURCE", f"postgresql://jane:s3cret@127.0.0.1:1/x{extra}")
    monkeypatch.setenv("AIRFLOW_CONN_PROJECT_EXPORT_LEDGER", "postgresql://jane:s3cret@127.0.0.1:1/x")
    monkeypatch.setattr(Variable, "keys", lambda prefix: [key for key in variables if key.startswith(prefix)])
    monkeypatch.setattr(Variable, "get", lambda key: variables[key])


def test_settings_come_from_the_environment_the_connection_and_variables_in_this_order(monkeypatch):
    from project_export.airflow.context import task_settings

    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "2")
    extra = {"units": 3, "part_rows": 30}
    variables = {"units": "4", "part_rows": "40", "zone": "Europe/Berlin"}
    connections(monkeypatch, extra, **{f"project_export_{name}": value for name, value in variables.items()})
    settings = task_settings()
    assert (settings.units, settings.part_rows, settings.zone) == (2, 30, "Europe/Berlin")


def test_settings_in_a_connection_are_not_handed_to_the_database(monkeypatch):
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from project_export.airflow.context import task_context

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(PostgresHook, "_create_connection", lambda _, arguments: asked.append(arguments))
    connections(monkeypatch, {"part_rows": 30})
    ctx = task_context()
    ctx.connect()
    assert (ctx.settings.part_rows, asked[0]["host"], "project_export" in asked[0]) == (30, "127.0.0.1", False)


@pytest.mark.parametrize(
    ("extra", "variables", "said"),
    [
        (
            {"store": "file:///tmp"},
            {},
            "store in 'project_export' of the extra of the connection 'project_export_source'",
        ),
        ({"source_conn_id": "x"}, {}, "source_conn_id in 'project_export' of the extra .* has no effect here"),
        ("units=3", {}, "'project_export' that is not an object of settings"),
        ({}, {"project_export_allow_tables": "x.y"}, "the Variable project_export_allow_tables is not allowed"),
        ({}, {"project_export_unit": "3"}, "the Variable project_export_unit names no setting; nearest: unit"),
        ({}, {"project_export_units": "many"}, "the Variable project_export_units: Input should be a valid integer"),
    ],
)
def test_a_setting_that_may_not_be_where_it_is_refused_by_its_place(monkeypatch, extra, variables, said):
    from project_export.airflow.context import task_context
    from project_export.errors import SettingRefused

    connections(monkeypatch, extra, **variables)
    with pytest.raises(SettingRefused, match=said):
        task_context()


def test_create_lists_connections_settings_and_store_that_are_missing_in_one_error(monkeypatch, tmp_path):
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


def answers(monkeypatch: pytest.MonkeyPatch, commands: dict[str, tuple[int, str]]) -> None:
    """Answer Airflow's commands, by their first word."""
    from project_export.airflow import health

    monkeypatch.setattr(health, "_run", lambda *command: commands[command[0]])


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ((0, '[{"pool": "exports", "slots": "4"}]'), None),
        ((0, 'a warning\n[{"pool": "exports", "slots": "0"}]'), 'no slots.*airflow pools set exports 4 "exports"'),
        ((1, "Pool exports does not exist"), 'does not exist. Make it: airflow pools set exports 4 "exports"'),
    ],
)
def test_a_pool_that_is_missing_or_empty_is_found(monkeypatch, pools, said):
    from project_export.airflow.health import findings

    answers(monkeypatch, {"pools": pools, "config": (0, "http://127.0.0.1:1")})
    pool, scheduler, triggerer = findings("exports")
    assert (pool.check, pool.error is None) == ("pool exports", said is None)
    assert said is None or re.search(said, str(pool.error))
    for service in (scheduler, triggerer):
        assert "http://127.0.0.1:1/api/v2/monitor/health does not answer" in str(service.error)


def test_connections_of_airflow_notice_a_peer_that_is_gone_unless_they_say_otherwise(monkeypatch):
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk import Connection

    from project_export.airflow.context import make_context
    from project_export.settings import Settings

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(PostgresHook, "_create_connection", lambda _, arguments: asked.append(arguments))
    extra = '{"connect_timeout": 3, "sslmode": "require"}'
    connection = Connection(conn_id="c", conn_type="postgres", host="db", login="jane", password="s", extra=extra)
    make_context(Settings(), PostgresHook(connection=connection), PostgresHook(connection=connection)).connect()
    (arguments,) = asked
    wanted = {"host": "db", "user": "jane", "password": "s", "sslmode": "require", "connect_timeout": 3}
    assert wanted.items() <= arguments.items()
    assert (arguments["keepalives_idle"], arguments["tcp_user_timeout"]) == (30, 60_000)
    assert connection.extra == extra


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_connections_of_airflow_may_have_another_cursor(database, cursor):
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk import Connection
    from psycopg.conninfo import conninfo_to_dict

    from project_export.airflow.context import make_context
    from project_export.ledger import JobRequest, Planned, make_engine, upgrade
    from project_export.settings import Settings

    to = conninfo_to_dict(database)
    names = {"host": to["host"], "login": to["user"], "password": to["password"], "schema": to["dbname"]}
    extra = f'{{"cursor": "{cursor}"}}'
    connection = Connection(conn_id="c", conn_type="postgres", port=int(to["port"]), extra=extra, **names)
    upgrade(make_engine(database))
    ctx = make_context(Settings(), PostgresHook(connection=connection), PostgresHook(connection=connection))
    ctx.ledger.check()
    job = ctx.ledger.jobs.open(JobRequest("s", "t", 1, "run", "jane"), [Planned("issues", 0)])
    assert [row.relation for row in ctx.ledger.queries.rows(job.id)] == ["issues"]
    with ctx.session("test") as session:
        assert list(session.rows(b"SELECT relation FROM relation_export")) == [(b"issues",)]
        assert session.catalogue(frozenset({"relation_export"}))["relation_export"]["relation"] == "text"
    ctx.ledger.close()


SAID: list[str] = []
"""What the waiter has logged at its last look."""


def looking(monkeypatch: pytest.MonkeyPatch, watched: Any, states: list[str], *, given_up: bool = False) -> Any:
    """Let the waiter look once, at what `watched` returns or raises, with units in these states."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    import project_export.airflow.context as room
    import project_export.steps as steps
    from project_export.airflow import sensor
    from project_export.settings import Settings

    def watch(*_: Any) -> Any:
        if isinstance(watched, Exception):
            raise watched
        return watched

    ledger = SimpleNamespace(listening=lambda job_id: nullcontext(lambda seconds: False))
    monkeypatch.setattr(room, "task_context", lambda: SimpleNamespace(settings=Settings(), ledger=ledger))
    monkeypatch.setattr(steps, "watch", watch)
    monkeypatch.setattr(steps, "give_up", lambda ctx, job_id, reason: given_up)
    monkeypatch.setattr(sensor, "_FIRST_LISTEN_SECONDS", 0)
    log = SimpleNamespace(warning=lambda text, *values: SAID.append(text % values))
    log.error = log.info = log.warning
    monkeypatch.setattr(sensor.WaitRelationExports, "log", log)
    SAID.clear()
    ti = TaskInstance({f"export_relation_{unit}": state for unit, state in enumerate(states)})
    wait = waiter(units=[UNIT] * len(states))
    wait.dag = DAG("export_project", schedule=None)
    wait.dag.add_task(EmptyOperator(task_id="export_relation", pool="p"))
    return wait.poke({**context(ti), "task_reschedule_count": 0})


def waiting_for_a_slot() -> Any:
    from project_export.ledger import Progress

    return Progress("started", 0, **{**NOTHING, "queued": 2}), False


def test_the_waiter_waits_on_while_the_ledger_does_not_answer_and_a_unit_is_left(monkeypatch):
    assert looking(monkeypatch, LedgerBusy("no answer."), ["success", "running"]) is False
    assert "no answer. It is looked at again." in "\n".join(SAID)
    with pytest.raises(LedgerBusy):
        looking(monkeypatch, LedgerBusy("no answer."), ["success", "failed"])


@pytest.mark.parametrize("states", [["scheduled", "scheduled"], ["success", "scheduled"]])
def test_units_that_get_no_slot_are_skipped_when_the_export_is_given_up_so_that_the_merge_can_say_so(
    states, monkeypatch
):
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    assert looking(monkeypatch, waiting_for_a_slot(), states) is False
    assert "no unit has got a slot of the pool 'p' yet" in "\n".join(SAID)
    with pytest.raises(DownstreamTasksSkipped) as caught:
        looking(monkeypatch, waiting_for_a_slot(), states, given_up=True)
    assert caught.value.tasks == [("export_relation", n) for n, state in enumerate(states) if state == "scheduled"]
    assert "for 900 s, so the export fails" in "\n".join(SAID)
    assert 'airflow pools set p 4 "exports"' in "\n".join(SAID)


@pytest.mark.parametrize("other", ["running", "queued", "up_for_retry", None])
def test_an_export_of_which_a_unit_has_a_slot_is_not_given_up(other, monkeypatch):
    assert looking(monkeypatch, waiting_for_a_slot(), ["scheduled", other], given_up=True) is False
    assert "slot" not in "\n".join(SAID)


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
def test_create_sees_whether_it_was_cleared_alone(states, followed):
    from project_export.airflow.operators import CreateRelationExports

    create = CreateRelationExports(task_id="create")
    create.downstream_task_ids = {"export_relation", "merge"}
    ti = TaskInstance()
    ti.get_task_states = lambda **_: {ti.run_id: states}
    assert create._followed(ti) is followed


@pytest.mark.parametrize(
    ("seen", "looked_after"),
    [
        ([{"started": 2}, {"started": 1, "finished": 1}, {"finished": 2}], 3),
        ([{"started": 2}, {"started": 1, "failed": 1}], 2),
        ([{"started": 2}, {"started": 2}, None], 3),
    ],
)
def test_the_waiter_looks_again_for_the_last_relation_or_a_failure_and_not_for_each(seen, looked_after):
    from project_export.ledger import Progress

    states = [state and Progress("started", 1, **{**NOTHING, **state}) for state in seen]
    told = iter(states)
    heard = []

    def wait(seconds: float) -> bool:
        heard.append(seconds)
        return states[len(heard) - 1] is not None

    ctx = SimpleNamespace(ledger=SimpleNamespace(progress=lambda job_id: next(told)))
    waiter(units=[UNIT])._listen(ctx, 7, states[0], wait, 60)
    assert len(heard) == looked_after
