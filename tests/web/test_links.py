"""The ways to the page of a job: from a task in Airflow's grid, and from a notice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from project_export.airflow.links import ExportLink, page_url
from project_export.errors import WHOLE, Failure
from project_export.steps import Notice

TASK = SimpleNamespace(dag_id="export_project", run_id="manual__2026-11-28T10:00:00+00:00")
QUERY = "dag_id=export_project&run_id=manual__2026-11-28T10%3A00%3A00%2B00%3A00"


@pytest.mark.parametrize(
    ("base", "page"),
    [
        ("https://airflow.test", "https://airflow.test/project-exports"),
        ("https://proxy.test/airflow/", "https://proxy.test/airflow/project-exports"),
    ],
)
def test_a_task_links_to_the_job_of_its_run_below_the_base_url(monkeypatch, base, page):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    assert page_url() == page
    assert ExportLink().get_link(None, ti_key=TASK) == f"{page}/run?{QUERY}"


def test_without_a_base_url_a_link_stays_on_the_same_host(monkeypatch):
    monkeypatch.delenv("AIRFLOW__API__BASE_URL", raising=False)
    assert page_url() is None
    assert ExportLink().get_link(None, ti_key=TASK) == f"/project-exports/run?{QUERY}"


def test_a_notice_links_to_the_page_of_its_job_if_there_is_one(jobs):
    job = jobs.finished(run="a")
    notice = Notice.of(job, "finished", page="https://airflow.test/project-exports")
    url = f"https://airflow.test/project-exports/jobs/{job.id}"
    assert f"\nDetails and download: {url}" in notice.text
    assert notice.facts["url"] == url
    failed = jobs.failed(run="b", project_id=2, errors=(Failure(WHOLE, 0, "no"),))
    assert "\nDetails and retry: https://" in Notice.of(failed, "failed", page="https://airflow.test/x").text
    notice = Notice.of(job, "finished")
    assert "Details" not in notice.text
    assert notice.facts["url"] is None
