"""The DAG file as Airflow reads it, without a running Airflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag(sys.argv[1])
print(json.dumps({"errors": bag.import_errors, "dags": list(bag.dags), "loaded": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def dag(repo: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag  # takes seconds, which other workers need not spend

    bag = DagBag(str(repo / "dags" / "export_project.py"))
    assert not bag.import_errors
    return bag.dags["export_project"]


def test_the_dag_files_are_read_without_drivers_settings_or_a_web_framework(repo, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT")}
    environment |= {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(repo / "include")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(repo / "dags")], env=environment, capture_output=True, text=True, check=True
    )
    read = json.loads(done.stdout.splitlines()[-1])
    assert read["errors"] == {}
    assert "export_project" in read["dags"]
    heavy = {"psycopg", "psycopg2", "pydantic_settings", "fastapi", "alembic", "isal", "upath", "project_export.steps"}
    assert not heavy & set(read["loaded"])


def test_the_file_is_thin_and_speaks_no_sql(repo):
    text = (repo / "dags" / "export_project.py").read_text()
    assert len(text.splitlines()) < 100
    assert not re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|COPY)\b", text)


def test_the_shape(dag):
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "create_relation_exports": {
            "hold_snapshot",
            "export_relation",
            "wait_relation_exports",
            "merge_relation_exports",
            "after_export",
            "end_export",
        },
        "hold_snapshot": {"end_export"},
        "export_relation": {"wait_relation_exports", "merge_relation_exports"},
        "wait_relation_exports": {"merge_relation_exports"},
        "merge_relation_exports": {"after_export"},
        "after_export": {"end_export"},
        "end_export": set(),
    }


def test_the_trigger_rules_let_the_table_decide(dag):
    assert {task.task_id: task.trigger_rule.value for task in dag.tasks} == {
        "create_relation_exports": "all_success",
        "hold_snapshot": "all_success",
        "export_relation": "all_success",
        "wait_relation_exports": "one_done",
        "merge_relation_exports": "all_done",
        "after_export": "all_success",
        "end_export": "all_done",
    }


def test_the_pool_limits_the_exports_and_nothing_else(dag):
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert pools.pop("export_relation") == "project_export"
    assert set(pools.values()) == {"default_pool"}


def test_airflow_starts_more_runs_than_the_ledger_admits(dag):
    from project_export.settings import Settings

    assert dag.max_active_runs == Settings().max_active_runs > 4 * Settings().exports_at_a_time


def test_runs_that_wait_for_their_turn_come_after_the_tasks_of_exports_that_have_begun(dag):
    create = dag.get_task("create_relation_exports")
    assert (create.weight_rule, create.priority_weight) == ("absolute", 1)


def test_every_task_is_retried(dag):
    assert {task.retries for task in dag.tasks} == {3}


def test_the_holder_of_the_snapshot_comes_before_the_units_that_wait_for_it(dag):
    holder, unit = dag.get_task("hold_snapshot"), dag.get_task("export_relation")
    below = sum(dag.get_task(name).priority_weight for name in unit.get_flat_relative_ids(upstream=False))
    assert holder.priority_weight > unit.priority_weight + below


def test_units_come_before_the_waiter_which_takes_their_waiting_for_a_lack_of_slots(dag):
    def weight(name: str) -> int:
        task = dag.get_task(name)
        below = task.get_flat_relative_ids(upstream=False)
        return task.priority_weight + sum(dag.get_task(other).priority_weight for other in below)

    assert dag.get_task("export_relation").weight_rule == dag.get_task("wait_relation_exports").weight_rule
    assert weight("export_relation") > weight("wait_relation_exports")


def test_no_dag_waits_to_be_unpaused(dag):
    assert dag.is_paused_upon_creation is False


def test_the_waiter_is_rescheduled_as_seldom_as_airflow_needs_not_to_lose_it(dag):
    waiter = dag.get_task("wait_relation_exports")
    assert waiter.mode == "reschedule"
    assert waiter.poke_interval >= 10


def test_mapped_units_are_named_by_what_is_planned_for_them_and_then_by_what_they_did(dag):
    template = dag.get_template_env().from_string(dag.get_task("export_relation").map_index_template)
    unit = {"task": {"unit": {"title": "issues"}}}
    assert template.render(unit) == "issues"
    assert template.render({**unit, "did": "issues, labels: 12 records"}) == "issues, labels: 12 records"


def test_the_params(dag):
    params = {name: dag.params.get_param(name) for name in dag.params}
    assert {name: param.schema.get("type", param.schema.get("enum")) for name, param in params.items()} == {
        "project_id": "integer",
        "relations": ["null", "array"],
        "description": ["null", "string"],
        "consistency": ["project", "relation"],
        "if_running": ["fail", "join", "wait"],
        "fail_fast": "boolean",
        "mode": ["full", "changes"],
        "window_start": ["null", "string"],
        "window_end": ["null", "string"],
        "after_export": ["notify", "none", "upload"],
        "upload_url": ["null", "string"],
        "upload_http_method": ["PUT", "POST"],
    }
    assert params["project_id"].schema["exclusiveMinimum"] == 0
    assert "minimum" not in params["project_id"].schema
    assert not params["project_id"].has_value
    assert {name: param.value for name, param in params.items() if name != "project_id"} == {
        "relations": [],
        "description": None,
        "consistency": "project",
        "if_running": "fail",
        "fail_fast": False,
        "mode": "full",
        "window_start": None,
        "window_end": None,
        "after_export": "notify",
        "upload_url": None,
        "upload_http_method": "PUT",
    }
    assert {"project", "issues", "merge_requests"} <= set(params["relations"].schema["examples"])
    assert all(param.description and param.schema["title"] for param in params.values())
