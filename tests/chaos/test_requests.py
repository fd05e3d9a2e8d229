"""Requests to the API that are not meant well: many at once, crafted, without a token, for other people's projects."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.chaos.faulty_airflow import FaultyAirflow
from tests.runs import context
from tests.web.api import Api, mounted

POSTS = 50
SCHEMA = (
    "SELECT md5(string_agg(format('%%s.%%s %%s', table_name, column_name, data_type), ',' ORDER BY 1)) "
    "FROM information_schema.columns WHERE table_schema = 'public'"
)
CRAFTED = (
    "1;DROP TABLE projects",
    "1' OR '1'='1",
    "1%00",
    "%27%3B--",
    "..%2F..%2Fetc%2Fpasswd",
    "1%20UNION%20SELECT%201",
)
PRIVATE = (
    "http://127.0.0.1/",
    "http://[::1]:8080/",
    "http://169.254.169.254/latest/",
    "http://10.0.0.1/",
    "file:///etc/passwd",
)


@pytest.fixture
def http(faulty_airflow: FaultyAirflow) -> Iterator[httpx.Client]:
    """A client of the API without a token."""
    with httpx.Client(base_url=f"{faulty_airflow.airflow.url}/api/v4", timeout=120) as client:
        yield client


def token(faulty_airflow: FaultyAirflow, user: str) -> dict[str, str]:
    credentials = {"username": user, "password": faulty_airflow.airflow.password(user)}
    answer = httpx.post(f"{faulty_airflow.airflow.url}/auth/token", json=credentials, timeout=60)
    return {"PRIVATE-TOKEN": str(answer.json()["access_token"])}


@pytest.fixture
def divided(environment: Environment, ledger_dsn: str, tmp_path: Path, airflow_home: None) -> Iterator[Api]:
    """The API where each user has a project; uploads to private places are not allowed."""
    more = {"access": "ulla=1; vera=2", "api_exports_per_minute": 0, "api_downloads_per_minute": 0}
    with mounted(context(environment.source, ledger_dsn, tmp_path / "api", **more)) as api:
        yield api


@pytest.mark.fault("F13", "50 clients start an export of one project")
def test_many_posts_start_one_export(faulty_airflow: FaultyAirflow, http: httpx.Client, happened: Happened) -> None:
    users = [token(faulty_airflow, user) for user in ("admin", "op", "user")]
    with faulty_airflow.surviving(3):
        with faulty_airflow.locked("lists"), ThreadPoolExecutor(POSTS) as pool:

            def post(number: int) -> tuple[int, str]:
                headers = users[number % len(users)]
                answer = http.post("/projects/3/export", headers=headers)
                status = http.get("/projects/3/export", headers=headers).json()["export_status"]
                return answer.status_code, status

            answers = list(pool.map(post, range(POSTS)))
        # The limit of requests per user refuses the others.
        assert {status for status, _ in answers} <= {202, 429}
        assert sum(status == 202 for status, _ in answers) >= 3
        runs = [run for run in faulty_airflow.runs() if run.id.startswith("api__")]
        (run,) = (run for run in runs if run.job().project_id == 3)
        assert "none" not in {said for status, said in answers if status == 202}
        faulty_airflow.assert_whole(run)
    accepted = sum(status == 202 for status, _ in answers)
    happened(f"{accepted} of {POSTS} answered with 202, the others with 429; one run, SAME")


@pytest.mark.fault("F26", "SQL in ids, relations and descriptions of requests")
def test_crafted_requests_change_nothing(faulty_airflow: FaultyAirflow, http: httpx.Client, happened: Happened) -> None:
    headers = token(faulty_airflow, "admin")
    before, runs = faulty_airflow.sql(SCHEMA), len(faulty_airflow.runs())
    seen = set()
    for crafted in CRAFTED:
        for method, path in (("GET", "export"), ("POST", "export"), ("POST", "export_relations"), ("GET", "packages")):
            seen.add(http.request(method, f"/projects/{crafted}/{path}", headers=headers).status_code)
        query = {"relation": crafted}
        seen.add(http.get("/projects/1/export_relations/download", params=query, headers=headers).status_code)
    assert seen <= {400, 404}
    assert faulty_airflow.sql(SCHEMA) == before
    assert len(faulty_airflow.runs()) == runs
    happened(f"answered with {sorted(seen)}; schema unchanged, nothing started")


@pytest.mark.fault("F27", "requests without a token, with a wrong one, or with one in the query or in a cookie")
def test_requests_without_a_token_start_nothing(
    faulty_airflow: FaultyAirflow, http: httpx.Client, happened: Happened
) -> None:
    (good,) = token(faulty_airflow, "admin").values()
    runs = len(faulty_airflow.runs())
    ways: list[dict[str, Any]] = [
        {},
        {"headers": {"PRIVATE-TOKEN": "pxp_wrong"}},
        {"headers": {"Authorization": f"Bearer {good[:-2]}xx"}},
        {"params": {"private_token": good}},
        {"headers": {"Cookie": f"_token={good}"}},
    ]
    seen = set()
    for way in ways:
        for method, path in (("POST", "/projects/1/export"), ("GET", "/projects/1/export"), ("GET", "/projects/999")):
            answer = http.request(method, path, **way)
            seen.add((answer.status_code, answer.text))
    assert seen == {(401, '{"message":"401 Unauthorized"}')}
    assert len(faulty_airflow.runs()) == runs
    happened("all answered with the same 401; nothing started")


@pytest.mark.fault("F28", "a token of one user, for the project of another")
def test_other_peoples_projects_do_not_exist(divided: Api, environment: Environment, happened: Happened) -> None:
    with psycopg.connect(environment.source) as conn:
        ((path,),) = conn.execute("SELECT path FROM routes WHERE source_type = 'Project' AND source_id = 2").fetchall()
    ways = ("2", path.replace("/", "%2F"), path.upper().replace("/", "%2F"), f"x%2F..%2F{path.replace('/', '%2F')}")
    seen = set()
    for way in (*ways, "999"):
        for tail in ("", "/export", "/export/download", "/export_relations/status", "/packages"):
            seen.add(divided.get(f"/projects/{way}{tail}").text)
        seen.add(divided.post(f"/projects/{way}/export").text)
    assert seen == {'{"message":"404 Project Not Found"}'}
    assert divided.get("/projects/2", "vera").status_code == 200
    assert not divided.triggered
    happened("by id, path, case and ..: the same 404 as a project that does not exist")


@pytest.mark.fault("F29", "uploads to addresses inside the network")
def test_uploads_into_the_network_are_refused(divided: Api, happened: Happened) -> None:
    for url in PRIVATE:
        answer = divided.post("/projects/1/export", json={"upload": {"url": url}})
        assert answer.status_code == 400, url
    assert not divided.triggered
    happened("refused with 400; nothing started")
