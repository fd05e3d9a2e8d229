"""Settings in Airflow's Variables, and what the shell's check asks Airflow, in a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from dev.airflow import POOL
from tests.archives import read_archive
from tests.dags.stage import CREATE, END, HOLD, Stage


@contextmanager
def variable(stage: Stage, key: str, value: str) -> Iterator[None]:
    """Give Airflow a Variable for a while."""
    stage.rest.call("POST", "/variables", {"key": key, "value": value})
    try:
        yield
    finally:
        stage.rest.call("DELETE", f"/variables/{quote(key)}")


def check(stage: Stage, *arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", "from project_export.cli import app; app()", "check", *arguments]
    done = subprocess.run(command, env=stage.airflow.environment(), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.splitlines()


def test_a_variable_is_a_setting_of_all_tasks_and_of_the_holder_of_the_snapshot(stage: Stage) -> None:
    with variable(stage, "project_export_zone", "Asia/Kolkata"):
        run = stage.trigger(project_id=1, relations=["labels", "issues"])
        assert run.ended() == "success"
    assert {label["created_at"][-6:] for label in read_archive(run.archive())["labels"]} == {"+05:30"}
    assert run.states()[HOLD] == "success"


def test_a_variable_that_guards_fails_the_run_and_says_where_the_setting_belongs(stage: Stage) -> None:
    with variable(stage, "project_export_store", "file:///tmp"):
        run = stage.trigger(project_id=2, relations=["labels"])
        assert run.ended() == "failed"
    for task in (CREATE, END):
        assert "the Variable project_export_store is not allowed" in run.log(task)
        assert "set PROJECT_EXPORT_STORE in the environment of the tasks" in run.log(task)


def test_the_check_asks_airflow_for_pool_scheduler_and_triggerer(stage: Stage) -> None:
    code, said = check(stage, "--airflow", "--source", stage.source, "--ledger", stage.ledger_uri, "--project-id", "1")
    assert (code, said[-1]) == (0, "everything is there"), said
    assert said[-4:-1] == [f"ok    pool {POOL}", "ok    scheduler", "ok    triggerer"]


@pytest.mark.slow
def test_the_check_without_dsns_looks_at_settings_store_and_airflow(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PROJECT_EXPORT_POOL", "no_such_pool")
    code, said = check(stage, "--airflow")
    assert code == 1
    assert next(line for line in said if line.startswith("WRONG ")).startswith("WRONG pool no_such_pool: ")
    assert 'airflow pools set no_such_pool 4 "exports"' in "\n".join(said)
    assert said[-1] == "1 problem(s) would prevent an export"
