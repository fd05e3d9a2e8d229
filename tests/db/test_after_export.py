"""What happens when an export has ended: notices, uploads, and the job's own end."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from project_export.errors import (
    DeliveryFailed,
    DeliveryRefused,
    Failure,
    MoveRefused,
    RelationsFailed,
    StoreRefused,
)
from project_export.ledger import Job
from project_export.merged import Merged
from project_export.steps import Context, Created, Notice, after_export, event, upload
from project_export.steps.notify import notify
from tests import runs
from tests.receiver import Receiver

PROJECT = "Project 1 (acme/tools/project-1)"


@dataclass
class Told:
    """A channel that keeps what it is told, or fails as often as it is told to."""

    failures: list[Exception] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __call__(self, notice: Notice) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.notices.append(notice)

    @property
    def outcomes(self) -> list[str]:
        return [notice.outcome for notice in self.notices]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path, told: Told) -> Context:
    settings = {"units": 1, "upload_allow_private": True, "upload_timeout_seconds": 10}
    ctx = runs.context(generated, ledger_dsn, tmp_path / "store", **settings)
    return replace(ctx, channels={"told": told})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "DELAYS_SECONDS", (0.01, 0.01))


def exported(ctx: Context, **request: str) -> tuple[Created, Merged]:
    created = runs.started(ctx, "labels", **request)
    assert runs.work(ctx, created) == []
    return created, runs.merge(ctx, created)


def finished(ctx: Context, created: Created, url: str | None = None, *, last_try: bool = True) -> Merged:
    return after_export(ctx, created.job_id, upload_url=url, last_try=last_try)


def job(ctx: Context, created: Created) -> Job:
    return ctx.ledger.queries.job(created.job_id)


def test_a_finished_export_is_told_once_with_its_archive(ctx: Context, told: Told) -> None:
    created, merged = exported(ctx)
    assert job(ctx, created).state == "finished"
    assert finished(ctx, created) == finished(ctx, created) == merged
    (notice,) = told.notices
    assert (notice.outcome, notice.subject) == ("finished", "Project was exported with omissions")
    for part in (
        merged.uri,
        str(merged.bytes),
        merged.sha256,
        str(merged.records),
        f"{PROJECT} of",
        runs.RUN,
        "jane",
    ):
        assert part in notice.text
    assert notice.facts["archive"] == {
        "uri": merged.uri,
        "bytes": merged.bytes,
        "sha256": merged.sha256,
        "records": merged.records,
    }
    json.dumps(dict(notice.facts))


def test_a_failed_export_is_told_once_with_every_error_once(ctx: Context, told: Told) -> None:
    created = runs.started(ctx, "labels", "milestones")
    give_up(ctx, created)
    with pytest.raises(RelationsFailed):
        runs.merge(ctx, created)
    notify(ctx, created.job_id, "failed")
    (notice,) = told.notices
    assert (notice.outcome, notice.subject) == ("failed", "Project export error")
    assert f"{PROJECT} of source couldn't be exported. The errors we encountered were:" in notice.text
    for relation in ("project", "labels", "milestones"):
        assert notice.text.count(f"{relation} [42501] (attempt 1): password=***") == 1
    assert "s3cret" not in notice.text + str(notice.facts)
    assert (notice.facts["archive"], len(notice.facts["errors"])) == (None, 3)


def test_an_export_that_fails_and_then_succeeds_is_told_both(ctx: Context, told: Told) -> None:
    created = runs.started(ctx, "labels")
    give_up(ctx, created)
    with pytest.raises(RelationsFailed):
        runs.merge(ctx, created)
    runs.merge(ctx, created, attempt=2)
    finished(ctx, created)
    assert told.outcomes == ["failed", "finished"]


def test_an_export_that_is_opened_again_and_fails_again_is_told_again(ctx: Context, told: Told) -> None:
    created = runs.started(ctx, "labels")
    for _ in range(2):
        give_up(ctx, created)
        with pytest.raises(RelationsFailed):
            runs.merge(ctx, created)
        assert runs.started(ctx, "labels") == created  # the run was cleared
    assert told.outcomes == ["failed", "failed"]


def test_an_error_that_a_retry_may_cure_is_told_on_the_last_try_only(
    ctx: Context, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = runs.started(ctx, "labels")
    runs.work(ctx, created)
    monkeypatch.setattr(Context, "store", property(lambda _: refuse(StoreRefused("ENOSPC"))))
    with pytest.raises(StoreRefused):
        runs.merge(ctx, created, last_try=False)
    assert (job(ctx, created).state, told.notices) == ("started", [])
    with pytest.raises(StoreRefused):
        runs.merge(ctx, created, last_try=True)
    assert (job(ctx, created).state, told.outcomes) == ("failed", ["failed"])


def test_none_asks_for_silence(ctx: Context, told: Told) -> None:
    created, merged = exported(ctx, after_export="none")
    assert finished(ctx, created) == merged
    assert notify(ctx, created.job_id, "failed") == []
    assert told.notices == []


def test_without_a_channel_the_notice_is_logged_once(ctx: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    created, merged = exported(ctx)
    silent = replace(ctx, channels={})
    finished(silent, created)
    finished(silent, created)
    assert caplog.text.count(f"Archive: {merged.uri}") == 1


@pytest.mark.parametrize("error", [DeliveryFailed("no route"), DeliveryRefused("550 password=s3cret")])
def test_a_notice_that_cannot_be_delivered_fails_nothing_is_logged_and_may_be_tried_again(
    ctx: Context, told: Told, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    created, merged = exported(ctx)
    other = Told()
    ctx = replace(ctx, channels={"told": told, "other": other})
    told.failures = [error]
    assert finished(ctx, created) == merged
    assert (told.outcomes, other.outcomes, job(ctx, created).state) == ([], ["finished"], "finished")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "was not delivered by told" in record.getMessage()
    assert "s3cret" not in caplog.text
    finished(ctx, created)
    assert (told.outcomes, other.outcomes) == (["finished"], ["finished"])


def test_a_channel_that_breaks_fails_nothing_and_may_be_tried_again(
    ctx: Context, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    created, _ = exported(ctx)
    told.failures = [KeyError("a mistake in the channel")]
    finished(ctx, created)
    assert "was not delivered by told: KeyError: 'a mistake in the channel'" in caplog.text
    assert told.outcomes == []
    finished(ctx, created)
    assert told.outcomes == ["finished"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_sends_the_archive_and_then_finishes_the_job(
    ctx: Context, told: Told, receiver: Receiver, method: str
) -> None:
    url = f"{receiver.url}/up?sig=s3cret"
    created, merged = exported(ctx, after_export="upload", upload_url=url, upload_http_method=method)
    assert job(ctx, created).state == "started"
    assert finished(ctx, created, url) == merged
    (request,) = receiver.received
    assert (request.method, request.target) == (method, "/up?sig=s3cret")
    assert request.headers["content-type"] == "application/gzip"
    assert hashlib.sha256(request.body).hexdigest() == merged.sha256
    assert (job(ctx, created).state, told.notices) == ("finished", [])


def test_an_upload_is_tried_again_when_that_may_help(ctx: Context, receiver: Receiver) -> None:
    created, merged = exported(ctx, after_export="upload", upload_url=receiver.url)
    receiver.answers = [(503, "busy"), (429, "slowly")]
    finished(ctx, created, receiver.url)
    assert [len(request.body) for request in receiver.received] == [merged.bytes] * 3
    assert job(ctx, created).state == "finished"


def test_an_upload_that_is_refused_fails_the_job_at_once_and_is_told(
    ctx: Context, told: Told, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//jane:pa55@") + "/up?sig=s3cret"
    created, _ = exported(ctx, after_export="upload", upload_url=url)
    receiver.answers = [(403, "denied")]
    with pytest.raises(DeliveryRefused):
        finished(ctx, created, url, last_try=False)
    (error,) = job(ctx, created).errors
    assert "The upload failed. PUT to" in error.message
    assert (job(ctx, created).state, told.outcomes) == ("failed", ["failed"])
    texts = caplog.text + str(job(ctx, created)) + str(told.notices)
    assert not any(secret in texts for secret in ("pa55", "s3cret"))


def test_an_upload_that_may_work_later_fails_the_job_on_the_last_try(
    ctx: Context, told: Told, receiver: Receiver
) -> None:
    created, _ = exported(ctx, after_export="upload", upload_url=receiver.url)
    receiver.answers = [(500, "")] * 6
    with pytest.raises(DeliveryFailed):
        finished(ctx, created, receiver.url, last_try=False)
    assert (job(ctx, created).state, told.notices) == ("started", [])
    with pytest.raises(DeliveryFailed):
        finished(ctx, created, receiver.url, last_try=True)
    assert (job(ctx, created).state, told.outcomes) == ("failed", ["failed"])


def test_a_failed_upload_can_be_cleared_and_leaves_the_archive_where_it_is(ctx: Context, receiver: Receiver) -> None:
    created, merged = exported(ctx, after_export="upload", upload_url=receiver.url)
    receiver.answers = [(403, "")]
    with pytest.raises(DeliveryRefused):
        finished(ctx, created, receiver.url)
    assert runs.path_of(merged).stat().st_size == merged.bytes
    assert finished(ctx, created, receiver.url) == merged
    assert job(ctx, created).state == "finished"


def test_an_archive_that_changed_its_size_is_not_sent(ctx: Context, receiver: Receiver) -> None:
    created, merged = exported(ctx, after_export="upload", upload_url=receiver.url)
    with runs.path_of(merged).open("ab") as archive:
        archive.write(b"x")
    with pytest.raises(StoreRefused, match=f"has {merged.bytes + 1} bytes instead of {merged.bytes}"):
        finished(ctx, created, receiver.url)
    assert receiver.received == []


def test_without_an_archive_nothing_is_done(ctx: Context, told: Told) -> None:
    created = runs.started(ctx, "labels")
    with pytest.raises(MoveRefused, match="has no archive"):
        finished(ctx, created)
    assert told.notices == []


def test_a_cancelled_export_is_not_finished(ctx: Context, told: Told, receiver: Receiver) -> None:
    created, _ = exported(ctx)
    ctx.ledger.jobs.reopen(created.job_id)
    ctx.ledger.jobs.fail(created.job_id, [Failure("*", 0, "the run was cancelled")])
    with pytest.raises(MoveRefused, match="cannot finish: it is failed"):
        finished(ctx, created)
    assert told.notices == []


def give_up(ctx: Context, created: Created) -> None:
    """Fail every relation for good, as a unit does."""
    while claim := ctx.ledger.claims.claim(created.job_id, 0, "unit"):
        ctx.ledger.claims.fail_attempt(claim, "password=s3cret", "42501", final=True)


def refuse(error: Exception) -> None:
    raise error


def test_programs_are_told_what_an_archive_lacks(ctx: Context) -> None:
    created, merged = exported(ctx)
    told = event(ctx, created.job_id)
    assert (told["uri"], told["job_id"], told["project_id"], told["partial"]) == (merged.uri, created.job_id, 1, True)
    assert told["omissions"] == list(merged.omissions)
    assert json.loads(json.dumps(told)) == told
