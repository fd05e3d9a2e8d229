"""The page and the API with several sources, whose projects have the same ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from project_export.ledger.models import ProjectExportJob
from project_export.steps import Context
from tests.web.api import Api
from tests.web.jobs import JobsOf


def second(ctx: Context, source: str = "crm", **settings: Any) -> Context:
    """Give a context a second source, and return that one's."""
    other = replace(ctx, source=source, settings=ctx.settings.model_copy(update=settings))
    object.__setattr__(ctx, "others", {source: lambda: other})
    object.__setattr__(other, "others", {ctx.source: lambda: ctx})
    return other


def of_source(jobs: JobsOf, source: str, **values: Any) -> int:
    """Write a finished job of a source, and return its id."""
    job = jobs.finished(**values)
    with jobs.engine.begin() as connection:
        connection.execute(update(ProjectExportJob).where(ProjectExportJob.id == job.id).values(source=source))
    return job.id


def test_jobs_are_filtered_by_source_and_say_theirs(page, jobs):
    second(page.ctx)
    main, crm = jobs.finished(run="a").id, of_source(jobs, "crm", run="b")
    text = page.get("/").text
    assert f"id 42 of crm · job {crm}" in text
    assert f"id 42 of main · job {main}" in text
    text = page.get("/?source=crm").text
    assert f"job {crm}<" in text
    assert f"job {main}<" not in text
    assert '<option value="crm" selected>' in text


def test_a_single_source_is_not_asked_for(page, jobs):
    jobs.finished()
    assert 'name="source"' not in page.get("/").text + page.get("/start").text


def test_each_source_has_rules_of_its_own(page, jobs):
    page.set(access="jane=42")
    second(page.ctx, access="jane=43")
    main, crm = jobs.finished(run="a").id, of_source(jobs, "crm", run="b")
    page.get(f"/jobs/{main}")
    page.get(f"/jobs/{crm}", status=404)
    assert f"job {crm}<" not in page.get("/").text


@pytest.mark.parametrize(("access", "status"), [("jane=42", 404), ("jane=*", 200), ("", 200)])
def test_jobs_of_a_source_that_was_removed_are_for_those_who_may_see_all(page, jobs, access, status):
    page.set(access=access)
    page.get(f"/jobs/{of_source(jobs, 'gone')}", status=status)


def test_the_form_starts_an_export_from_the_chosen_source(page, jobs, monkeypatch):
    from project_export.airflow.web.pages import parts
    from project_export.airflow.web.pages import start as route
    from project_export.steps import FoundProject

    monkeypatch.setenv("PROJECT_EXPORT_SOURCE_CONN_ID", "main")
    monkeypatch.setenv("PROJECT_EXPORT_SOURCES", "crm")
    second(page.ctx)
    asked = []

    def find(ctx, wanted):
        asked.append(ctx.source)
        return FoundProject(42, f"{ctx.source}/app")

    async def start(ctx, airflow, caller, project, params, by):
        asked.append((ctx.source, project.title, params["source"]))
        return jobs.finished(run="new")

    monkeypatch.setattr(parts, "find_project", find)
    monkeypatch.setattr(route, "start", start)
    assert '<option value="crm" selected>' in page.get("/start?project=42&source=crm").text
    assert "crm/app" in page.get("/start/find?project=42&source=crm").text
    page.post("/start", {"project": "42", "source": "crm", "which": "all"})
    assert asked == ["crm", "crm", ("crm", "crm/app", "crm")]
    text = page.post("/start", {"project": "42", "source": "odd", "which": "all"}, status=422).text
    assert "Choose one of main, crm." in text


@pytest.fixture
def roots(api: Api) -> str:
    """The path of the roots of sources, mounted before the API as Airflow does; the default source is `source`."""
    from project_export.airflow.web.gitlab.paths import AsSent
    from project_export.airflow.web.gitlab.roots import SourceRoots
    from tests.web.api import _routes

    airflow: Any = api.client.app
    assert isinstance(airflow, FastAPI)
    airflow.mount("/project-exports/sources", SourceRoots(AsSent(_routes())))
    return f"{api.base}/project-exports/sources"


def test_the_root_of_a_source_is_about_that_source(api: Api, roots: str) -> None:
    second(api.ctx, gitlab_version="17.0.0")
    headers = {"PRIVATE-TOKEN": api.tokens["ulla"]}
    versions = {
        path: api.client.get(f"{path}/version", headers=headers).json()["version"]
        for path in (f"{api.base}/api/v4", f"{roots}/source/api/v4", f"{roots}/crm/api/v4")
    }
    assert list(versions.values()) == ["18.6.0", "18.6.0", "17.0.0"]
    path = f"{roots}/crm/api/v4/projects/acme%2Ftools%2Fproject-1"
    assert api.client.post(f"{path}/export", headers=headers).status_code == 202
    ((_, conf),) = api.triggered.items()
    assert conf == {"project_id": 1, "source": "crm"}
    job = api.ctx.ledger.queries.latest_job("crm", api.ctx.tree.name, 1)
    assert job is not None
    assert job.state == "queued"
    assert api.client.get(f"{path}/export", headers=headers).json()["export_status"] == "queued"
    assert api.get("/projects/1/export").json()["export_status"] == "none"
    assert api.client.get(f"{path}/export").status_code == 401


def test_roots_of_no_source_are_not_found(api: Api, roots: str) -> None:
    second(api.ctx)
    headers = {"PRIVATE-TOKEN": api.tokens["ulla"]}
    for path in ("odd/api/v4/projects/1", "crm/projects/1", "crm/api/v40/projects/1", "", "/api/v4/projects/1"):
        assert api.client.get(f"{roots}/{path}", headers=headers).status_code == 404
