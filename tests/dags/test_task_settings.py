"""The settings and connections of a task: where they come from, what is refused, and what reaches the database."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.dags.task_instances import connections


def test_no_more_workers_are_planned_than_airflow_maps_a_task_over(monkeypatch, caplog):
    from project_export.airflow.context import task_settings

    connections(monkeypatch)
    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "7")
    assert task_settings().units == 7
    assert caplog.text == ""
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "5")
    assert task_settings().units == 5
    assert "PROJECT_EXPORT_UNITS is 7, but [core] max_map_length is 5" in caplog.text


def test_settings_come_from_the_environment_the_connection_and_variables_in_this_order(monkeypatch):
    from project_export.airflow.context import task_settings

    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "2")
    extra = {"units": 3, "part_rows": 30}
    variables = {"units": "4", "part_rows": "40", "zone": "Europe/Berlin"}
    connections(monkeypatch, extra, **{f"project_export_{name}": value for name, value in variables.items()})
    settings = task_settings()
    assert (settings.units, settings.part_rows, settings.zone) == (2, 30, "Europe/Berlin")


@pytest.mark.parametrize(
    ("extra", "variables", "said"),
    [
        (
            {"store": "file:///tmp"},
            {},
            "store in 'project_export' of the extra of the connection 'project_export_source'",
        ),
        ({"source_conn_id": "x"}, {}, "source_conn_id in 'project_export' of the extra .* has no effect here"),
        ("units=3", {}, "'project_export' in the extra of the connection 'project_export_source' is not an object"),
        ({}, {"project_export_allow_tables": "x.y"}, "the Variable project_export_allow_tables is not allowed"),
        ({}, {"project_export_unit": "3"}, "the Variable project_export_unit names no setting; nearest: unit"),
        ({}, {"project_export_units": "many"}, "the Variable project_export_units must be an integer"),
    ],
)
def test_a_setting_in_the_wrong_place_is_refused_with_its_place(monkeypatch, extra, variables, said):
    from project_export.airflow.context import task_context
    from project_export.errors import SettingRefused

    connections(monkeypatch, extra, **variables)
    with pytest.raises(SettingRefused, match=said):
        task_context()


def test_settings_in_a_connection_do_not_reach_the_database(monkeypatch, database):
    from project_export.airflow.context import task_context

    connections(monkeypatch, {"part_rows": 30}, uri=database)
    ctx = task_context()
    assert ctx.settings.part_rows == 30
    ctx.connect().close()  # libpq would refuse an option of another name


def airflow_connection(database: str, extra: str) -> Any:
    from airflow.sdk import Connection

    to = conninfo_to_dict(database)
    names = {"host": to["host"], "login": to["user"], "password": to["password"], "schema": to["dbname"]}
    return Connection(conn_id="c", conn_type="postgres", port=int(to["port"]), extra=extra, **names)


def test_connections_of_airflow_notice_a_lost_peer_unless_they_say_otherwise(database):
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from project_export.airflow.context import make_context
    from project_export.settings import Settings

    extra = '{"connect_timeout": 3, "sslmode": "disable"}'
    connection = airflow_connection(database, extra)
    hook = PostgresHook(connection=connection)
    with make_context(Settings(), hook, hook).connect() as opened:
        used = opened.info.get_parameters()
    assert (used["connect_timeout"], used["sslmode"]) == ("3", "disable")
    assert (used["keepalives_idle"], used["tcp_user_timeout"]) == ("30", "60000")
    assert connection.extra == extra


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_connections_of_airflow_may_have_another_cursor(ledger_dsn, cursor):
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from project_export.airflow.context import make_context
    from project_export.ledger import JobRequest, Planned
    from project_export.settings import Settings

    hook = PostgresHook(connection=airflow_connection(ledger_dsn, f'{{"cursor": "{cursor}"}}'))
    ctx = make_context(Settings(), hook, hook)
    ctx.ledger.check()
    job = ctx.ledger.jobs.open(JobRequest("s", "t", 1, "run", "jane"), [Planned("issues", 0)])
    assert [row.relation for row in ctx.ledger.queries.rows(job.id)] == ["issues"]
    with ctx.session("test") as session:
        assert list(session.rows(b"SELECT relation FROM relation_export")) == [(b"issues",)]
        assert session.catalogue(frozenset({"relation_export"}))["relation_export"]["relation"] == "text"
    ctx.ledger.close()
