"""Retention: what is past its time goes, files before rows, and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from project_export.errors import DeliveryFailed, Failure, StoreRefused
from project_export.steps import Channel, Context, Created, Notice, Pruned, prune
from project_export.store import LocalStore
from tests import runs

HOURS_OF_A_WEEK = 7 * 24


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, store: Path) -> Context:
    return runs.context(generated, ledger_dsn, store, units=1)


def exported(ctx: Context, run_id: str = runs.RUN, project_id: int = 1) -> Created:
    created = runs.started(ctx, "labels", run_id=run_id, project_id=project_id)
    assert runs.work(ctx, created) == []
    runs.merge(ctx, created)
    return created


def age(ledger_dsn: str, created: Created, hours: float) -> None:
    """Let a job have ended so many hours ago."""
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute(
            "UPDATE project_export_job SET finished_at = now() - make_interval(secs => %s * 3600) WHERE id = %s",
            [hours, created.job_id],
        )


def pruned(ctx: Context, *, alive: bool = True, dry_run: bool = False) -> Pruned:
    return prune(ctx, lambda _: alive, dry_run=dry_run)


def names(store: Path, created: Created) -> list[str]:
    return [
        name.partition("/")[2] for name in runs.files(store / "source" / "1") if name.startswith(f"{created.job_id}/")
    ]


def test_each_source_has_its_files_in_a_store_of_its_own(
    ctx: Context, ledger_dsn: str, store: Path, tmp_path: Path
) -> None:
    settings = ctx.settings.model_copy(update={"store": (tmp_path / "other").as_uri()})
    other = replace(ctx, source="other", settings=settings)
    ctx = replace(ctx, others={"other": lambda: other})
    jobs = [exported(ctx), exported(other, run_id="dag/other")]
    for created in jobs:
        age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    assert pruned(ctx).jobs == 2
    assert [runs.files(folder) for folder in (store, tmp_path / "other")] == [[], []]


def test_what_is_young_stays(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    age(ledger_dsn, created, 23.9)
    before = runs.files(store)
    assert pruned(ctx) == Pruned()
    assert (runs.files(store), ctx.ledger.queries.job(created.job_id).archive_uri is not None) == (before, True)


def test_an_old_archive_goes_and_its_parts_stay(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    size = sum(path.stat().st_size for path in store.rglob("project.[mt]*"))
    age(ledger_dsn, created, 24.1)
    assert pruned(ctx) == Pruned(archives=1, bytes=size)
    assert names(store, created) == ["parts/labels.0.1.deflate", "parts/project.0.1.deflate"]
    assert ctx.ledger.queries.job(created.job_id).archive_uri is None
    assert pruned(ctx) == Pruned()


def test_an_archive_that_was_pruned_is_merged_again_from_its_parts(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    sha256 = ctx.ledger.queries.job(created.job_id).archive_sha256
    age(ledger_dsn, created, 25)
    pruned(ctx)
    assert runs.merge(ctx, created, attempt=2).sha256 == sha256
    assert runs.attempts(ctx, created) == {"project": 1, "labels": 1}


def test_an_old_job_goes_with_all_its_files_and_rows(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created, other = exported(ctx), exported(ctx, "dag/other", project_id=2)
    age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    size = sum(path.stat().st_size for path in (store / "source" / "1").rglob("*") if path.is_file())
    assert pruned(ctx) == Pruned(jobs=1, bytes=size)
    assert not (store / "source" / "1" / str(created.job_id)).exists()
    assert ctx.ledger.retention.ended_jobs() == [ctx.ledger.queries.job(other.job_id)]
    assert ctx.ledger.queries.rows(created.job_id) == []


def test_the_last_archives_of_a_series_stay_with_their_jobs_and_a_dry_run_says_why(
    ctx: Context, store: Path, ledger_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    older, last = exported(ctx, "dag/older"), exported(ctx, "dag/last")
    for hours, created in ((HOURS_OF_A_WEEK + 2, older), (HOURS_OF_A_WEEK + 1, last)):
        age(ledger_dsn, created, hours)
    ctx = replace(ctx, settings=ctx.settings.model_copy(update={"keep_monthly": 1}))
    assert pruned(ctx, dry_run=True).jobs == 2  # of only some relations
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute("UPDATE project_export_job SET params = '{}'")
    assert pruned(ctx, dry_run=True).jobs == 1
    assert f"job {last.job_id} stays with its archive: the last archive of" in caplog.text
    assert pruned(ctx).jobs == 1
    assert ctx.ledger.queries.job(last.job_id).archive_uri is not None
    assert [name for name in names(store, last) if name.endswith("/project.tar.gz")]
    assert names(store, older) == []


def test_a_failed_job_goes_after_a_week_too(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = runs.started(ctx, "labels")
    runs.work(ctx, created)
    ctx.ledger.jobs.fail(created.job_id, [])
    age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    assert pruned(ctx).jobs == 1
    assert (runs.files(store), ctx.ledger.retention.ended_jobs()) == ([], [])


def test_tokens_that_ended_a_week_ago_go(ctx: Context, ledger_dsn: str) -> None:
    revoked, expired, valid = (ctx.ledger.tokens.create("jane", "script", {}, 3600)[0] for _ in range(3))
    ctx.ledger.tokens.revoke(revoked.id)
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute("UPDATE project_export_token SET revoked_at = revoked_at - interval '169 hours'")
        conn.execute(
            "UPDATE project_export_token SET expires_at = now() - interval '167 hours' WHERE id = %s", [expired.id]
        )
    assert pruned(ctx, dry_run=True) == Pruned(tokens=1)
    assert len(ctx.ledger.tokens.of()) == 3
    assert pruned(ctx) == Pruned(tokens=1)
    assert [token.id for token in ctx.ledger.tokens.of()] == [valid.id, expired.id]


def test_the_last_archive_of_a_project_in_work_stays(ctx: Context, store: Path, ledger_dsn: str) -> None:
    older, last = exported(ctx, "dag/older"), exported(ctx, "dag/last")
    age(ledger_dsn, older, HOURS_OF_A_WEEK + 2)
    age(ledger_dsn, last, HOURS_OF_A_WEEK + 1)
    active = runs.started(ctx, "labels", run_id="dag/active")
    result = pruned(ctx)
    assert (result.jobs, result.archives, result.cancelled) == (1, 0, 0)
    assert [name for name in names(store, last) if name.endswith("/project.tar.gz")]
    assert names(store, older) == []
    ctx.ledger.jobs.fail(active.job_id, [])
    assert pruned(ctx).jobs == 1
    assert names(store, last) == []


def test_nothing_of_an_active_job_is_touched(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    ctx.ledger.jobs.reopen(created.job_id)
    litter(store, created)
    before = runs.files(store)
    assert pruned(ctx) == Pruned()
    assert runs.files(store) == before


def test_what_nothing_refers_to_goes(ctx: Context, store: Path) -> None:
    created = exported(ctx)
    before = runs.files(store)
    size = litter(store, created)
    assert pruned(ctx) == Pruned(leftovers=3, bytes=size)
    assert runs.files(store) == before


def test_what_others_keep_in_the_store_stays(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    (store / "source" / "1" / "4711").mkdir()
    others = [store / "readme.txt", store / "source" / "1" / "4711" / "project.tar.gz"]
    for path in others:
        path.write_bytes(b"other")
    age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    pruned(ctx)
    assert all(path.exists() for path in others)


def test_a_job_whose_run_is_gone_is_failed_and_told_as_cancelled(ctx: Context) -> None:
    notices: list[Notice] = []
    created = runs.started(ctx, "labels")
    ctx = replace(ctx, channels={"list": notices.append})
    assert pruned(ctx) == Pruned()
    assert pruned(ctx, alive=False) == Pruned(cancelled=1)
    assert pruned(ctx, alive=False) == Pruned()
    assert ctx.ledger.queries.job(created.job_id).state == "failed"
    assert [notice.outcome for notice in notices] == ["cancelled"]
    runs.started(ctx, "labels", run_id="dag/next")


def test_an_end_that_was_not_told_is_told_once_by_each_channel_that_has_not(ctx: Context, ledger_dsn: str) -> None:
    told: list[tuple[str, str]] = []

    def channel(name: str) -> Channel:
        return lambda notice: told.append((name, notice.outcome))

    def lost(_: Notice) -> None:
        raise DeliveryFailed("the mail server is down")

    finished, failed = (exported(ctx, f"dag/{number}", number) for number in (1, 2))
    old = exported(ctx, "dag/old")
    ctx.ledger.jobs.reopen(failed.job_id)
    ctx.ledger.jobs.fail(failed.job_id, [Failure("labels", 1, "no")])  # and the process died before it told so
    age(ledger_dsn, old, 4)
    gone = runs.started(ctx, "labels", run_id="dag/gone")
    channels = {"mail": lost, "hook": channel("hook")}
    pruned(replace(ctx, channels=channels), alive=False)
    assert sorted(told) == [("hook", "cancelled"), ("hook", "failed"), ("hook", "finished")]
    told.clear()
    assert pruned(replace(ctx, channels={"mail": channel("mail")}), dry_run=True) == Pruned()
    assert told == []
    for _ in range(2):
        pruned(replace(ctx, channels={"mail": channel("mail"), "hook": channel("hook")}))
    assert sorted(told) == [("mail", "cancelled"), ("mail", "failed"), ("mail", "finished")]
    assert {ctx.ledger.queries.job(one.job_id).state for one in (failed, gone)} == {"failed"}
    assert ctx.ledger.queries.job(finished.job_id).state == "finished"


def test_a_dry_run_says_the_same_and_changes_nothing(ctx: Context, store: Path, ledger_dsn: str) -> None:
    for number, hours in enumerate((25.0, HOURS_OF_A_WEEK + 1.0)):
        age(ledger_dsn, exported(ctx, f"dag/{number}"), hours)
    litter(store, exported(ctx, "dag/young"))
    gone = runs.started(ctx, "labels", run_id="dag/gone", project_id=2)
    before, jobs = runs.files(store), ctx.ledger.retention.ended_jobs()
    said = pruned(ctx, alive=False, dry_run=True)
    assert (runs.files(store), ctx.ledger.retention.ended_jobs()) == (before, jobs)
    assert ctx.ledger.queries.job(gone.job_id).state == "started"
    assert (said.cancelled, said.jobs, said.archives, said.leftovers) == (1, 1, 1, 3)
    assert pruned(ctx, alive=False) == said


def test_where_the_store_refuses_the_rows_stay_and_the_others_are_pruned(
    ctx: Context, store: Path, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = exported(ctx, "dag/first"), exported(ctx, "dag/second")
    for created in (first, second):
        age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    remove = LocalStore.remove

    def refusing(self: LocalStore, uri: str) -> None:
        if f"/1/{first.job_id}/" in uri:
            raise StoreRefused(f"{uri}: EACCES")
        remove(self, uri)

    monkeypatch.setattr(LocalStore, "remove", refusing)
    with pytest.raises(StoreRefused, match=r"1 job\(s\) could not be pruned:\n  .*EACCES"):
        pruned(ctx)
    assert [job.id for job in ctx.ledger.retention.ended_jobs()] == [first.job_id]
    assert names(store, first) != []
    monkeypatch.undo()
    assert pruned(ctx).jobs == 1


def test_files_that_are_gone_already_do_not_keep_a_job(ctx: Context, store: Path, ledger_dsn: str) -> None:
    created = exported(ctx)
    shutil.rmtree(store)
    age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    assert pruned(ctx) == Pruned(jobs=1)
    assert ctx.ledger.retention.ended_jobs() == []


def test_a_remote_store_is_pruned_as_well(generated: str, ledger_dsn: str, store: Path) -> None:
    ctx = runs.context(generated, ledger_dsn, store, units=1)
    ctx = replace(ctx, settings=ctx.settings.model_copy(update={"store": "memory://prune/exports"}))
    created = exported(ctx)
    key = ctx.key(ctx.ledger.queries.job(created.job_id))
    assert len(ctx.store.files(key)) == 4
    age(ledger_dsn, created, 25)
    assert pruned(ctx).archives == 1
    assert len(ctx.store.files(key)) == 2
    age(ledger_dsn, created, HOURS_OF_A_WEEK + 1)
    assert pruned(ctx).jobs == 1
    assert ctx.store.files(key) == {}


def litter(store: Path, created: Created) -> int:
    """Leave behind what dead attempts leave behind, and return its size."""
    folder = store / "source" / "1" / str(created.job_id)
    for path in (
        folder / ".project.tar.gz.job-1.pid-99.abcd.tmp",
        folder / "parts" / ".labels.0.2.deflate.job-1.pid-99.abcd.tmp",
        folder / "parts" / "labels.0.9.deflate",
    ):
        path.write_bytes(b"dead")
    return 3 * len(b"dead")
