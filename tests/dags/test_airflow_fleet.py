"""Many projects in a real Airflow: days of several projects, backfilled by CLI, REST and the UI's form."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dev import processes
from dev.airflow import COMPONENTS
from dev.rest import RestError
from tests.dags.stage import DAG_ID, Stage, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FLEET = "export_projects"
CHOOSE, EXPORT, END = "choose_projects", "export_project", "end_exports"
DAYS = ["2026-10-01", "2026-10-02", "2026-10-03"]
SECONDS = 600


@contextmanager
def gone(stage: Stage, project_id: int) -> Iterator[None]:
    """Let the source have no such project."""

    def rename(old: int, new: int) -> None:
        with psycopg.connect(stage.source) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("UPDATE projects SET id = %s WHERE id = %s", [new, old])

    rename(project_id, -project_id)
    try:
        yield
    finally:
        rename(-project_id, project_id)


def airflow(stage: Stage, *arguments: str) -> str:
    """Run a command of Airflow; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], env=stage.airflow.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def days_of(stage: Stage) -> dict[str, Mapping[str, Any]]:
    """Return the runs of the fleet by day."""
    runs = stage.rest.call("GET", f"/dags/{FLEET}/dagRuns?limit=100")["dag_runs"]
    return {run["logical_date"][:10]: run for run in runs if run["logical_date"]}


def ended(stage: Stage, days: list[str]) -> dict[str, str]:
    """Wait until a backfill of these days is over; return the states of their runs."""

    def over() -> bool:
        there = days_of(stage)
        done = all(there.get(day, {}).get("state") in ("success", "failed") for day in days)
        # Airflow looks every 30 seconds whether a backfill is over; until then it refuses another one.
        return done and not any(backfill["completed_at"] is None for backfill in backfills(stage))

    until(over, SECONDS)
    return {day: days_of(stage)[day]["state"] for day in days}


def backfills(stage: Stage) -> list[dict[str, Any]]:
    return list(stage.rest.call("GET", f"/backfills?dag_id={FLEET}")["backfills"])


def children(stage: Stage, day: str) -> dict[int, Mapping[str, Any]]:
    """Return the runs of export_project that a day has, by project id."""
    parent = days_of(stage)[day]["dag_run_id"]
    runs = stage.rest.call("GET", f"/dags/{DAG_ID}/dagRuns?limit=100&order_by=-id")["dag_runs"]
    return {run["conf"]["project_id"]: run for run in runs if f"__{parent}__" in run["dag_run_id"]}


def summary(stage: Stage, day: str) -> dict[str, Any]:
    """Return the summary in the XCom of a day's last task."""
    run_id = days_of(stage)[day]["dag_run_id"]
    where = f"/dags/{FLEET}/dagRuns/{run_id}/taskInstances/{END}/xcomEntries/return_value"
    found: dict[str, Any] = stage.rest.call("GET", where)["value"]
    return found


def end_log(stage: Stage, day: str) -> str:
    """Return what the last task of a day logs."""
    run_id = days_of(stage)[day]["dag_run_id"]
    return json.dumps(stage.rest.call("GET", f"/dags/{FLEET}/dagRuns/{run_id}/taskInstances/{END}/logs/1")["content"])


def task_states(stage: Stage, day: str) -> dict[str, str]:
    return stage.rest.task_states(FLEET, days_of(stage)[day]["dag_run_id"])


def notices(stage: Stage, day: str) -> list[dict[str, Any]]:
    run_id = days_of(stage)[day]["dag_run_id"]
    posted = [json.loads(one.body) for one in stage.receiver.received if one.target == "/notices"]
    return [notice for notice in posted if notice["run_id"] == f"{FLEET}/{run_id}"]


@pytest.fixture(scope="module", autouse=True)
def ready(stage: Stage) -> None:
    stage.airflow.wait_for_dag(FLEET)


def test_days_of_projects_are_backfilled_by_rest_and_only_what_failed_is_repeated(stage: Stage) -> None:
    conf = {"projects": [1, 2, 3], "mode": "changes", "relations": ["labels", "milestones"]}
    body = {
        "dag_id": FLEET,
        "from_date": "2026-10-01T00:00:00Z",
        "to_date": "2026-10-03T00:00:00Z",
        "dag_run_conf": conf,
        "max_active_runs": 3,
    }
    dry = stage.rest.call("POST", "/backfills/dry_run", body)
    assert [day["logical_date"][:10] for day in dry["backfills"]] == DAYS
    assert not days_of(stage).keys() & set(DAYS)

    begun = time.monotonic()
    with gone(stage, 3):
        stage.rest.call("POST", "/backfills", body)
        with pytest.raises(RestError, match="409"):
            stage.rest.call("POST", "/backfills", body)
        until(lambda: all("deferred" in task_states(stage, day).values() for day in DAYS), SECONDS)
        restart(stage, "triggerer")
        assert ended(stage, DAYS) == dict.fromkeys(DAYS, "failed")
    print(f"\nbackfilled by REST, with a restart of the triggerer: {time.monotonic() - begun:.1f} s")
    for day, next_day in zip(DAYS, [*DAYS[1:], "2026-10-04"], strict=True):
        runs = children(stage, day)
        assert {number: run["state"] for number, run in runs.items()} == {1: "success", 2: "success", 3: "failed"}
        asked = runs[1]["conf"]
        assert asked["window_start"].startswith(f"{day}T00:00:00")
        assert asked["window_end"].startswith(f"{next_day}T00:00:00")
        assert (asked["requested_by"], runs[1]["triggering_user_name"]) == ("admin", "admin")
        assert all(run["run_type"] == "operator_triggered" and run["logical_date"] is None for run in runs.values())
        found = summary(stage, day)
        assert (found["projects"], found["exported"]) == (3, 2)
        assert [failure["project_id"] for failure in found["failures"]] == [3]
        assert "project 3 is not in projects of the source" in found["failures"][0]["error"]
        assert "project 3 is not in projects of the source" in end_log(stage, day)
        (notice,) = notices(stage, day)
        assert (notice["outcome"], notice["requested_by"]) == ("failed", "admin")
        assert "project 3" in notice["text"]

    before = {day: children(stage, day) for day in DAYS}
    begun = time.monotonic()
    stage.rest.call("POST", "/backfills", {**body, "reprocess_behavior": "failed"})
    assert ended(stage, DAYS) == dict.fromkeys(DAYS, "success")
    print(f"reprocessed: {time.monotonic() - begun:.1f} s")
    for day in DAYS:
        runs = children(stage, day)
        assert {run["state"] for run in runs.values()} == {"success"}
        assert {number for number, run in runs.items() if run["end_date"] != before[day][number]["end_date"]} == {3}
        found = summary(stage, day)
        assert (found["exported"], found["failures"]) == (3, [])
        assert found["records"] > 0 < found["bytes"]
    # Where each window starts is up to the one before it, but each day has one of its own.
    jobs = [found.job for found in stage.ledger.queries.jobs(limit=100, state="finished")]
    windows = {(job.project_id, job.window_end) for job in jobs if job.mode == "changes"}
    assert len(windows) == 9


def test_days_are_backfilled_by_cli_and_a_full_export_is_made_once(stage: Stage) -> None:
    days = ["2026-09-01", "2026-09-02", "2026-09-03"]
    dates = ["--dag-id", FLEET, "--from-date", days[0], "--to-date", days[-1]]
    conf = ["--dag-run-conf", json.dumps({"projects": [1, 2, "acme/*"], "relations": ["labels"]})]
    said = airflow(stage, "backfill", "create", *dates, *conf, "--dry-run")
    assert all(day in said for day in days)
    begun = time.monotonic()
    airflow(stage, "backfill", "create", *dates, *conf, "--run-backwards", "--max-active-runs", "1")
    assert ended(stage, days) == dict.fromkeys(days, "success")
    print(f"\nbackfilled by CLI: {time.monotonic() - begun:.1f} s")
    assert set(children(stage, days[-1])) == {1, 2, 3, 4}
    assert task_states(stage, days[-1]).keys() == {CHOOSE, END, *(f"{EXPORT}[{number}]" for number in range(4))}
    newest = days_of(stage)[days[-1]]["dag_run_id"]
    for day in days[:-1]:
        assert children(stage, day) == {}
        assert set(task_states(stage, day).values()) == {"skipped"}
        assert f"exported once, by the run {newest}" in end_log(stage, day)

    before = children(stage, days[-1])
    airflow(stage, "backfill", "create", *dates, *conf, "--reprocess-behavior", "completed")
    assert ended(stage, days) == dict.fromkeys(days, "success")
    assert {number: run["end_date"] for number, run in before.items()} == {
        number: run["end_date"] for number, run in children(stage, days[-1]).items()
    }


def restart(stage: Stage, component: str) -> None:
    """Kill a component of Airflow, and start it again a moment later."""
    home = Path(stage.airflow.environment()["AIRFLOW_HOME"])
    there = processes.working_in(home / "run", Path(sys.executable).resolve())
    named = [process for process in there if any(component in word for word in process.cmdline())]
    assert named, f"no {component} runs"
    for group in {os.getpgid(process.pid) for process in named}:
        os.killpg(group, signal.SIGKILL)
    log = home / "logs" / f"{component}-again.log"
    with log.open("w") as file:
        subprocess.Popen(
            [sys.executable, "-m", "airflow", *COMPONENTS[component]],
            env=stage.airflow.environment(),
            cwd=home / "run",
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
