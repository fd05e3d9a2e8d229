"""What nobody foresaw ends a job as any failure does: with that error, told once, after so many attempts, not more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from project_export.archive.part import PartWriter
from project_export.errors import (
    MoveRefused,
    ProjectExportError,
    RelationsFailed,
    StoreRefused,
    StoreUnusable,
    Unforeseen,
)
from project_export.ledger import Job, Jobs
from project_export.source import Chunk, Reader
from project_export.steps import Context, Created, Notice, after, after_export, watch
from project_export.steps import work as working
from project_export.store import LocalStore
from tests import flaky, runs
from tests.receiver import receiving

RELATIONS = ("labels", "milestones")
Make = Callable[..., Context]


@pytest.fixture
def notices() -> list[Notice]:
    return []


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path, notices: list[Notice]) -> Make:
    def make(**settings: Any) -> Context:
        defaults = {"units": 1, "max_attempts": 2, "upload_allow_private": True}
        ctx = runs.context(generated, ledger_dsn, tmp_path, **{**defaults, **settings})
        return replace(ctx, channels={"kept": notices.append})

    return make


@pytest.fixture
def ctx(make: Make) -> Context:
    return make()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no row wait for its next try."""
    monkeypatch.setattr(working, "_MOST_DELAY_SECONDS", 0)


@pytest.fixture
def remote(make: Make) -> Iterator[Context]:
    with flaky.empty() as uri:
        yield make(store=uri)


def break_reading(monkeypatch: pytest.MonkeyPatch, error: BaseException, relation: str = "labels") -> None:
    real = Reader.read

    def read(reader: Reader, name: str, *arguments: Any) -> Iterator[Chunk]:
        if name == relation:
            raise error
        return real(reader, name, *arguments)

    monkeypatch.setattr(Reader, "read", read)


def job(ctx: Context, created: Created) -> Job:
    return ctx.ledger.queries.job(created.job_id)


def attempts(ctx: Context, created: Created) -> dict[str, int]:
    return {row.relation: row.attempt for row in ctx.ledger.queries.rows(created.job_id)}


@pytest.mark.usefixtures("hasty")
def test_a_relation_fails_by_what_nobody_foresaw_and_costs_nothing_but_itself(
    ctx: Context, notices: list[Notice], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    created = runs.started(ctx, *RELATIONS)
    with monkeypatch.context() as broken:
        break_reading(broken, RuntimeError("boom"))
        (error,) = runs.work(ctx, created)
        assert "labels: RuntimeError: boom. The log of this task has the traceback" in str(error)
        with pytest.raises(RelationsFailed, match=r"labels \(attempt 2\): RuntimeError: boom"):
            runs.merge(ctx, created, last_try=False)
    assert "Traceback" in caplog.text
    assert {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)} == {
        "project": "finished",
        "labels": "failed",
        "milestones": "finished",
    }
    assert job(ctx, created).state == "failed"
    assert [notice.outcome for notice in notices] == ["failed"]
    assert "RuntimeError: boom" in notices[0].text

    runs.merge(ctx, created, attempt=2)
    assert job(ctx, created).state == "finished"


@pytest.mark.usefixtures("hasty")
def test_no_relation_is_tried_more_often_than_allowed_until_its_job_is_opened_again(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = runs.started(ctx, *RELATIONS, consistency="relation")
    with monkeypatch.context() as broken:
        break_reading(broken, flaky.EndpointConnectionError())
        for opening in (1, 2):
            for number in range(1, 5):
                runs.work(ctx, created, attempt=number)
            with pytest.raises(RelationsFailed):
                runs.merge(ctx, created)
            assert attempts(ctx, created) == {"project": 1, "labels": 2 * opening, "milestones": 1}
            ctx.ledger.claims.requeue(
                {row.id: row.attempt for row in ctx.ledger.queries.rows(created.job_id) if row.state == "failed"},
                "cleared",
            )
            ctx.ledger.jobs.reopen(created.job_id)


@pytest.mark.usefixtures("hasty")
def test_an_attempt_that_was_given_back_in_another_opening_does_not_count(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = runs.started(ctx, *RELATIONS)
    claim = ctx.ledger.claims.claim(created.job_id, 0, "somebody")
    assert claim is not None
    ctx.ledger.claims.fail_attempt(claim, "no luck", final=False)
    ctx.ledger.jobs.fail(created.job_id, [])
    with monkeypatch.context() as broken:
        break_reading(broken, RuntimeError("boom"), claim.relation)
        runs.work(ctx, created)
    assert attempts(ctx, created)[claim.relation] == 3


def test_a_death_counts_as_an_attempt(make: Make) -> None:
    ctx = make(max_attempts=1)
    created = runs.started(ctx, *RELATIONS)
    claim = ctx.ledger.claims.claim(created.job_id, 0, f"{runs.RUN}/0/1 elsewhere:1:1")
    assert claim is not None
    watch(ctx, created.job_id, {0: "failed"})
    (row,) = (row for row in ctx.ledger.queries.rows(created.job_id) if row.id == claim.row_id)
    assert (row.state, row.attempt) == ("failed", 1)
    assert "this was the last of 1 attempt(s)" in str(row.error)


@pytest.mark.usefixtures("hasty")
def test_a_part_that_never_is_what_was_written_is_given_up(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    created = runs.started(ctx, *RELATIONS)
    finish = PartWriter.finish
    monkeypatch.setattr(PartWriter, "finish", lambda writer: replace(finish(writer), stored_crc32=0))
    assert runs.work(ctx, created) == []
    with pytest.raises(RelationsFailed, match="is not what was written"):
        runs.merge(ctx, created)
    assert max(attempts(ctx, created).values()) == 2
    assert job(ctx, created).state == "failed"


def test_what_is_not_an_error_costs_no_attempt(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    created = runs.started(ctx, *RELATIONS)
    with monkeypatch.context() as broken:
        break_reading(broken, SystemExit())
        with pytest.raises(SystemExit):
            runs.worker(ctx, created).run()
    (row,) = (row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "labels")
    assert (row.state, row.failed_attempts, row.error) == ("queued", 0, "interrupted by SystemExit")


def test_what_nobody_foresaw_in_the_merge_ends_the_job_in_its_last_try(
    ctx: Context, notices: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    created = runs.started(ctx, *RELATIONS)
    assert runs.work(ctx, created) == []
    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "assemble", raising(RuntimeError("boom")))
        for number, last in enumerate((False, True), start=1):
            with pytest.raises(Unforeseen, match="RuntimeError: boom"):
                runs.merge(ctx, created, attempt=number, last_try=last)
            assert job(ctx, created).state == ("failed" if last else "started")
            assert len(notices) == last
    assert "RuntimeError: boom" in str(job(ctx, created).errors[0])
    runs.merge(ctx, created, attempt=3)
    assert set(attempts(ctx, created).values()) == {1}


@pytest.mark.parametrize("asked", ["upload", "notify"])
def test_what_nobody_foresaw_after_the_export_ends_an_upload_and_leaves_a_finished_export(
    ctx: Context, notices: list[Notice], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    with receiving() as receiver:
        url = f"{receiver.url}/upload"
        created = runs.started(ctx, *RELATIONS, after_export=asked, upload_url=url if asked == "upload" else None)
        assert runs.work(ctx, created) == []
        runs.merge(ctx, created)
        with monkeypatch.context() as broken:
            broken.setattr(after, "upload", raising(RuntimeError("boom")))
            broken.setattr(after, "notify", raising(RuntimeError("boom")))
            for last in (False, True):
                with pytest.raises(Unforeseen, match="RuntimeError: boom"):
                    after_export(ctx, created.job_id, upload_url=url, last_try=last)
        ended = job(ctx, created)
        if asked == "upload":
            assert (ended.state, len(notices)) == ("failed", 1)
            assert ended.errors[0].message.startswith("The upload failed. RuntimeError: boom")
        else:
            assert (ended.state, len(notices)) == ("finished", 0)
        after_export(ctx, created.job_id, upload_url=url, last_try=True)
    assert job(ctx, created).state == "finished"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("error", "kind", "tries"),
    [(flaky.EndpointConnectionError(), StoreRefused, 2), (ImportError("Install s3fs"), StoreUnusable, 1)],
)
def test_a_store_that_refuses_ends_the_job_with_that_error_and_a_clear_exports_what_is_missing(
    remote: Context, notices: list[Notice], error: Exception, kind: type[ProjectExportError], tries: int
) -> None:
    created = runs.started(remote, *RELATIONS)
    with flaky.refusing("write", error=error):
        assert runs.work(remote, created) != []
        with pytest.raises(RelationsFailed, match=str(error)):
            runs.merge(remote, created)
    ended = job(remote, created)
    assert (ended.state, {failure.attempt for failure in ended.errors}) == ("failed", {tries})
    assert [notice.outcome for notice in notices] == ["failed"]
    assert runs.work(remote, created, attempt=2) == []
    for step in ("read", "write"):
        with flaky.refusing(step, error=error), pytest.raises(kind):
            runs.merge(remote, created)
        assert job(remote, created).state == "failed"
    runs.merge(remote, created)
    assert job(remote, created).state == "finished"
    assert set(attempts(remote, created).values()) == {tries + 1}


@pytest.mark.parametrize("step", ["list", "remove"])
def test_what_cannot_be_tidied_up_after_the_publication_fails_nothing(
    remote: Context, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    created = runs.started(remote, *RELATIONS)
    assert runs.work(remote, created) == []
    leftover = remote.store.part(remote.key(job(remote, created)), "labels", 0, 9)
    with remote.store.writing(remote.key(job(remote, created)), leftover) as out:
        out.write(b"of an attempt that does not count")
    with flaky.refusing(step):
        runs.merge(remote, created)
    assert "unreferenced files remain until prune_exports removes them" in caplog.text
    assert job(remote, created).state == "finished"


def test_an_end_that_the_ledger_does_not_take_hides_no_error(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    created = runs.started(ctx, *RELATIONS)
    assert runs.work(ctx, created) == []
    monkeypatch.setattr(LocalStore, "assemble", raising(RuntimeError("boom")))

    monkeypatch.setattr(Jobs, "fail", raising(MoveRefused("it is finished")))
    with pytest.raises(Unforeseen, match="boom"):
        runs.merge(ctx, created)
    assert "is not marked failed: it is finished" in caplog.text


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail
