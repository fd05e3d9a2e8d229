"""Notices, uploads, the Asset event, runs that join or wait, and retention, in a real Airflow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from json import JSONDecodeError
from typing import Any

import psycopg
import pytest

from dev.airflow import POOL
from project_export.archive.manifest import Manifest
from project_export.store import MANIFEST
from tests.dags.stage import AFTER, CREATE, DAG_ID, END, EXPORT, HOLD, MERGE, SOURCE_ID, WAIT, Run, Stage, until

PRUNE = "prune_exports"
BOARDS: dict[str, Any] = {"relations": ["boards"], "consistency": "relation"}


@pytest.fixture(scope="module")
def uploaded(stage: Stage) -> Run:
    url = stage.receiver.url.replace("//", "//jane:pa55@") + "/upload?sig=s3cret"
    return stage.trigger(project_id=2, **BOARDS, after_export="upload", upload_url=url)


@pytest.fixture(scope="module")
def refused(stage: Stage) -> Run:
    return stage.trigger(
        project_id=3, **BOARDS, after_export="upload", upload_url="ftp://127.0.0.1:9/upload?sig=s3cret"
    )


@pytest.fixture(scope="module")
def four(stage: Stage, uploaded: Run, refused: Run) -> tuple[Run, Run, Run, Run]:
    """A run that gets no slot for a while, two that are triggered meanwhile (one joins it, one waits), and one that
    gets no slot for longer than it may wait.
    """
    assert uploaded.ended() == "success"
    with without_pool(stage):
        starved = stage.trigger(project_id=4, **BOARDS)
        until(lambda: stage.ledger.queries.job_of_run(f"{DAG_ID}/{starved.id}"))
        an_hour_passes(stage)
        first = stage.trigger(project_id=1, **BOARDS)
        until(lambda: stage.ledger.queries.job_of_run(f"{DAG_ID}/{first.id}"))
        joining = stage.trigger(project_id=1, **BOARDS, if_running="join")
        waiting = stage.trigger(project_id=1, **BOARDS, if_running="wait")
        until(lambda: waiting.states()[CREATE] == "up_for_reschedule")
        assert joining.ended() == "success"
        until(lambda: f"no worker has got a slot in the pool '{POOL}' yet" in first.log(WAIT), seconds=60)
        assert starved.ended() == "failed"
    return first, joining, waiting, starved


@pytest.fixture(scope="module")
def trio(four: tuple[Run, Run, Run, Run]) -> tuple[Run, Run, Run]:
    return four[:3]


@pytest.mark.slow
def test_an_export_that_gets_no_slot_for_too_long_fails_by_the_name_of_the_pool_and_a_clear_exports_it(
    stage: Stage, four: tuple[Run, Run, Run, Run]
) -> None:
    run = four[3]
    assert {run.states()[name] for name in run.states() if name.startswith(EXPORT)} == {"skipped"}
    (error, *others) = run.job().errors
    said = f"no worker has got a slot in the pool '{POOL}' for 900 s; check that the pool exists and has slots"
    assert error.message.startswith(said)
    assert ["were cancelled" in other.message for other in others] == [True]
    assert said in run.log(MERGE)
    (notice,) = run.notices()
    assert said in notice["text"]

    run.clear(only_failed=True)
    assert run.ended() == "success"
    assert run.job().state == "finished"


@pytest.mark.slow
def test_a_create_that_is_cleared_alone_leaves_a_finished_export_as_it_is(
    stage: Stage, four: tuple[Run, Run, Run, Run]
) -> None:
    run = four[0]
    assert run.ended() == "success"
    job, units = run.job(), run.xcoms(CREATE)["return_value"]
    run.clear(task_ids=[CREATE])
    until(lambda: "stays finished, because nothing would work on it" in run.log(CREATE))
    assert run.ended() == "success"
    assert (run.job(), run.xcoms(CREATE)["return_value"]) == (job, units)


def test_a_run_that_joins_ends_at_once_with_the_others_job(trio: tuple[Run, Run, Run]) -> None:
    first, joining, _ = trio
    assert joining.states() == {
        CREATE: "success",
        HOLD: "skipped",
        EXPORT: "skipped",
        WAIT: "skipped",
        MERGE: "skipped",
        AFTER: "skipped",
        END: "skipped",
    }
    assert joining.xcoms(CREATE).items() >= {"return_value": [], "joined_job_id": first.job().id}.items()
    assert joining.notices() == []


def test_a_missing_pool_is_named_and_a_run_that_waits_begins_when_the_other_has_ended(
    trio: tuple[Run, Run, Run],
) -> None:
    first, _, waiting = trio
    assert (first.ended(), waiting.ended()) == ("success", "success")
    said = f"waits for its turn: 1 export is before it, and job {first.job().id} of the same project"
    assert said in waiting.log(CREATE)
    assert waiting.job().id > first.job().id
    assert {run.job().state for run in (first, waiting)} == {"finished"}


def test_each_job_is_told_once(trio: tuple[Run, Run, Run]) -> None:
    first, _, waiting = trio
    for run in (first, waiting):
        assert run.ended() == "success"
        (notice,) = run.notices()
        job = run.job()
        assert (notice["subject"], notice["outcome"]) == ("Project was exported", "finished")
        assert notice["archive"]["uri"] == job.archive_uri
        assert str(job.archive_uri) in notice["text"]


def test_an_upload_sends_the_archive_and_no_notice_and_leaves_no_secret(stage: Stage, uploaded: Run) -> None:
    assert uploaded.ended() == "success"
    (request,) = [one for one in stage.receiver.received if one.target.startswith("/upload")]
    job = uploaded.job()
    assert (request.method, request.target) == ("PUT", "/upload?sig=s3cret")
    assert hashlib.sha256(request.body).hexdigest() == job.archive_sha256
    assert (job.state, uploaded.notices()) == ("finished", [])
    texts = "".join(uploaded.log(task) for task in (CREATE, MERGE, AFTER)) + str(job)
    assert not any(secret in texts for secret in ("pa55", "s3cret"))


def test_an_upload_that_cannot_be_is_refused_before_the_export(refused: Run) -> None:
    assert refused.ended() == "failed"
    assert "ftp://127.0.0.1:9/upload is not a URL to send to" in refused.log(CREATE)
    assert refused.notices() == []


def test_each_archive_is_an_event_of_the_asset(stage: Stage, uploaded: Run, trio: tuple[Run, Run, Run]) -> None:
    events = stage.rest.call("GET", f"/assets/events?source_dag_id={DAG_ID}&limit=100")["asset_events"]
    by_run = {(event["source_run_id"], event["name"]): event for event in events}
    job = uploaded.job()
    keyed = by_run[uploaded.id, "project_export_project_archive"]
    plain = by_run[uploaded.id, "project_export_archive"]
    assert (plain["partition_key"], keyed["partition_key"]) == (None, f"{SOURCE_ID}/2")
    assert keyed["extra"] == plain["extra"]
    assert plain["extra"] == {
        "source": SOURCE_ID,
        "job_id": job.id,
        "manifest": str(job.archive_uri).replace("project.tar.gz", "project.manifest.json"),
        "partial": True,
        "mode": "full",
        "window_start": None,
        "window_end": None,
        "omissions": list(Manifest.from_json(uploaded.archive().with_name(MANIFEST).read_bytes()).omissions),
        "remarks": [],
        "uri": job.archive_uri,
        "bytes": job.archive_bytes,
        "sha256": job.archive_sha256,
        "records": job.records,
        "project_id": 2,
    }
    assert trio[1].id not in {run for run, _ in by_run}


def test_retention_runs_as_a_dag(stage: Stage, trio: tuple[Run, Run, Run]) -> None:
    first, _, waiting = trio
    assert waiting.ended() == "success"
    until(lambda: not stage.rest.unfinished_runs(PRUNE))  # in the first minutes of an hour the schedule makes one
    with psycopg.connect(stage.ledger_uri) as connection:
        connection.execute(
            "UPDATE project_export_job SET finished_at = finished_at - interval '25 hours' WHERE id = %s",
            [first.job().id],
        )
    with paused(stage, "watch_exports"):  # it also cancels jobs whose run is gone
        gone = stage.ledger.jobs.open(first_request(first), [])
        archive = first.archive()
        assert prune(stage, dry_run=True) == (1, 1)
        assert archive.exists()
        assert stage.ledger.queries.job(gone.id).state == "started"
        assert prune(stage, dry_run=False) == (1, 1)
    assert not archive.exists()
    assert waiting.archive().exists()
    assert stage.ledger.queries.job(gone.id).state == "failed"


@contextmanager
def paused(stage: Stage, dag_id: str) -> Iterator[None]:
    """Keep Airflow from starting a DAG by its schedule."""
    stage.rest.call("PATCH", f"/dags/{dag_id}", {"is_paused": True})
    try:
        until(lambda: not stage.rest.unfinished_runs(dag_id))
        yield
    finally:
        stage.rest.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})


@contextmanager
def without_pool(stage: Stage) -> Iterator[None]:
    """Take the pool away for a while."""
    slots = stage.rest.call("GET", f"/pools/{POOL}")["slots"]
    with suppress(JSONDecodeError):  # the answer is empty
        stage.rest.call("DELETE", f"/pools/{POOL}")
    try:
        yield
    finally:
        stage.rest.make_pool(POOL, slots, "made again")


def an_hour_passes(stage: Stage) -> None:
    """Let all that the ledger knows have happened an hour ago."""
    with psycopg.connect(stage.ledger_uri) as connection:
        connection.execute("UPDATE relation_export SET queued_at = queued_at - interval '1 hour'")
        connection.execute(
            "UPDATE project_export_job SET updated_at = updated_at - interval '1 hour',"
            " finished_at = finished_at - interval '1 hour'"
        )


def prune(stage: Stage, *, dry_run: bool) -> tuple[int, int]:
    """Run the retention's DAG and return the numbers of cancelled jobs and of archives."""
    run_id = stage.rest.trigger(PRUNE, {"dry_run": dry_run})
    assert stage.rest.wait_for_run(PRUNE, run_id, 60) == "success"
    where = f"/dags/{PRUNE}/dagRuns/{run_id}/taskInstances/{PRUNE}/xcomEntries/return_value"
    pruned = stage.rest.call("GET", where)["value"]
    return pruned["cancelled"], pruned["archives"]


def first_request(run: Run) -> Any:
    """Return the request of a job of another project, whose run Airflow does not know."""
    from project_export.ledger import JobRequest

    job = run.job()
    return JobRequest(job.source, job.tree, 4711, f"{DAG_ID}/deleted", "jane")
