"""Every route of the page and the API, asked by each kind of caller in a real Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from dev.airflow import REPO
from tests.dags.stage import DAG_ID, Stage

STRANGER = "stranger"
CALLERS = (STRANGER, "viewer", "user", "op", "admin")
TABLE = REPO / "docs" / "access.md"
MARK = "<!-- routes -->"
VALUES = {"job_id": "{job}", "id": "1", "relation": "labels", "token_id": "999999", "path": "page.css"}
QUERIES = {
    "/jobs/{job_id}/log": "?task=merge_relation_exports",
    "/start/find": "?project=1",
    "/run": f"?dag_id={DAG_ID}",
    "/projects/{id}/export_relations/download": "?relation=labels",
}
FORMS: Mapping[str, dict[str, str]] = {"/start": {"project": "999999"}, "/tokens": {"name": "", "days": "1"}}
"""Forms that change nothing: there is no such project, and a token needs a name."""

Route = tuple[str, str]
"""Method and path."""


def routes_of(routes: list[BaseRoute]) -> Iterator[Route]:
    """Yield the routes of an app, a mounted folder of files as one."""
    for route in routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods - {"HEAD"}):
                yield method, route.path
        elif isinstance(route, Mount):
            yield "GET", f"{route.path}/{{path}}"
        else:
            assert not hasattr(route, "methods"), f"{route} is of a kind that this test does not ask"


def page_routes() -> list[Route]:
    from project_export.airflow.web.page import app

    return list(routes_of(app().routes))


def api_routes() -> list[Route]:
    from project_export.airflow.web.gitlab.build import routes

    api: FastAPI = routes()
    return list(routes_of(api.routes))


def asked(client: httpx.Client, top: str, route: Route, job: int) -> str:
    """Return yes or no for a route; for a page that a stranger asks for, that Airflow's login follows."""
    method, path = route
    url = re.sub(r"{(\w+)(:\w+)?}", lambda found: VALUES[found[1]], path).replace("{job}", str(job))
    headers = {"accept": "text/html", "sec-fetch-site": "same-origin"}
    answer = client.request(method, f"{top}{url}{QUERIES.get(path, '')}", headers=headers, data=FORMS.get(path))
    assert answer.status_code < 500, (route, answer.status_code, answer.text)
    if answer.status_code == 303 and "/auth/login" in answer.headers["location"]:
        return "logs in"
    return "no" if answer.status_code in (401, 403) else "yes"


@pytest.fixture(scope="module")
def job(stage: Stage) -> int:
    """A job of a finished run."""
    run = stage.trigger(project_id=4, relations=["labels"])
    assert run.ended() == "success"
    return run.job().id


@pytest.fixture(scope="module")
def tokens(stage: Stage) -> dict[str, str]:
    """Tokens of Airflow by user."""
    found = {}
    for user in CALLERS[1:]:
        credentials = {"username": user, "password": stage.airflow.password(user)}
        found[user] = str(httpx.post(f"{stage.airflow.url}/auth/token", json=credentials).json()["access_token"])
    return found


def rows(stage: Stage, tokens: Mapping[str, str], job: int) -> Iterator[str]:
    """Yield the lines of the table: each route with the answer for each kind of caller."""
    yield f"| route | {' | '.join(CALLERS)} |"
    yield f"| --- |{' --- |' * len(CALLERS)}"
    for top, routes, kind in (("/project-exports", page_routes(), "cookie"), ("/api/v4", api_routes(), "token")):
        for route in routes:
            answers = []
            for caller in CALLERS:
                own: dict[str, Any] = {}
                if caller != STRANGER and kind == "cookie":
                    own["cookies"] = {"_token": tokens[caller]}
                elif caller != STRANGER:
                    own["headers"] = {"PRIVATE-TOKEN": tokens[caller]}
                with httpx.Client(base_url=stage.airflow.url, timeout=60, **own) as client:
                    answers.append(asked(client, top, route, job))
            yield f"| `{route[0]} {top}{route[1]}` | {' | '.join(answers)} |"


def test_the_table_of_the_documentation_says_who_may_call_each_route(
    stage: Stage, tokens: dict[str, str], job: int
) -> None:
    table = "\n".join(rows(stage, tokens, job))
    assert TABLE.read_text().split(MARK)[1].strip() == table, f"put this between the marks of {TABLE.name}:\n{table}"


def test_only_static_files_are_open_to_strangers(stage: Stage, tokens: dict[str, str], job: int) -> None:
    lines = [line.split(" | ") for line in TABLE.read_text().split(MARK)[1].strip().splitlines()[2:]]
    assert [line[0] for line in lines if line[1] == "yes"] == ["| `GET /project-exports/static/{path}`"]
    assert len(lines) == len(page_routes()) + len(api_routes())


@pytest.mark.parametrize("path", ["/project-exports/", "/project-exports/jobs/{job}", "/api/v4/projects"])
@pytest.mark.parametrize("dag_id", ["prune_exports", "~", "unknown"])
def test_naming_another_dag_opens_nothing(
    stage: Stage, tokens: dict[str, str], job: int, path: str, dag_id: str
) -> None:
    """`requires_access_dag` takes the DAG from the query if it is not told one."""
    url = f"{stage.airflow.url}{path.format(job=job)}"
    assert httpx.get(url, params={"dag_id": dag_id}).status_code == 401
    named = httpx.get(url, params={"dag_id": dag_id}, headers={"Authorization": f"Bearer {tokens['viewer']}"})
    assert named.status_code == 200
    start = f"{stage.airflow.url}/api/v4/projects/1/export"
    refused = httpx.post(start, params={"dag_id": dag_id}, headers={"PRIVATE-TOKEN": tokens["viewer"]})
    assert refused.status_code == 403


def test_the_root_of_a_source_is_as_closed_as_that_of_the_default_one(
    stage: Stage, tokens: dict[str, str], job: int
) -> None:
    root = f"{stage.airflow.url}/project-exports/sources/project_export_source/api/v4"
    headers = {"PRIVATE-TOKEN": tokens["viewer"]}
    with httpx.Client(timeout=60) as client:
        assert {asked(client, root, route, job) for route in api_routes()} == {"no"}
        assert client.get(f"{root}/projects/1", headers=headers).json()["id"] == 1
        assert client.post(f"{root}/projects/1/export", headers=headers).status_code == 403
        assert (
            client.get(root.replace("export_source", "export_ledger") + "/projects", headers=headers).status_code == 404
        )


def test_the_api_ignores_cookies(stage: Stage, tokens: dict[str, str]) -> None:
    for path in ("/projects", "/user", "/projects/1/export"):
        answer = httpx.get(f"{stage.airflow.url}/api/v4{path}", cookies={"_token": tokens["admin"]})
        assert answer.status_code == 401, path


def test_another_site_cannot_use_the_cookie(stage: Stage, tokens: dict[str, str], job: int) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        for path in ("start", f"jobs/{job}/cancel", "tokens"):
            answer = httpx.post(
                f"{stage.airflow.url}/project-exports/{path}", cookies={"_token": tokens["admin"]}, headers=headers
            )
            assert answer.status_code == 403, (path, headers)
