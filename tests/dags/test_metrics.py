"""Metrics arrive at a StatsD server from each kind of process of Airflow, and from one that is none of them."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx

from tests.dags.stage import DAG_ID, Stage, until
from tests.datagrams import measured

SENDS = """
from project_export.airflow.metrics import AirflowMetrics
metrics = AirflowMetrics()
metrics.count("project_export.records", 5, {"relation": "issues"})
metrics.time("project_export.job_seconds", 1.5, {"mode": "full"})
metrics.gauge("project_export.queued", 3)
"""


def test_a_process_whose_metrics_nobody_has_set_up_sends_them(repo, tmp_path):
    with measured() as metrics:
        environment = os.environ | metrics.settings | {"AIRFLOW_HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", SENDS], env=environment, check=True)
        until(lambda: len(metrics.names()) == 3, seconds=10)
        sent = {name: metrics.values[f"airflow.project_export.{name}"] for name in metrics.names()}
    assert sent == {"records": "5|c", "job_seconds": "1500.000000|ms", "queued": "3|g"}


def test_metrics_that_cannot_be_sent_fail_nothing(repo, tmp_path):
    environment = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__METRICS__STATSD_ON": "True"}
    for wrong in ({"AIRFLOW__METRICS__STATSD_HOST": "no.such.host.invalid"}, {"AIRFLOW__METRICS__STATSD_PORT": "many"}):
        subprocess.run([sys.executable, "-c", SENDS], env=os.environ | environment | wrong, check=True)


def test_each_kind_of_error_is_a_warning_once(monkeypatch, caplog):
    from project_export.airflow import metrics

    class Broken:
        def gauge(self, *_):
            raise OSError("no route")

    monkeypatch.setattr(metrics, "_stats", Broken)
    monkeypatch.setattr(metrics, "_SAID", set())
    with caplog.at_level("DEBUG", logger=metrics.__name__):
        for _ in range(3):
            metrics.AirflowMetrics().gauge("project_export.queued", 3)
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG"]
    assert "OSError" in caplog.text


def test_tasks_triggerer_and_api_server_of_a_real_airflow_send_them(stage: Stage) -> None:
    metrics = stage.metrics
    metrics.values.clear()
    headers = {"Authorization": f"Bearer {token(stage)}"}
    answer = httpx.post(f"{stage.airflow.url}/api/v4/projects/2/export", headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    until(lambda: "jobs.queued" in metrics.names())  # only the API server queues a job before its run
    stage.rest.wait_for_run(DAG_ID, run_of(stage), 150)
    stage.rest.wait_for_run("watch_exports", stage.rest.trigger("watch_exports", {}), 150)
    expected = {
        *("jobs.queued", "jobs.admitted", "jobs.started", "jobs.finished", "job_wait_seconds", "job_seconds"),
        *("relations.finished", "relation_seconds", "records", "bytes", "archive_bytes"),
        "snapshots",  # only the triggerer holds one
        *("queued", "running", "late", "oldest_queued_seconds", "oldest_running_seconds"),
    }
    until(lambda: expected <= metrics.names(), seconds=10)


def run_of(stage: Stage) -> str:
    job = stage.ledger.queries.latest_job("project_export_source", "gitlab", 2)
    assert job is not None
    return job.run_id.partition("/")[2]


def token(stage: Stage) -> str:
    credentials = {"username": "admin", "password": stage.airflow.password("admin")}
    return str(httpx.post(f"{stage.airflow.url}/auth/token", json=credentials, timeout=30).json()["access_token"])
