"""Exports through the API of GitLab's clients: start, status, download."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import literal

from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.errors import Failure
from project_export.ledger import Job, JobRequest, rates
from project_export.merged import Merged
from project_export.request import Request
from project_export.steps import create
from tests.runs import context, merge, path_of, started, work
from tests.web.api import Api, mounted

PATH = "acme%2Ftools%2Fproject-1"
URL = "http://airflow.example:8080/base/api/v4/projects/1/export/download"


def export(api: Api, *relations: str, run_id: str = "dag/run") -> Merged:
    """Export some relations of project 1 outside the API."""
    done = started(api.ctx, *(relations or ("labels",)), run_id=run_id)
    assert work(api.ctx, done) == []
    return merge(api.ctx, done)


def status(api: Api, project: str = "1") -> dict[str, Any]:
    answer = api.get(f"/projects/{project}/export")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def newest(api: Api) -> Job:
    job = api.ctx.ledger.queries.latest_job(api.ctx.source, api.ctx.tree.name, 1)
    assert job is not None
    return job


BODIES: list[dict[str, Any]] = [
    {},
    {"json": {}},
    {"json": {"upload": None}},
    {"content": b"null", "headers": {"Content-Type": "application/json"}},
    {"content": b"{}"},
    {"data": {"unknown": "x"}},
    {"json": {"upload": None, "description": None, "unknown": {"a": 1}}},
    {"files": {"unknown": (None, "x")}},
]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_post_starts_an_export_whatever_form_its_body_has(api: Api, body: dict[str, Any]) -> None:
    answer = api.post("/projects/1/export", **body)
    assert (answer.status_code, answer.json()) == (202, {"message": "202 Accepted"})
    ((run_id, conf),) = api.triggered.items()
    assert conf == {"project_id": 1}
    assert run_id.startswith("api__")
    job = newest(api)
    assert (job.state, job.run_id, job.requested_by) == ("queued", f"export_project/{run_id}", "ulla")
    assert status(api)["export_status"] == "queued"


DESCRIBED: list[dict[str, Any]] = [
    {"json": {"description": "new “one”'; --"}},
    {"data": {"description": "new “one”'; --"}},
    {"files": {"description": (None, "new “one”'; --")}},
    {"params": {"description": "new “one”'; --"}},
]


@pytest.mark.parametrize("body", DESCRIBED, ids=list("jfmq"))
def test_a_description_replaces_the_projects_own(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/projects/1/export", **body).status_code == 202
    assert [*api.triggered.values()] == [{"project_id": 1, "description": "new “one”'; --"}]


UPLOADS: list[dict[str, Any]] = [
    {"json": {"upload": {"url": "https://93.184.216.34/a?key=s3cret", "http_method": "POST"}}},
    {"data": {"upload[url]": "https://93.184.216.34/a?key=s3cret", "upload[http_method]": "POST"}},
]


@pytest.mark.parametrize("body", UPLOADS, ids=["json", "form"])
def test_an_upload_is_passed_on_and_its_secrets_stay_out_of_the_ledger(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/projects/1/export", **body).status_code == 202
    (conf,) = api.triggered.values()
    assert conf["after_export"] == "upload"
    assert (conf["upload_url"], conf["upload_http_method"]) == ("https://93.184.216.34/a?key=s3cret", "POST")
    assert "s3cret" not in str(newest(api))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"json": {"upload": {}}}, "upload[url] is missing"),
    ({"json": {"upload": {"url": ["x"]}}}, "upload[url] is invalid"),
    ({"json": {"upload": "https://x.example/"}}, "upload is invalid"),
    ({"json": {"upload": {"url": "https://93.184.216.34/", "http_method": "DELETE"}}}, "upload[http_method]"),
    ({"json": {"description": ["x"]}}, "description is invalid"),
    ({"json": {"description": "x" * 2001}}, "at most 2000 characters"),
    ({"json": {"description": "\0"}}, "without NUL"),
    ({"content": b'{"description": "\\ud800"}'}, "surrogate"),
    ({"content": b"{"}, "not JSON"),
    ({"content": b"[" * 100_000}, "not JSON"),
    ({"content": b"\xff"}, "not JSON"),
    ({"json": [1]}, "not a JSON object"),
    ({"content": b"--", "headers": {"Content-Type": "multipart/form-data"}}, "400 Bad request"),
]


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_body_that_is_wrong_starts_nothing(api: Api, body: dict[str, Any], said: str) -> None:
    answer = api.post("/projects/1/export", **body)
    assert answer.status_code == 400, answer.text
    assert said in str(answer.json().get("error") or answer.json()["message"])
    assert not api.triggered
    assert status(api)["export_status"] == "none"


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    large = b" " * (1 << 20) + b"{}"
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))
    for content in (large, pieces):
        answer = api.post("/projects/1/export", content=content)
        assert (answer.status_code, answer.json()) == (413, {"message": "413 Request Entity Too Large"})
    assert not api.triggered


URLS = [
    *("http://127.0.0.1/a", "http://[::1]/a", "http://169.254.169.254/latest/meta-data", "http://10.1.2.3:8080/"),
    *(
        "http://0x7f.1/",
        "http://localhost:5432/",
        "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "ftp://x.example/",
    ),
    *("http:///a", "gopher://127.0.0.1:6379/_x", "http://user:pa55@127.0.0.1/", "http://no-such-host.invalid/"),
]


@pytest.mark.parametrize("url", URLS)
def test_uploads_to_other_places_than_public_ones_are_refused_at_once(api: Api, url: str) -> None:
    answer = api.post("/projects/1/export", json={"upload": {"url": url}})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith("upload[url] is invalid: ")
    assert "pa55" not in answer.text
    assert not api.triggered


def test_uploads_to_private_places_can_be_allowed(generated: str, ledger_dsn: str, tmp_path: Path) -> None:
    with mounted(context(generated, ledger_dsn, tmp_path, upload_allow_private=True)) as api:
        assert api.post("/projects/1/export", json={"upload": {"url": "http://127.0.0.1/a"}}).status_code == 202
        assert api.post("/projects/2/export", json={"upload": {"url": "file:///etc/passwd"}}).status_code == 400


def test_a_second_post_answers_the_same_and_starts_nothing(api: Api) -> None:
    for _ in range(3):
        answer = api.post("/projects/1/export")
        assert (answer.status_code, answer.json()) == (202, {"message": "202 Accepted"})
    assert len(api.triggered) == 1
    assert len(api.ctx.ledger.queries.jobs()) == 1
    assert api.post("/projects/2/export").status_code == 202
    assert len(api.triggered) == 2


def test_a_job_whose_run_is_gone_does_not_keep_the_project_busy(api: Api) -> None:
    job_id = started(api.ctx, "labels", run_id="export_project/gone").job_id
    api.gone.add("export_project/gone")
    assert api.post("/projects/1/export").status_code == 202
    assert api.ctx.ledger.queries.job(job_id).outcome == "cancelled"
    assert len(api.triggered) == 1


def test_a_trigger_that_breaks_fails_the_job_at_once_and_says_nothing_about_the_server(api: Api) -> None:
    api.refused = RuntimeError("postgresql://airflow:secret@db/airflow is away")
    answer = api.post("/projects/1/export")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    (found,) = api.ctx.ledger.queries.jobs()
    assert (found.job.state, found.job.errors[0].code) == ("failed", "NotStarted")
    assert "secret" not in found.job.errors[0].message
    api.refused = None
    assert api.post("/projects/1/export").status_code == 202


def test_the_status_follows_the_job_to_its_end(api: Api) -> None:
    assert status(api)["export_status"] == "none"
    assert api.post("/projects/1/export").status_code == 202
    assert status(api)["export_status"] == "queued"
    (run_id,) = api.triggered
    job = newest(api)
    created = create(
        api.ctx,
        Request(1, ("labels",)),
        run_id=f"export_project/{run_id}",
        requested_by="ulla",
        run_alive=lambda _: True,
    )
    assert created.job_id == job.id
    assert status(api)["export_status"] == "started"
    assert "_links" not in status(api)
    assert work(api.ctx, created) == []
    merged = merge(api.ctx, created)
    found = status(api, PATH)
    assert found["export_status"] == "finished"
    assert found["_links"]["api_url"] == URL
    downloaded = api.client.get(found["_links"]["api_url"], headers={"PRIVATE-TOKEN": api.tokens["vera"]})
    assert hashlib.sha256(downloaded.content).hexdigest() == merged.sha256
    assert api.post("/projects/1/export").status_code == 202
    found = status(api)
    assert (found["export_status"], "_links" in found) == ("regeneration_in_progress", False)
    assert api.get("/projects/1/export/download").content == downloaded.content


def test_the_status_describes_the_project(api: Api) -> None:
    found = status(api)
    assert set(found) == {
        *("id", "description", "name", "name_with_namespace", "path", "path_with_namespace"),
        *("created_at", "export_status"),
    }
    assert (found["id"], found["path"]) == (1, "project-1")
    assert found["path_with_namespace"] == "acme/tools/project-1"
    assert found["name"] == "Project 1 “żółw” friends 🐢"
    assert found["name_with_namespace"].endswith(" / Project 1 “żółw” friends 🐢")
    assert found["created_at"] == "2019-01-01T08:30:00.123Z"


def test_a_failed_export_says_why_and_hides_older_archives(api: Api) -> None:
    export(api)
    job_id = started(api.ctx, "labels", run_id="dag/second").job_id
    errors = [Failure("labels", 3, "permission denied for table labels", "42501"), Failure("issues", 1, "killed")]
    api.ctx.ledger.jobs.fail(job_id, errors)
    found = status(api)
    assert found["export_status"] == "failed"
    assert "permission denied for table labels" in found["export_error"]
    assert "issues" in found["export_error"]
    assert "_links" not in found
    answer = api.get("/projects/1/export/download")
    assert (answer.status_code, answer.json()) == (404, {"message": "404 Not found or has expired"})
    assert api.post("/projects/1/export").status_code == 202
    assert status(api)["export_status"] == "regeneration_in_progress"


@pytest.mark.parametrize(
    ("refused", "expected"),
    [(AirflowRefused(403, "Forbidden"), 403), (AirflowRefused(500, "secret traceback"), 502)],
    ids=["forbidden", "broken"],
)
def test_a_run_that_airflow_does_not_start_fails_its_job(api: Api, refused: AirflowRefused, expected: int) -> None:
    api.refused = refused
    answer = api.post("/projects/1/export")
    assert answer.status_code == expected
    assert "secret" not in answer.text
    found = status(api)
    assert found["export_status"] == "failed"
    assert str(refused.status) in found["export_error"]
    api.refused = None
    assert api.post("/projects/1/export").status_code == 202
    assert status(api)["export_status"] == "queued"


def test_a_job_that_waits_does_not_hide_the_one_that_runs(api: Api) -> None:
    assert api.post("/projects/1/export").status_code == 202
    job = newest(api)
    api.ctx.ledger.jobs.start(job.id, JobRequest(job.source, job.tree, 1, job.run_id, "ulla"), [])
    waiting = JobRequest(job.source, job.tree, 1, "export_project/nightly", "scheduled", waiting=True)
    api.ctx.ledger.jobs.queue(waiting)
    assert status(api)["export_status"] == "started"
    api.ctx.ledger.jobs.finish(job.id, "file:///a", 1, "ab" * 32, 1)
    assert status(api)["export_status"] == "regeneration_in_progress"


def test_a_pruned_archive_is_none_and_has_expired(api: Api) -> None:
    export(api)
    with api.ctx.ledger.retention.locked(newest(api)) as ended:
        assert ended is not None
        ended.forget_archive()
    assert status(api)["export_status"] == "none"
    answer = api.get("/projects/1/export/download")
    assert (answer.status_code, answer.json()) == (404, {"message": "404 Not found or has expired"})


def test_nothing_is_downloaded_before_the_archive_is_complete(api: Api) -> None:
    assert api.get("/projects/1/export/download").status_code == 404
    created = started(api.ctx, "labels")
    assert api.get("/projects/1/export/download").status_code == 404
    assert work(api.ctx, created) == []
    assert api.get("/projects/1/export/download").status_code == 404
    merge(api.ctx, created)
    assert api.get("/projects/1/export/download").status_code == 200


def test_a_download_has_its_length_and_can_be_resumed(api: Api) -> None:
    merged = export(api)
    whole = path_of(merged).read_bytes()
    answer = api.get(f"/projects/{PATH}/export/download", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.content == whole
    assert answer.headers["content-type"] == "application/gzip"
    assert int(answer.headers["content-length"]) == len(whole) == merged.bytes
    assert answer.headers["etag"] == f'"{merged.sha256}"'
    assert "_export.tar.gz" in answer.headers["content-disposition"]
    head = api.ask("HEAD", "/projects/1/export/download")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole))
    rest = api.get("/projects/1/export/download", headers={"Range": "bytes=100-", "If-Range": answer.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole[100:])
    assert rest.headers["content-range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"


def test_an_archive_that_is_not_in_the_store_is_not_sent(api: Api) -> None:
    path_of(export(api)).unlink()
    answer = api.get("/projects/1/export/download")
    assert answer.status_code == 404
    assert str(api.ctx.store.uri).removeprefix("file://") not in answer.text


def test_each_user_may_start_so_many_exports_and_downloads_in_a_minute(
    generated: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = literal(datetime(2026, 1, 1, 12, 0, 17, tzinfo=timezone.utc))  # else a minute may end meanwhile
    monkeypatch.setattr(rates, "clock", lambda: stopped)
    limits = {"api_exports_per_minute": 2, "api_downloads_per_minute": 1}
    with mounted(context(generated, ledger_dsn, tmp_path / "store", units=1, **limits)) as api:
        export(api)
        answers = [api.post("/projects/1/export") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        error = "This endpoint has been requested too many times. Try again later."
        assert answers[2].json() == {"message": {"error": error}}
        assert answers[2].headers["retry-after"] == "43"
        assert api.post("/projects/1/export", "ann").status_code == 202
        downloads = [api.get("/projects/1/export/download") for _ in range(2)]
        assert [answer.status_code for answer in downloads] == [200, 429]
        assert downloads[1].headers["retry-after"] == "43"
        assert api.get("/projects/1/export/download", "vera").status_code == 200
        assert api.ask("HEAD", "/projects/1/export/download").status_code == 200
        for _ in range(10):
            assert api.get("/projects/1/export").status_code == 200
