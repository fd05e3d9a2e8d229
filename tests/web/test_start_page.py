"""The form that starts an export."""

from __future__ import annotations

from typing import Any

import pytest

from project_export.airflow.form import export_params
from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.airflow.web.pages import start as route
from project_export.airflow.web.views.form import filled_form, read
from project_export.errors import BadRequest, JobActive, ProjectNotFound, SourceBusy
from project_export.steps import FoundProject


@pytest.fixture
def started(page, jobs, monkeypatch) -> list[Any]:
    """What was started. The source has one project, group/app, with the id 42."""
    calls: list[Any] = []

    def find(ctx, wanted):
        if wanted not in ("42", "group/app"):
            raise ProjectNotFound(f"the source main has no project {wanted!r}")
        return FoundProject(42, "group/app")

    async def start(ctx, airflow, caller, project, params, by):
        calls.append((project.id, params, by))
        if "start" in page.answers:
            raise page.answers["start"]
        return jobs.finished(run="new")

    monkeypatch.setattr("project_export.airflow.web.pages.parts.find_project", find)
    monkeypatch.setattr(route, "start", start)
    return calls


def test_the_form_asks_for_every_param_of_the_dag_but_for_two():
    form = filled_form({}, {})
    assert {field.name for field in (*form.first, *form.more)} == set(export_params()) - {"project_id", "if_running"}
    assert [field.name for field in form.first] == ["relations", "after_export", "upload_url", "upload_http_method"]


def test_each_field_has_a_label_and_its_description(page):
    text = page.get("/start?project=42").text
    for name, param in export_params().items():
        if name not in ("project_id", "if_running", "relations"):
            assert param.schema["title"] in text
            assert f'aria-describedby="{name}-help"' in text
    assert 'name="project" type="text" value="42"' in text


def test_an_export_is_started_with_what_differs(page, started):
    answer = page.post(
        "/start", {"project": " group/app ", "which": "all", "after_export": "none", "consistency": "relation"}
    )
    assert answer.headers["location"] == "jobs/1"
    ((project_id, params, by),) = started
    assert (project_id, by) == (42, "page")
    assert params == {"after_export": "none", "consistency": "relation", "fail_fast": False}


def test_relations_count_only_if_they_are_chosen(page, started):
    page.post("/start", {"project": "42", "which": "chosen", "relations": ["labels", "issues"]})
    page.answers["start"] = BadRequest("again")
    page.post("/start", {"project": "42", "which": "all", "relations": ["labels"]}, status=400)
    assert started[0][1]["relations"] == ["labels", "issues"]
    assert "relations" not in started[1][1]


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"project": ""}, "project", "Enter the id of a project"),
        ({"project": "odd"}, "project", "has no project"),
        ({"project": "42", "which": "chosen"}, "relations", "Choose at least one relation"),
        ({"project": "42", "which": "chosen", "relations": "odd"}, "relations", "There is no relation odd."),
        ({"project": "42", "after_export": "odd"}, "after_export", "Choose one of notify, none, upload."),
        ({"project": "42", "after_export": "upload"}, "upload_url", "Enter the URL to upload to."),
        ({"project": "42", "after_export": "upload", "upload_url": "ftp://x"}, "upload_url", "http://"),
        ({"project": "42", "description": "x" * 2001}, "description", "Enter at most 2000 characters, not 2001."),
    ],
)
def test_a_mistake_is_shown_at_its_field_and_the_input_is_kept(page, started, data, field, words):
    text = page.post("/start", {"upload_http_method": "POST", "fail_fast": "true", **data}, status=422).text
    at = text.index(f'id="{field}-problem"')
    assert words in text[at : at + 300]
    assert 'aria-invalid="true"' in text or field == "relations"
    assert '<option value="POST" selected>' in text
    assert 'name="fail_fast" value="true" checked' in text
    assert started == []


def test_a_url_is_dropped_if_nothing_is_uploaded():
    params, problems = read({"after_export": ["none"], "upload_url": ["odd"]})
    assert (params["after_export"], "upload_url" in params, problems) == ("none", False, {})


def test_a_project_that_is_being_exported_links_to_its_job(page, jobs, started):
    active = jobs.write(project_id=42)
    page.answers["start"] = JobActive(f"Project 42 is being exported by job {active.id}")
    text = page.post("/start", {"project": "42"}, status=409).text
    assert "is being exported by job" in text
    assert f'href="./jobs/{active.id}"' in text


@pytest.mark.parametrize(
    ("error", "status"),
    [(AirflowRefused(400, "Invalid input"), 400), (BadRequest("odd"), 400), (SourceBusy("slow"), 503)],
)
def test_what_is_refused_later_is_shown_above_the_form(page, started, error, status):
    page.answers["start"] = error
    text = page.post("/start", {"project": "42", "after_export": "none"}, status=status).text
    assert str(error) in text
    assert '<option value="none" selected>' in text


def test_the_form_needs_the_permission_to_start(page, started):
    page.allowed = {"READ"}
    page.get("/start", status=403)
    page.post("/start", {"project": "42"}, status=403)
    assert started == []


def test_the_form_shows_what_it_finds(page, jobs, started):
    assert "has not been exported yet" in page.get("/start/find?project=group/app", fragment=True).text
    job = jobs.finished()
    object.__setattr__(page.ctx, "source", job.source)
    text = page.get("/start/find?project=42", fragment=True).text
    assert "group/app" in text
    assert f'href="./jobs/{job.id}"' in text
    assert "has no project" in page.get("/start/find?project=odd", fragment=True).text
    page.set(access="jane=7")
    assert "has no project" in page.get("/start/find?project=42", fragment=True).text
    assert "full path" in page.get("/start/find", fragment=True).text
