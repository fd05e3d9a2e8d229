"""The API in a real Airflow, driven by python-gitlab as it is, and by the script of the documentation."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gitlab
import httpx
import pytest

from dev.airflow import REPO
from tests.archives import read_archive
from tests.dags.stage import DAG_ID, SOURCE_ID, Stage

SECONDS = 200
LIMIT = 6
UP = "/uploads/by-api"


def token_of(stage: Stage, user: str) -> str:
    """Return a token of Airflow's own."""
    credentials = {"username": user, "password": stage.airflow.password(user)}
    answer = httpx.post(f"{stage.airflow.url}/auth/token", json=credentials, timeout=30)
    return str(answer.json()["access_token"])


def long_lived(stage: Stage, user: str) -> str:
    """Return a long-lived token, made as the page makes it."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    claims = SimpleAuthManager().serialize_user(SimpleAuthManagerUser(username=user, role=user))
    return stage.ledger.tokens.create(user, "test", claims, 3600)[1]


def client(stage: Stage, token: str) -> gitlab.Gitlab:
    return gitlab.Gitlab(stage.airflow.url, private_token=token, timeout=60)


def ended(export: Any) -> str:
    deadline = time.monotonic() + SECONDS
    while export.export_status not in ("finished", "failed"):
        assert export.export_status in ("queued", "started", "regeneration_in_progress")
        assert time.monotonic() < deadline, export
        time.sleep(0.5)
        export.refresh()
    return str(export.export_status)


def test_python_gitlab_creates_refreshes_and_downloads(stage: Stage, tmp_path: Path) -> None:
    gl = client(stage, long_lived(stage, "user"))
    gl.auth()
    assert gl.user is not None
    assert gl.user.username == "user"
    assert gl.version()[0] == "18.6.0"
    paths = {one.path_with_namespace: one.get_id() for one in gl.projects.list(iterator=True, per_page=1)}
    assert len(paths) == 4
    project = gl.projects.get("acme/tools/project-1")
    assert project.get_id() == paths["acme/tools/project-1"] == 1
    before = {run.id for run in stage.runs()}
    export = project.exports.create({"description": "by python-gitlab"})
    assert export.message == "202 Accepted"
    assert project.exports.create({}).message == "202 Accepted"
    export.refresh()
    assert ended(export) == "finished"
    job = stage.ledger.queries.latest_job(SOURCE_ID, "gitlab", 1)
    assert job is not None
    assert (job.requested_by, job.params["description"]) == ("user", "by python-gitlab")
    run = stage.rest.call("GET", f"/dags/{DAG_ID}/dagRuns/{job.run_id.partition('/')[2]}")
    assert run["triggering_user_name"] == "user"
    assert {run.id for run in stage.runs()} - before == {run["dag_run_id"]}
    archive = tmp_path / "project.tar.gz"
    with archive.open("wb") as file:
        export.download(streamed=True, action=file.write)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == job.archive_sha256
    (root,) = read_archive(archive)["project"]
    assert root["description"] == "by python-gitlab"


def test_a_real_server_sends_exact_lengths_and_types(stage: Stage) -> None:
    headers = {"PRIVATE-TOKEN": token_of(stage, "viewer"), "Accept-Encoding": "gzip"}
    with httpx.Client(base_url=f"{stage.airflow.url}/api/v4", headers=headers, timeout=60) as http:
        for path in ("/projects/acme%2Ftools%2Fproject-1/export", "/projects?per_page=100", "/openapi.json", "/none"):
            answer = http.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["content-length"] == str(len(answer.content))
        link = http.get("/projects/1/export").json()["_links"]["api_url"]
        assert link == f"{stage.airflow.url}/api/v4/projects/1/export/download"
        whole = http.get(link)
        assert whole.headers["content-length"] == str(len(whole.content))
        assert whole.headers["content-type"] == "application/gzip"
        assert http.head(link).headers["content-length"] == str(len(whole.content))
        part = http.get(link, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])


@pytest.mark.slow
def test_relations_and_their_batches_are_fetched_with_the_same_client(stage: Stage) -> None:
    gl = client(stage, token_of(stage, "viewer"))
    found = gl.http_get("/projects/1/export_relations/status")
    assert isinstance(found, list)
    assert {one["status"] for one in found} == {1}
    one = gl.http_get("/projects/1/export_relations/status", {"relation": "labels"})
    assert isinstance(one, dict)
    answer: Any = gl.http_get("/projects/1/export_relations/download", {"relation": "labels"}, raw=True)
    assert len(gzip.decompress(answer.content).splitlines()) == one["total_objects_count"]


@pytest.mark.slow
def test_an_archive_is_sent_to_the_url_of_an_upload(stage: Stage) -> None:
    export = client(stage, token_of(stage, "user")).projects.get(2, lazy=True).exports
    upload = {"url": f"{stage.receiver.url}{UP}?key=s3cret", "http_method": "POST"}
    export.create({"upload": upload})
    assert ended(export.get()) == "finished"
    (sent,) = (one for one in stage.receiver.received if one.target.startswith(UP))
    job = stage.ledger.queries.latest_job(SOURCE_ID, "gitlab", 2)
    assert job is not None
    assert (sent.method, hashlib.sha256(sent.body).hexdigest()) == ("POST", job.archive_sha256)


@pytest.mark.slow
def test_a_failed_export_gives_its_reason(stage: Stage) -> None:
    export = client(stage, token_of(stage, "op")).projects.get(3, lazy=True).exports
    stage.sql("REVOKE SELECT ON labels FROM stage_reader")
    try:
        export.create({})
        found = export.get()
        assert ended(found) == "failed"
    finally:
        stage.sql("GRANT SELECT ON labels TO stage_reader")
    assert "labels" in found.export_error
    with pytest.raises(gitlab.exceptions.GitlabGetError) as refused:
        found.download()
    assert refused.value.response_code == 404


def test_python_gitlab_raises_its_own_errors(stage: Stage) -> None:
    with pytest.raises(gitlab.exceptions.GitlabAuthenticationError, match="401 Unauthorized"):
        client(stage, "pxp_wrong").auth()
    viewer = client(stage, token_of(stage, "viewer"))
    with pytest.raises(gitlab.exceptions.GitlabCreateError, match="403 Forbidden"):
        viewer.projects.get(1, lazy=True).exports.create({})
    for project in ("no/such", 999):
        with pytest.raises(gitlab.exceptions.GitlabGetError, match="404 Project Not Found"):
            viewer.projects.get(project)
    with pytest.raises(gitlab.exceptions.GitlabCreateError, match="2000"):
        client(stage, token_of(stage, "user")).projects.get(1, lazy=True).exports.create({"description": "x" * 2001})


def test_too_many_requests_say_when_to_come_again(stage: Stage) -> None:
    export = client(stage, token_of(stage, "admin")).projects.get(1).exports.get()
    with pytest.raises(gitlab.exceptions.GitlabGetError, match="requested too many times") as refused:
        for _ in range(3 * LIMIT):  # the minute may end meanwhile
            export.download(obey_rate_limit=False)
    assert refused.value.response_code == 429
    answer = httpx.get(
        f"{stage.airflow.url}/api/v4/projects/1/export/download", headers={"PRIVATE-TOKEN": token_of(stage, "admin")}
    )
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60


@pytest.fixture
def environment(stage: Stage) -> dict[str, str]:
    return {**os.environ, "AIRFLOW_URL": stage.airflow.url, "EXPORT_TOKEN": long_lived(stage, "user")}


def test_the_script_of_the_documentation_exports_a_project(
    stage: Stage, environment: dict[str, str], tmp_path: Path
) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "api.md").read_text(), re.DOTALL)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=SECONDS)
    job = stage.ledger.queries.latest_job(SOURCE_ID, "gitlab", 1)
    assert job is not None
    assert hashlib.sha256((tmp_path / "project.tar.gz").read_bytes()).hexdigest() == job.archive_sha256


@pytest.fixture
def document(stage: Stage, environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    headers = {"PRIVATE-TOKEN": environment["EXPORT_TOKEN"]}
    path = tmp_path / "openapi.json"
    path.write_bytes(httpx.get(f"{stage.airflow.url}/api/v4/openapi.json", headers=headers, timeout=60).content)
    yield path


@pytest.mark.slow
def test_requests_made_from_the_document_find_no_error(
    stage: Stage, environment: dict[str, str], document: Path
) -> None:
    command = [Path(sys.executable).with_name("schemathesis"), "run", document, "--url", f"{stage.airflow.url}/api/v4"]
    command += ["--header", f"PRIVATE-TOKEN: {environment['EXPORT_TOKEN']}", "--max-examples", "20"]
    command += ["--phases", "examples,coverage,fuzzing", "--seed", "1"]
    # A schema cannot say that a URL must be public, or that two parameters belong together.
    command += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(command, cwd=document.parent, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
