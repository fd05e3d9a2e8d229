"""One active job per project: who is refused, who joins, whose job is taken over, and who hears of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from project_export.errors import BadRequest, JobActive, ProjectExportError, StoreRefused
from project_export.ledger import Job
from project_export.request import Request
from project_export.steps import Context, Created, Notice, create
from project_export.store import open_store
from tests import runs


class Told:
    """A channel that keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def __call__(self, notice: Notice) -> None:
        self.notices.append(notice)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path, told: Told) -> Context:
    ctx = runs.context(generated, ledger_dsn, tmp_path / "store")
    return Context(ctx.settings, ctx.ledger, ctx.source, ctx.connect, {"told": told})


def trigger(ctx: Context, run_id: str, *, alive: bool = True, **request: object) -> Created:
    params = {"project_id": 1, "relations": ["labels"], **request}
    wanted = Request.from_params(params, ctx.tree)
    return create(ctx, wanted, run_id=run_id, requested_by="jane", run_alive=lambda _: alive)


def test_fifty_triggers_at_once_give_one_running_job(ctx: Context, told: Told) -> None:
    together = threading.Barrier(50)

    def run(number: int) -> Created | ProjectExportError:
        together.wait(60)
        try:
            return trigger(ctx, f"dag/run-{number}")
        except JobActive as error:
            return error

    with ThreadPoolExecutor(50) as threads:
        ended = list(threads.map(run, range(50)))
    (created,) = [one for one in ended if isinstance(one, Created)]
    (job,) = ctx.ledger.retention.active_jobs()
    assert job.id == created.job_id
    refused = {str(error) for error in ended if isinstance(error, JobActive)}
    assert len(refused) == 1
    assert f"is being exported by job {job.id}: run {job.run_id}" in refused.pop()
    assert (ctx.ledger.retention.ended_jobs(), told.notices) == ([], [])


def test_fifty_who_would_join_all_get_the_one_job(ctx: Context, told: Told) -> None:
    together = threading.Barrier(50)

    def run(number: int) -> Created:
        together.wait(60)
        return trigger(ctx, f"dag/run-{number}", if_running="join")

    with ThreadPoolExecutor(50) as threads:
        ended = list(threads.map(run, range(50)))
    assert len({one.job_id for one in ended}) == 1
    assert sorted(one.joined for one in ended) == [False] + [True] * 49
    assert all(one.titles == () for one in ended if one.joined)
    assert (len(ctx.ledger.retention.active_jobs()), told.notices) == (1, [])


def test_a_refused_run_does_not_touch_the_source(ctx: Context) -> None:
    trigger(ctx, "dag/first")
    with pytest.raises(JobActive, match="run dag/first"):
        trigger(Context(ctx.settings, ctx.ledger, ctx.source, no_source), "dag/second", if_running="wait")


def test_a_run_whose_create_is_repeated_gets_its_own_job_again(ctx: Context) -> None:
    first = trigger(ctx, "dag/first")
    assert trigger(ctx, "dag/first") == first


def test_twins_of_a_create_get_the_same_job(ctx: Context) -> None:
    together = threading.Barrier(4)

    def run(_: int) -> Created:
        together.wait(30)
        return trigger(ctx, "dag/first")

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(run, range(4)))
    assert len(set(ended)) == 1
    assert len(ctx.ledger.retention.active_jobs()) == 1


def test_other_projects_run_side_by_side(ctx: Context) -> None:
    assert trigger(ctx, "dag/first").job_id != trigger(ctx, "dag/second", project_id=2).job_id
    assert len(ctx.ledger.retention.active_jobs()) == 2


@pytest.mark.parametrize("if_running", ["fail", "join", "wait"])
def test_a_job_whose_run_is_gone_is_taken_over_and_told_as_cancelled(ctx: Context, told: Told, if_running: str) -> None:
    gone = trigger(ctx, "dag/gone")
    created = trigger(ctx, "dag/new", alive=False, if_running=if_running)
    assert (created.joined, created.job_id != gone.job_id) == (False, True)
    assert ctx.ledger.queries.job(gone.job_id).state == "failed"
    (notice,) = told.notices
    assert (notice.outcome, notice.facts["job_id"]) == ("cancelled", gone.job_id)
    assert notice.facts["errors"] == ["run dag/gone was cancelled or is gone"]


def test_two_who_take_over_the_same_job_tell_of_it_once(ctx: Context, told: Told) -> None:
    gone = trigger(ctx, "dag/gone")
    together = threading.Barrier(2)

    def run(number: int) -> Created | JobActive:
        together.wait(30)
        wanted = Request.from_params({"project_id": 1, "relations": ["labels"]}, ctx.tree)
        try:
            return create(
                ctx, wanted, run_id=f"dag/{number}", requested_by="jane", run_alive=lambda name: name != "dag/gone"
            )
        except JobActive as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(run, range(2)))
    assert sorted(type(one).__name__ for one in ended) == ["Created", "JobActive"]
    assert [notice.facts["job_id"] for notice in told.notices] == [gone.job_id]


def test_too_little_space_is_refused_before_the_export(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    set_free(monkeypatch, 10)
    with pytest.raises(StoreRefused, match=r"has 10 bytes free; the archive may need \d+, and its parts as much"):
        trigger(ctx, "dag/first")
    assert ctx.ledger.retention.active_jobs() == []


def test_twice_the_last_archive_has_to_be_free(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    last = trigger(ctx, "dag/first", relations=[])
    ctx.ledger.jobs.finish(last.job_id, "file:///a", 10**12, "ab" * 32, 1)
    set_free(monkeypatch, 2 * 10**12 - 1)
    with pytest.raises(StoreRefused, match="the archive may need 1000000000000"):
        trigger(ctx, "dag/second", relations=[])
    set_free(monkeypatch, 2 * 10**12)
    trigger(ctx, "dag/second", relations=[])


def test_some_relations_are_not_measured_by_the_whole_archive(ctx: Context) -> None:
    last = trigger(ctx, "dag/first", relations=[])
    ctx.ledger.jobs.finish(last.job_id, "file:///a", 10**18, "ab" * 32, 1)
    trigger(ctx, "dag/second", relations=["labels"])


def test_a_store_that_does_not_say_how_much_is_free_is_taken(ctx: Context) -> None:
    settings = ctx.settings.model_copy(update={"store": "memory://exports"})
    assert open_store(settings.store).free_bytes() is None
    trigger(Context(settings, ctx.ledger, ctx.source, ctx.connect), "dag/first")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"if_running": "maybe"}, "if_running must be one of fail, join, wait; got 'maybe'"),
        ({"after_export": "mail"}, "after_export must be one of notify, none, upload; got 'mail'"),
        ({"after_export": "upload"}, "needs an upload_url"),
        ({"upload_url": "https://files.example/"}, "is for after_export=upload only"),
        ({"after_export": "upload", "upload_url": "file:///etc/passwd"}, "is not a URL to send to"),
        ({"after_export": "upload", "upload_url": 7}, "upload_url must be a string"),
        (
            {"after_export": "upload", "upload_url": "https://files.example/", "upload_http_method": "DELETE"},
            "must be one of PUT, POST",
        ),
        ({"after_export": "upload", "upload_url": "http://169.254.169.254/latest"}, "not a public address"),
        ({"if_runing": "fail"}, "nearest: if_running"),
    ],
)
def test_what_cannot_be_is_refused_before_a_job_exists(ctx: Context, params: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        trigger(ctx, "dag/first", **params)
    assert ctx.ledger.retention.active_jobs() == []


def test_the_ledger_keeps_no_secret_of_an_upload_url(ctx: Context) -> None:
    settings = ctx.settings.model_copy(update={"upload_allow_private": True})
    url = "http://jane:pa55@127.0.0.1:9/up?X-Amz-Signature=s3cret"
    ctx = Context(settings, ctx.ledger, ctx.source, ctx.connect)
    created = trigger(ctx, "dag/first", after_export="upload", upload_url=url)
    job: Job = ctx.ledger.queries.job(created.job_id)
    assert job.params["upload_url"] == "http://127.0.0.1:9/up"
    assert "pa55" not in str(job) + repr(Request(1, upload_url=url))


def no_source() -> None:
    raise AssertionError("the source was asked")


def set_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
