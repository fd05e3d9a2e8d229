"""What a task gets from Airflow, without an Airflow: a task instance, a context, connections and Variables."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

UNIT = {"job_id": 7, "source": "project_export_source", "unit": 0, "title": "issues", "alone": False, "shared": True}
"""A unit of a job, as create returns it."""


class TaskInstance:
    """The part of a task instance that the operators use: states of tasks, and XComs."""

    dag_id, run_id, try_number, max_tries, took = "export_project", "run", 1, 3, 0.5

    @property
    def start_date(self) -> datetime:
        """Half a second ago, or as many seconds as `took` says."""
        return datetime.now(timezone.utc) - timedelta(seconds=self.took)

    def __init__(self, states: dict[str, str | None] | None = None, xcoms: dict[str, Any] | None = None) -> None:
        self.states = states or {}
        self.xcoms = xcoms or {}

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, Any]:
        assert (dag_id, run_ids) == (self.dag_id, [self.run_id])
        asked = {name: state for name, state in self.states.items() if name.startswith(tuple(task_ids))}
        return {self.run_id: asked}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        assert task_ids == "create"
        return self.xcoms.get(key)


def context(ti: TaskInstance) -> dict[str, Any]:
    """Return the context of a task of a run that jane triggered for project 1."""
    run = SimpleNamespace(dag_id=ti.dag_id, run_id=ti.run_id, triggering_user_name="jane", run_type="manual")
    return {"ti": ti, "dag_run": run, "params": {"project_id": 1}}


def task_context(monkeypatch: pytest.MonkeyPatch, ctx: Any = None) -> None:
    """Let tasks run with this context of the steps."""
    import project_export.airflow.context as module

    monkeypatch.setattr(module, "task_context", lambda source=None: ctx)


def connections(
    monkeypatch: pytest.MonkeyPatch,
    source_extra: Any = None,
    uri: str = "postgresql://jane:s3cret@127.0.0.1:1/x",
    **variables: str,
) -> None:
    """Give this process, which is not a task, Airflow's connections and Variables. uri: of source and ledger."""
    from airflow.sdk import Variable

    extra = "" if source_extra is None else f"?__extra__={quote(json.dumps({'project_export': source_extra}))}"
    monkeypatch.setenv("AIRFLOW_CONN_PROJECT_EXPORT_SOURCE", uri + extra)
    monkeypatch.setenv("AIRFLOW_CONN_PROJECT_EXPORT_LEDGER", uri)
    monkeypatch.setattr(Variable, "keys", lambda prefix: [key for key in variables if key.startswith(prefix)])
    monkeypatch.setattr(Variable, "get", lambda key: variables[key])
