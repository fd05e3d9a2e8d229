"""A job is queued before its run exists: who adopts it, who cancels it, and how it ends if its run never starts it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import BadRequest, JobActive, LedgerOutdated, ProjectNotFound, SettingMissing, SourceBusy
from project_export.ledger import Job, Ledger, make_engine
from project_export.request import Request
from project_export.steps import (
    Context,
    Created,
    Notice,
    conclude,
    create,
    prune,
    refuse,
    request_export,
)
from project_export.steps.active import living_job
from tests import runs

MODULE = importlib.import_module("project_export.steps.create")  # the package has a function of this name
LABELS = {"project_id": 1, "relations": ["labels"]}


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path, told: list[Notice]) -> Context:
    return replace(runs.context(generated, ledger_dsn, tmp_path / "store", units=1), channels={"told": told.append})


def requested(ctx: Context, run_id: str = runs.RUN, *, alive: bool = True, **params: Any) -> Job:
    request = Request.from_params({**LABELS, **params}, ctx.tree)
    return request_export(ctx, request, run_id=run_id, requested_by="jane", run_alive=lambda _: alive)


def created(
    ctx: Context,
    run_id: str = runs.RUN,
    *,
    run_alive: Callable[[str], bool] = lambda _: True,
    last_try: bool = False,
    followed: bool = True,
    **params: Any,
) -> Created:
    """Let the first task of a run do its work."""
    request = Request.from_params({**LABELS, **params}, ctx.tree)
    return create(
        ctx,
        request,
        run_id=run_id,
        requested_by="jane",
        run_alive=run_alive,
        last_try=last_try,
        followed=followed,
        watched=True,
    )


def waited(ledger_dsn: str, seconds: float) -> None:
    """Let all jobs have been queued a number of seconds earlier."""
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute("UPDATE project_export_job SET created_at = created_at - make_interval(secs => %s)", [seconds])


def state(ctx: Context, job: Job) -> str:
    return ctx.ledger.queries.job(job.id).state


# The request


def test_a_request_queues_a_job_with_what_was_asked(ctx: Context) -> None:
    job = requested(ctx, description="before the move")
    assert (job.state, job.run_id, job.requested_by, job.project_id) == ("queued", runs.RUN, "jane", 1)
    assert (job.source, job.tree, job.consistency, job.plan) == ("source", "gitlab", "project", {"project": ""})
    assert (job.params["relations"], job.params["description"]) == (["labels"], "before the move")
    assert ctx.ledger.queries.job(job.id) == job


def test_a_request_needs_neither_the_source_nor_the_store(ctx: Context, tmp_path: Path) -> None:
    settings = ctx.settings.model_copy(update={"store": "s3://nowhere"})
    assert requested(Context(settings, ctx.ledger, ctx.source, no_source)).state == "queued"


def test_a_request_that_cannot_be_fulfilled_queues_nothing(ctx: Context, database: str) -> None:
    with pytest.raises(SettingMissing, match="PROJECT_EXPORT_GITLAB_VERSION"):
        requested(replace(ctx, settings=ctx.settings.model_copy(update={"gitlab_version": ""})))
    engine = make_engine(database)
    with pytest.raises(LedgerOutdated):
        requested(replace(ctx, ledger=Ledger(engine)))
    engine.dispose()
    with pytest.raises(BadRequest, match="not a public address"):
        requested(ctx, after_export="upload", upload_url="http://169.254.169.254/latest")
    assert ctx.ledger.queries.jobs() == []


def test_no_secret_of_an_upload_url_is_queued(ctx: Context) -> None:
    private = replace(ctx, settings=ctx.settings.model_copy(update={"upload_allow_private": True}))
    url = "http://jane:pa55@127.0.0.1:9/up?X-Amz-Signature=s3cret"
    job = requested(private, after_export="upload", upload_url=url)
    assert job.params["upload_url"] == "http://127.0.0.1:9/up"
    assert "s3cret" not in str(job)


@pytest.mark.parametrize("if_running", ["fail", "join", "wait"])
def test_a_request_for_a_project_that_is_being_exported_is_refused(ctx: Context, if_running: str) -> None:
    job = requested(ctx)
    with pytest.raises(JobActive, match=rf"job {job.id}: run dag/run, queued since .* by jane"):
        requested(ctx, "dag/other", if_running=if_running)
    created(ctx)
    with pytest.raises(JobActive, match=rf"job {job.id}: run dag/run, started since .* by jane"):
        requested(ctx, "dag/other", if_running=if_running)
    assert requested(ctx, "dag/other", project_id=2).state == "queued"


def test_of_many_requests_at_once_one_succeeds_and_names_itself_to_the_others(ctx: Context, told: list[Notice]) -> None:
    together = threading.Barrier(16)

    def run(number: int) -> Job | str:
        together.wait(60)
        try:
            return requested(ctx, f"dag/run-{number}", alive=False)
        except JobActive as error:
            return str(error)

    with ThreadPoolExecutor(16) as threads:
        ended = list(threads.map(run, range(16)))
    (job,) = [one for one in ended if isinstance(one, Job)]
    assert all(f"by job {job.id}: run {job.run_id}" in one for one in ended if isinstance(one, str))
    assert (ctx.ledger.retention.active_jobs(), told) == ([job], [])


def test_a_started_job_whose_run_is_gone_makes_room_for_a_request(ctx: Context, told: list[Notice]) -> None:
    gone = created(ctx, "dag/gone")
    job = requested(ctx, alive=False)
    assert (job.state, ctx.ledger.queries.job(gone.job_id).outcome) == ("queued", "cancelled")
    assert [(notice.outcome, notice.facts["job_id"]) for notice in told] == [("cancelled", gone.job_id)]


# Between the job and its run


@pytest.mark.parametrize(("seconds", "alive"), [(0, False), (50, False), (61, True)])
def test_a_queued_job_lives_for_a_minute_and_then_as_long_as_its_run(
    ctx: Context, ledger_dsn: str, seconds: float, alive: bool
) -> None:
    job = requested(ctx)
    waited(ledger_dsn, seconds)
    assert prune(ctx, lambda _: alive).cancelled == 0
    assert living_job(ctx, 1, lambda _: alive) == ctx.ledger.queries.job(job.id)
    assert state(ctx, job) == "queued"
    with pytest.raises(JobActive):
        created(ctx, "dag/other", run_alive=lambda _: alive)


def test_the_run_of_a_young_job_is_not_asked_for(ctx: Context) -> None:
    requested(ctx)

    def asked(name: str) -> bool:
        raise AssertionError(f"{name} may not exist yet")

    assert prune(ctx, asked).cancelled == 0
    with pytest.raises(JobActive):
        created(ctx, "dag/other", run_alive=asked)


def test_prune_cancels_a_job_whose_run_was_never_triggered(ctx: Context, ledger_dsn: str, told: list[Notice]) -> None:
    job = requested(ctx)
    waited(ledger_dsn, 61)
    assert prune(ctx, lambda _: False, dry_run=True).cancelled == 1
    assert state(ctx, job) == "queued"
    assert prune(ctx, lambda _: False).cancelled == 1
    ended = ctx.ledger.queries.job(job.id)
    assert (ended.state, ended.outcome, ended.errors[0].message) == (
        "failed",
        "cancelled",
        "run dag/run was cancelled or is gone",
    )
    assert [(notice.outcome, notice.facts["job_id"]) for notice in told] == [("cancelled", job.id)]


def test_another_run_replaces_a_job_whose_run_was_never_triggered(ctx: Context, ledger_dsn: str) -> None:
    job = requested(ctx)
    waited(ledger_dsn, 61)
    other = created(ctx, "dag/other", run_alive=lambda name: name != runs.RUN)
    assert (state(ctx, job), ctx.ledger.queries.job(other.job_id).state) == ("failed", "started")


def test_a_job_that_never_started_is_pruned_like_any_other(ctx: Context, ledger_dsn: str) -> None:
    job = requested(ctx)
    refuse(ctx, job.id, "no")
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute("UPDATE project_export_job SET finished_at = now() - interval '8 days'")
    assert prune(ctx, lambda _: True).jobs == 1
    assert ctx.ledger.queries.jobs() == []


# The trigger fails


def test_a_job_whose_trigger_failed_fails_with_the_reason_and_is_reported_once(
    ctx: Context, told: list[Notice]
) -> None:
    job = requested(ctx)
    assert [refuse(ctx, job.id, "Airflow refused to start the run: 403") for _ in range(2)] == [True, False]
    ended = ctx.ledger.queries.job(job.id)
    assert (ended.state, ended.outcome, ended.errors[0].code) == ("failed", "failed", "NotStarted")
    assert ended.errors[0].message == "Airflow refused to start the run: 403"
    prune(ctx, lambda _: True)
    assert [(notice.outcome, notice.facts["errors"]) for notice in told] == [("failed", [ended.errors[0].message])]
    assert requested(ctx, "dag/other").state == "queued"


def test_a_job_that_its_run_has_started_after_all_is_not_refused(ctx: Context, told: list[Notice]) -> None:
    job = requested(ctx)
    created(ctx)
    assert refuse(ctx, job.id, "no answer") is False
    assert (state(ctx, job), told) == ("started", [])


def test_a_run_that_exists_although_its_trigger_seemed_to_fail_is_exported(ctx: Context, told: list[Notice]) -> None:
    job = requested(ctx)
    refuse(ctx, job.id, "no answer")
    assert created(ctx).job_id == job.id
    assert (state(ctx, job), ctx.ledger.queries.job(job.id).errors) == ("started", ())


# Its run adopts it


def test_create_starts_the_job_that_was_queued_for_its_run(ctx: Context) -> None:
    job = requested(ctx)
    begun = created(ctx, consistency="relation", description="asked by the run")
    adopted = ctx.ledger.queries.job(job.id)
    assert (begun.job_id, begun.joined) == (job.id, False)
    assert (adopted.state, adopted.created_at, adopted.requested_by) == ("started", job.created_at, "jane")
    assert (adopted.consistency, adopted.params["description"]) == ("relation", "asked by the run")
    assert (list(adopted.plan["titles"]), adopted.grace_seconds) == (list(begun.titles), 900)
    assert {row.relation for row in ctx.ledger.queries.rows(job.id)} == {"project", "labels"}
    assert runs.work(ctx, begun) == []
    assert runs.merge(ctx, begun).records > 0


def test_create_adopts_a_job_that_has_waited_for_long(ctx: Context, ledger_dsn: str) -> None:
    job = requested(ctx)
    waited(ledger_dsn, 3600)
    assert created(ctx, run_alive=lambda _: False).job_id == job.id
    assert state(ctx, job) == "started"


def test_a_repeated_create_finds_the_job_that_it_started(ctx: Context) -> None:
    requested(ctx)
    first = created(ctx)
    rows = ctx.ledger.queries.rows(first.job_id)
    assert created(ctx) == first
    assert ctx.ledger.queries.rows(first.job_id) == rows


def test_twins_of_a_create_start_the_job_once(ctx: Context) -> None:
    job = requested(ctx)
    together = threading.Barrier(4)

    def run(_: int) -> Created:
        together.wait(60)
        return created(ctx)

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(run, range(4)))
    assert {one.job_id for one in ended} == {job.id}
    assert len(set(ended)) == 1
    assert len(ctx.ledger.queries.rows(job.id)) == 2


@pytest.mark.parametrize("start", [False, True])
def test_a_run_does_not_adopt_a_job_of_another_project(ctx: Context, start: bool) -> None:
    job = requested(ctx)
    if start:
        created(ctx)
    message = r"of this run exports project 1 of source .*, but the run asks for project 2 of source"
    with pytest.raises(BadRequest, match=message):
        created(ctx, project_id=2)
    assert ctx.ledger.queries.active_job("source", "gitlab", 2) is None
    # A job that has started is not this create's to end: its run's other tasks work on it.
    assert state(ctx, job) == ("started" if start else "failed")


def test_a_run_does_not_adopt_a_job_of_another_source(ctx: Context) -> None:
    job = requested(replace(ctx, source="elsewhere"))
    with pytest.raises(
        BadRequest, match=r"exports project 1 of elsewhere .*, but the run asks for project 1 of source"
    ):
        created(ctx)
    assert state(ctx, job) == "failed"


def test_other_runs_join_a_queued_job(ctx: Context) -> None:
    job = requested(ctx)
    assert created(ctx, "dag/other", if_running="join") == Created(job.id, (), joined=True)


# Create fails


def test_a_create_that_fails_for_good_ends_its_job_with_the_reason(ctx: Context, told: list[Notice]) -> None:
    job = requested(ctx, project_id=4711)
    with pytest.raises(ProjectNotFound) as caught:
        created(ctx, project_id=4711)
    ended = ctx.ledger.queries.job(job.id)
    assert [(error.message, error.code) for error in ended.errors] == [(str(caught.value), "ProjectNotFound")]
    assert (ended.state, ended.outcome, ended.plan) == ("failed", "failed", {"project": ""})
    assert conclude(ctx, runs.RUN, "the reason that the task gave") == ended
    assert [(notice.outcome, notice.facts["errors"]) for notice in told] == [("failed", [str(caught.value)])]


def test_a_create_that_can_be_tried_again_keeps_its_job_queued_until_its_last_try(
    ctx: Context, told: list[Notice]
) -> None:
    job = requested(ctx)
    down = replace(ctx, connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    with pytest.raises(SourceBusy):
        created(down)
    assert (state(ctx, job), told) == ("queued", [])
    with pytest.raises(SourceBusy):
        created(down, last_try=True)
    assert (state(ctx, job), len(told)) == ("failed", 1)


def test_a_create_that_cannot_even_be_set_up_ends_its_job(ctx: Context) -> None:
    job = requested(ctx)
    with pytest.raises(SettingMissing):
        created(replace(ctx, settings=ctx.settings.model_copy(update={"gitlab_version": ""})))
    assert state(ctx, job) == "failed"


def test_an_unforeseen_error_of_the_last_try_ends_the_job(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    job = requested(ctx)
    monkeypatch.setattr(MODULE, "plan_export", lambda *_, **__: 1 / 0)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        created(ctx, last_try=True)
    assert (state(ctx, job), ctx.ledger.queries.job(job.id).errors[0].code) == ("failed", "Unforeseen")


def test_a_create_that_dies_without_a_word_leaves_the_end_to_the_last_task(ctx: Context, told: list[Notice]) -> None:
    job = requested(ctx)
    ended = conclude(ctx, runs.RUN, "none has ended the job")
    assert ended is not None
    assert (ended.id, ended.state, ended.errors[0].message) == (job.id, "failed", "none has ended the job")
    assert len(told) == 1


def test_a_failing_twin_does_not_end_a_job_that_was_started(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    job = requested(ctx)

    def started_meanwhile(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        created(ctx)
        raise ProjectNotFound("the twin is confused")

    monkeypatch.setattr(MODULE, "plan_export", started_meanwhile)
    with pytest.raises(ProjectNotFound):
        created(ctx, last_try=True)
    assert state(ctx, job) == "started"


# The run is cleared


def test_a_cleared_run_whose_create_had_failed_starts_its_job(ctx: Context, told: list[Notice]) -> None:
    job = requested(ctx)
    down = replace(ctx, connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    for reports in (1, 2):
        with pytest.raises(SourceBusy):
            created(down, last_try=True)
        assert (state(ctx, job), len(told)) == ("failed", reports)
    begun = created(ctx)
    assert (begun.job_id, state(ctx, job)) == (job.id, "started")
    assert runs.work(ctx, begun) == []
    assert runs.merge(ctx, begun).records > 0


def test_a_cleared_run_whose_create_had_failed_gives_way_to_another_job(ctx: Context) -> None:
    job = requested(ctx)
    refuse(ctx, job.id, "no")
    other = created(ctx, "dag/other")
    with pytest.raises(JobActive, match=f"by job {other.job_id}"):
        created(ctx)
    assert created(ctx, if_running="join").job_id == other.job_id
    assert state(ctx, job) == "failed"


def test_of_a_cleared_run_and_another_at_once_one_is_exported(ctx: Context) -> None:
    job = requested(ctx)
    refuse(ctx, job.id, "no")
    together = threading.Barrier(2)

    def run(run_id: str) -> int | None:
        together.wait(60)
        try:
            return created(ctx, run_id).job_id
        except JobActive:
            return None

    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(run, (runs.RUN, "dag/other")))
    (active,) = ctx.ledger.retention.active_jobs()
    assert [one for one in ended if one is not None] == [active.id]


def test_a_cleared_run_that_had_adopted_its_job_exports_what_is_missing(ctx: Context) -> None:
    job = requested(ctx, consistency="relation")
    begun = created(ctx, consistency="relation")
    claim = ctx.ledger.claims.claim(job.id, 0, "dag/run/0/1")
    assert claim is not None
    ctx.ledger.claims.fail_attempt(claim, "no", final=True)
    assert runs.work(ctx, begun) == []
    ctx.ledger.jobs.fail(job.id, [])
    assert created(ctx, consistency="relation") == begun
    assert sorted(row.state for row in ctx.ledger.queries.rows(job.id)) == ["finished", "queued"]


def test_where_nothing_follows_a_job_that_never_started_stays_as_it_is(ctx: Context) -> None:
    job = requested(ctx)
    refuse(ctx, job.id, "no")
    with pytest.raises(Exception, match="nothing would work on it"):
        created(ctx, followed=False)
    assert state(ctx, job) == "failed"


def no_source() -> Any:
    raise AssertionError("the source was asked")
