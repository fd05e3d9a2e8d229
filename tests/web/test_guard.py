"""What holds for the whole page: nobody reads it without access, no other site writes to it, and headers say so."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute

from project_export.airflow.web.access import page_reader
from project_export.airflow.web.errors import STATUS, message, status_of
from project_export.airflow.web.guard import HEADERS
from project_export.airflow.web.page import app
from project_export.errors import ProjectExportError, SourceBusy, Unforeseen

READS = ("/", "/start", "/start/find", "/jobs/1", "/jobs/1/live", "/jobs/1/contents", "/jobs/1/archive")
READS += ("/jobs/1/manifest", "/jobs/1/relations/labels", "/jobs/1/log", "/run", "/tokens")
WRITES = ("/start", "/jobs/1/retry", "/jobs/1/cancel", "/tokens", "/tokens/1/revoke")


def kinds(error: type[ProjectExportError]) -> list[type[ProjectExportError]]:
    return [error, *(one for below in error.__subclasses__() for one in kinds(below))]


def refuse(status: int) -> Any:
    def refuse() -> None:
        raise HTTPException(status)

    return refuse


@pytest.fixture
def stranger(page):
    """The page for somebody who has not logged in."""
    page.client.app.dependency_overrides[page_reader] = refuse(401)
    return page


def test_every_route_is_listed_here_and_needs_read_access():
    page: FastAPI = app()
    routes = [route for route in page.routes if isinstance(route, APIRoute)]
    listed = {(method, route.path) for route in routes for method in route.methods}
    known = {("GET", path) for path in READS} | {("POST", path) for path in WRITES}
    plain = {
        (method, path.replace("{job_id}", "1").replace("{token_id}", "1").replace("{relation}", "labels"))
        for method, path in listed
    }
    assert plain == known
    for route in routes:
        assert any(one.call is page_reader for one in route.dependant.dependencies), route.path


@pytest.mark.parametrize("path", READS)
def test_a_stranger_logs_in_and_comes_back(stranger, path):
    answer = stranger.get(f"{path}?project=a%20b", status=303)
    depth = "../" * (path.count("/") - 1) or "./"
    wanted = f"{path}?project=a%20b".replace("%", "%25").replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
    assert answer.headers["location"] == f"{depth}../api/v2/auth/login?next={wanted}"


@pytest.mark.parametrize("path", READS)
def test_scripts_and_fragments_of_a_stranger_get_401(stranger, path):
    stranger.get(path, fragment=True, status=401)
    stranger.get(path, headers={"accept": "*/*"}, status=401)
    stranger.get(path, headers={"authorization": "Bearer odd"}, status=401)


@pytest.mark.parametrize("path", WRITES)
def test_a_stranger_cannot_write(stranger, path):
    stranger.post(path, status=401)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/static/../page.py", "/static/%2e%2e/page.py"])
def test_nothing_else_is_served(stranger, path):
    assert stranger.client.get(path).status_code == 404


def test_static_files_are_public_and_no_folder_is(stranger):
    for name in ("page.css", "page.js", "theme.js", "htmx.min.js"):
        answer = stranger.client.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert stranger.client.get("/static/").status_code == 404


@pytest.mark.parametrize("path", [*READS, "/odd", "/static/page.css"])
def test_every_response_has_the_headers(page, path):
    answer = page.client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://evil.test", "referer": "http://airflow.test/"},
        {"referer": "http://evil.test/airflow.test"},
        {"sec-fetch-site": "cross-site", "authorization": "Bearer x"},
        {"cookie": "_token=x"},
        {"x-nothing": ""},
    ],
)
def test_another_site_cannot_write(page, path, headers):
    answer = page.post(path, status=403, **headers)
    assert answer.text.startswith("403 Forbidden: another site")
    assert HEADERS.items() <= dict(answer.headers).items() or all(name in answer.headers for name in HEADERS)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"origin": "http://airflow.test"},
        {"referer": "http://airflow.test/project-exports/jobs/1"},
        {"authorization": "Bearer x"},
    ],
)
def test_the_page_itself_and_scripts_with_a_token_can_write(page, jobs, headers):
    job = jobs.failed(run="one")
    page.post(f"/jobs/{job.id}/retry", **headers)
    assert page.called == [("retry", "one")]


def test_the_base_url_of_airflow_is_its_own_site(page, jobs, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://proxy.test/airflow")
    job = jobs.failed()
    page.post(f"/jobs/{job.id}/retry", origin="https://proxy.test")


def test_each_error_has_a_status():
    for kind in kinds(ProjectExportError):
        assert next(one for one in kind.__mro__ if one in STATUS)
    assert (status_of(SourceBusy("x")), status_of(Unforeseen("x"))) == (503, 503)


def test_an_error_says_what_happened_without_secrets(page, monkeypatch):
    def broken(*arguments, **options):
        raise SourceBusy("no answer from postgresql://jane:s3cret@db/x")

    monkeypatch.setattr(page.ctx.ledger.queries, "jobs", broken)
    text = page.get("/", status=503).text
    assert "no answer from postgresql://***@db/x" in text
    assert "s3cret" not in text
    assert message(SourceBusy("a password=x")) == "a password=***"


def test_what_is_not_foreseen_is_not_shown(page, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("password=s3cret")

    monkeypatch.setattr(page.ctx.ledger.queries, "jobs", broken)
    text = page.get("/", status=500).text
    assert "was not foreseen" in text
    assert "s3cret" not in text
    assert "Traceback" not in text
