"""Whether the tasks of a failed job are at work, as Airflow's own database says."""

from __future__ import annotations

import uuid
from contextlib import contextmanager

import pytest
from airflow.models import import_all_models
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from project_export.airflow.web import server

TABLE = TaskInstance.__table__


@pytest.fixture
def tasks(monkeypatch):
    """Write the states of a run's tasks into an empty database."""
    engine = create_engine("sqlite://")
    import_all_models()  # those that the table refers to
    TABLE.create(engine)

    @contextmanager
    def session():
        with Session(engine) as session:
            yield session

    def write(run_id="one", dag_id="export_project", **states):
        with engine.begin() as connection:
            for task_id, state in states.items():
                keys = {"id": uuid.uuid4(), "dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
                values = {"pool": "default_pool", "pool_slots": 1, "state": state, "max_tries": 0, "span_status": "x"}
                known = {name: value for name, value in {**keys, **values}.items() if name in TABLE.c}
                connection.execute(insert(TABLE).values(**known))

    monkeypatch.setattr(server, "create_session", session)
    yield write
    engine.dispose()


def test_a_run_that_has_failed_waits_idly_while_it_can_be_resumed(tasks):
    tasks(create="success", export="failed", merge="failed", after="upstream_failed", skip="skipped")
    tasks(hold_snapshot="deferred", end_export=None)
    assert not server.at_work("export_project/one")


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running", "up_for_retry", "up_for_reschedule"])
def test_a_task_that_was_cleared_is_at_work_until_it_has_ended(tasks, state):
    tasks(create="success", merge=state)
    tasks(run_id="two", merge="failed")
    tasks(run_id="one", dag_id="other", merge="failed")
    assert server.at_work("export_project/one")
    assert not server.at_work("export_project/two")
    assert not server.at_work("other/one")
    assert not server.at_work("export_project/deleted")
    assert not server.at_work("shell on host")
