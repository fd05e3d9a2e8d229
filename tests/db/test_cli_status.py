"""What the shell says of a ledger, and removes by it."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from project_export.cli import app
from project_export.errors import Failure
from project_export.request import Request
from project_export.steps import Context, request_export
from tests.runs import context, files, merge, path_of, started, work


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path) -> Context:
    return context(generated, ledger_dsn, tmp_path / "store", units=1)


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def jobs(ledger_dsn: str, *more: str) -> list[dict[str, Any]]:
    return list(json.loads(run("status", "--ledger", ledger_dsn, "--json", *more)))


def test_jobs_are_shown_newest_first_with_progress_and_archive(ctx: Context, ledger_dsn: str) -> None:
    done = started(ctx, "labels")
    assert work(ctx, done) == []
    merged = merge(ctx, done)
    going = started(ctx, "labels", project_id=2, run_id="dag/other")
    newest, oldest = jobs(ledger_dsn)
    assert (newest["job"], newest["state"], newest["project"], newest["done"]) == (going.job_id, "started", 2, "0 of 2")
    assert (oldest["job"], oldest["state"], oldest["done"], oldest["records"]) == (
        *(done.job_id, "finished", "2 of 2"),
        merged.records,
    )
    assert oldest["archive"] == merged.uri.removeprefix("file://")
    assert [job["project"] for job in jobs(ledger_dsn, "--project-id", "1")] == [1]
    assert [job["job"] for job in jobs(ledger_dsn, "--most", "1")] == [going.job_id]
    assert oldest["archive"] in run("status", "--ledger", ledger_dsn)


def test_the_relations_of_a_job_are_shown_with_attempt_records_and_error(ctx: Context, ledger_dsn: str) -> None:
    created = started(ctx, "labels")
    claim = ctx.ledger.claims.claim(created.job_id, 0, "dag/run/0/1")
    assert claim is not None
    ctx.ledger.claims.fail_attempt(claim, "no right [to] it", final=True)
    ctx.ledger.jobs.fail(created.job_id, [Failure("labels", 1, "no right [to] it")])
    rows = {row["relation"]: row for row in jobs(ledger_dsn, "--job", str(created.job_id))}
    assert set(rows) == {"project", "labels"}
    failed = rows[claim.relation]
    assert (failed["state"], failed["attempt"], failed["error"]) == ("failed", 1, "no right [to] it")
    said = run("status", "--ledger", ledger_dsn, "--job", str(created.job_id))
    assert "job 1 of project 1: failed" in said
    assert said.count("no right [to] it") == 2


def test_a_job_that_waits_for_its_run_is_shown_without_relations(ctx: Context, ledger_dsn: str) -> None:
    request = Request(1, ("labels",))
    job = request_export(ctx, request, run_id="dag/run", requested_by="jane", run_alive=lambda _: True)
    (shown,) = jobs(ledger_dsn)
    assert (shown["job"], shown["state"], shown["done"], shown["records"]) == (job.id, "queued", "0 of 0", 0)
    assert jobs(ledger_dsn, "--job", str(job.id)) == []
    assert "queued" in run("status", "--ledger", ledger_dsn)
    said = run("status", "--ledger", ledger_dsn, "--job", str(job.id))
    assert said == f"job {job.id} of project 1: queued, run dag/run\nno relations: it was not started\n"


def test_a_job_that_is_not_there_is_an_error(ctx: Context, ledger_dsn: str) -> None:
    done = CliRunner().invoke(app, ["status", "--ledger", ledger_dsn, "--job", "4711"])
    assert (done.exit_code, "no job 4711" in done.stderr) == (1, True)


def test_prune_removes_what_is_past_its_time_and_a_dry_run_only_says_so(
    ctx: Context, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = started(ctx, "labels")
    assert work(ctx, created) == []
    merge(ctx, created)
    going = started(ctx, "labels", project_id=2, run_id="dag/other")
    command = ("prune", "--out", str(tmp_path / "store"), "--ledger", ledger_dsn)
    assert "jobs: 0" in run(*command)
    for name in ("ARCHIVE_HOURS", "JOB_DAYS"):
        monkeypatch.setenv(f"PROJECT_EXPORT_{name}", "1e-9")
    before = files(tmp_path)
    assert "would be removed:\n  cancelled: 0\n  jobs: 1\n" in run(*command, "--dry-run")
    assert files(tmp_path) == before != []
    assert "removed:\n  cancelled: 0\n  jobs: 1\n" in run(*command)
    assert files(tmp_path) == []
    assert [job["job"] for job in jobs(ledger_dsn)] == [going.job_id]  # whether Airflow's runs live, only Airflow knows


def test_one_relation_is_written_alone_also_where_the_rest_of_its_job_is_missing(
    ctx: Context, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_STORE", ctx.settings.store)
    monkeypatch.chdir(tmp_path)
    created = started(ctx, "labels")
    job = str(created.job_id)
    early = CliRunner().invoke(app, ["relation", job, "labels", "--ledger", ledger_dsn])
    assert early.exit_code == 1
    assert "1 of 1 part(s) of labels in job" in early.stderr
    assert not (tmp_path / "labels.ndjson.gz").exists()
    assert work(ctx, created) == []
    path = tmp_path / "labels.ndjson.gz"
    said = run("relation", job, "labels", "--ledger", ledger_dsn)
    assert said == f"{path}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
    with tarfile.open(path_of(merge(ctx, created))) as tar:
        member = tar.extractfile("./tree/project/labels.ndjson")
        assert member is not None
        assert gzip.decompress(path.read_bytes()) == member.read()
    unknown = CliRunner().invoke(app, ["relation", job, "lables", "--ledger", ledger_dsn])
    assert (unknown.exit_code, "nearest: labels" in unknown.stderr) == (2, True)
