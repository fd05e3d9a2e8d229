"""Which archive counts: a merge that comes late publishes nothing and takes nothing away."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.errors import AttemptRevoked
from project_export.ledger import JobRequest, Planned
from project_export.steps import Context, Created
from project_export.store import LocalStore
from tests.archives import read_archive
from tests.runs import context, merge, path_of, started, work


@pytest.fixture
def ctx(generated_copy: str, ledger_dsn: str, tmp_path: Path) -> Context:
    return context(generated_copy, ledger_dsn, tmp_path, units=1)


def late(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let something happen when the next merge has written its archive."""
    assemble = LocalStore.assemble

    def assemble_and_wait(*arguments: Any) -> Any:
        monkeypatch.setattr(LocalStore, "assemble", assemble)
        facts = assemble(*arguments)
        meanwhile()
        return facts

    monkeypatch.setattr(LocalStore, "assemble", assemble_and_wait)


def export_changed(ctx: Context, created: Created, source: str) -> Path:
    """Change the source, export all of it anew, merge and return the archive."""
    with psycopg.connect(source) as conn:
        conn.execute("UPDATE labels SET title = 'changed ' || id")
    rows = {row.id: row.attempt for row in ctx.ledger.queries.rows(created.job_id)}
    ctx.ledger.claims.requeue(rows, "the run was cleared")
    assert work(ctx, created, attempt=2) == []
    return path_of(merge(ctx, created, attempt=2))


def test_a_merge_whose_parts_were_exported_anew_publishes_nothing_and_leaves_the_newer_archive(
    ctx: Context, generated_copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = started(ctx, "labels")
    work(ctx, created)
    newer: list[Path] = []
    late(monkeypatch, lambda: newer.append(export_changed(ctx, created, generated_copy)))
    with pytest.raises(AttemptRevoked):
        merge(ctx, created)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.state, job.archive_uri) == ("finished", f"file://{newer[0]}")
    manifest = Manifest.from_json(newer[0].with_name("project.manifest.json").read_bytes())
    assert verify(newer[0], manifest).problems == ()
    assert {label["title"].split()[0] for label in read_archive(newer[0])["labels"]} == {"changed"}


def test_a_merge_during_which_a_part_is_queued_again_publishes_nothing(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = started(ctx, "labels")
    work(ctx, created)
    row = ctx.ledger.queries.rows(created.job_id)[0]
    late(monkeypatch, lambda: ctx.ledger.claims.requeue([row.id], "corrupt"))
    with pytest.raises(AttemptRevoked, match="has changed since its parts were merged"):
        merge(ctx, created)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.state, job.archive_uri) == ("started", None)


def test_a_twin_that_merges_the_same_parts_publishes_the_same_archive(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = started(ctx, "labels")
    work(ctx, created)
    late(monkeypatch, lambda: merge(ctx, created, attempt=2))
    merged = merge(ctx, created)
    assert ctx.ledger.queries.job(created.job_id).archive_uri == merged.uri
    assert path_of(merged).stat().st_size == merged.bytes


def test_a_job_is_finished_by_an_archive_of_its_present_rows_alone(ctx: Context) -> None:
    request = JobRequest("source", "gitlab", 7, "dag/x", "jane")
    job = ctx.ledger.jobs.open(request, [Planned("labels", 0), Planned("boards", 1)])
    with pytest.raises(AttemptRevoked):
        ctx.ledger.jobs.finish(job.id, "file:///a", 1, "ab", 1, attempts=0)
    assert ctx.ledger.queries.job(job.id).state == "started"


def test_a_merge_that_is_cleared_after_the_gitlab_version_was_changed_publishes_another_archive(
    generated_copy: str, ledger_dsn: str, tmp_path: Path
) -> None:
    before = context(generated_copy, ledger_dsn, tmp_path, units=1)
    created = started(before, "labels")
    work(before, created)
    old = path_of(merge(before, created))
    again = path_of(merge(before, created, attempt=2))
    assert again == old
    after = context(generated_copy, ledger_dsn, tmp_path, units=1, gitlab_version="18.9.0")
    new = path_of(merge(after, created, attempt=3))
    assert new.parent != old.parent
    assert after.ledger.queries.job(created.job_id).archive_uri == new.as_uri()
    with tarfile.open(new) as tar:
        version = tar.extractfile("./GITLAB_VERSION")
        assert version is not None
        assert version.read() == b"18.9.0"
    assert not old.exists()


def test_a_broken_file_in_the_archives_place_is_replaced_and_not_taken_for_it(ctx: Context) -> None:
    created = started(ctx, "labels")
    work(ctx, created)
    path = path_of(merge(ctx, created))
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[:100] + b"X" + whole[101:]):
        path.write_bytes(broken)
        merged = merge(ctx, created, attempt=2)
        assert path_of(merged) == path
        assert path.read_bytes() == whole
        assert merged.sha256 == hashlib.sha256(whole).hexdigest()
