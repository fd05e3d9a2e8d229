"""What can be downloaded of a job: exactly what was published, or an error that says why not."""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
import tarfile
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import psycopg
import pytest

from project_export.errors import ArchiveBroken, BadRequest, Expired, NotAvailable, PartCorrupt
from project_export.ledger import Job
from project_export.steps import Context, prune, write_relation
from project_export.steps.downloads import Download, archive, batch, batched, manifest, relation
from project_export.store.uris import path_of
from tests.attic import Attic
from tests.runs import Make, held, merge, started, work

pytestmark = pytest.mark.heavy


def exported(ctx: Context, *relations: str) -> Job:
    """Export project 1 and return its job."""
    created = started(ctx, *relations)
    with held(ctx, created):
        assert work(ctx, created) == []
    merge(ctx, created)
    return ctx.ledger.queries.job(created.job_id)


def read(download: Download, first: int = 0, length: int | None = None) -> bytes:
    with closing(download.open(first, length)) as contents:
        return b"".join(contents)


@pytest.fixture
def ctx(make: Make) -> Context:
    return make()


def test_the_archive_and_its_manifest_are_those_that_were_published(ctx: Context) -> None:
    job = exported(ctx, "labels")
    path = path_of(str(job.archive_uri))
    found = archive(ctx, job)
    assert read(found) == path.read_bytes()
    assert read(found, 10, 20) == path.read_bytes()[10:30]
    assert (found.bytes, found.sha256, found.etag) == (job.archive_bytes, job.archive_sha256, f'"{job.archive_sha256}"')
    assert (found.content_type, found.modified) == ("application/gzip", job.finished_at)
    described = manifest(ctx, job)
    data = path.with_name("project.manifest.json").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert (read(described), described.bytes, described.etag) == (data, len(data), f'"{digest}"')
    assert described.content_type == "application/json"
    assert described.name == found.name.replace(".tar.gz", ".manifest.json")


def test_an_archive_is_named_as_gitlab_names_it(ctx: Context, generated: str) -> None:
    job = exported(ctx, "labels")
    at = datetime(2026, 11, 28, 10, 30, 7, 123456, timezone.utc)
    names = {
        project: archive(ctx, replace(job, created_at=at, plan={"project": project})).name
        for project in ("group/project", "", "ö/a b\n\"%'", "x" * 300)
    }
    assert names == {
        "group/project": "2026-11-28_10-30-123_group_project_export.tar.gz",
        "": "2026-11-28_10-30-123_project_1_export.tar.gz",
        "ö/a b\n\"%'": "2026-11-28_10-30-123___a_b_____export.tar.gz",
        "x" * 300: f"2026-11-28_10-30-123_{'x' * 30}_export.tar.gz",
    }
    with psycopg.connect(generated) as conn:
        query = "SELECT path FROM routes WHERE source_type = 'Project' AND source_id = 1"
        ((path,),) = conn.execute(query).fetchall()
    assert path.replace("/", "_")[:30] in archive(ctx, job).name


def test_a_relation_is_downloaded_as_the_command_writes_it_and_so_is_each_of_its_parts(
    make: Make, tmp_path: Path
) -> None:
    ctx = make(part_rows=5)
    job = exported(ctx, "issues", "labels")
    whole = relation(ctx, job, "issues")
    path, written = write_relation(ctx, job.id, "issues", tmp_path / "issues")
    assert (read(whole), whole.bytes, whole.name) == (path.read_bytes(), written.bytes, "issues.ndjson.gz")
    rows = [row for row in ctx.ledger.queries.rows(job.id) if row.relation == "issues"]
    assert len(rows) > 1
    parts = [batch(ctx, job, "issues", row.part) for row in rows]
    assert [part.name for part in parts] == [f"issues.{number}.ndjson.gz" for number in range(1, len(rows) + 1)]
    lines = [gzip.decompress(read(part)) for part in parts]
    assert [len(data.splitlines()) for data in lines] == [row.records for row in rows]
    assert b"".join(lines) == gzip.decompress(path.read_bytes())
    assert [len(read(part)) for part in parts] == [part.bytes for part in parts]
    assert len({whole.etag, *(part.etag for part in parts)}) == 1 + len(rows)
    assert all(re.fullmatch(r'"[0-9a-f]{64}"', download.etag) for download in (whole, *parts))
    assert whole.modified == max(row.finished_at for row in rows if row.finished_at)
    for first in (0, 5, whole.bytes // 2, whole.bytes - 1):
        assert read(whole, first) == path.read_bytes()[first:]


def test_what_a_job_does_not_have_is_refused_by_its_name(ctx: Context) -> None:
    job = exported(ctx, "labels")
    with pytest.raises(BadRequest, match="nearest: labels"):
        relation(ctx, job, "label")
    with pytest.raises(BadRequest, match=r"has 1 part\(s\) of the relation labels, and not part 2"):
        batch(ctx, job, "labels", 1)
    with pytest.raises(BadRequest, match=r"has 0 part\(s\)"):
        batch(ctx, job, "nosuch", 0)
    with pytest.raises(BadRequest, match="not files of their own"):
        batch(ctx, job, "project", 0)


def test_parts_of_relations_of_files_are_not_batches(database: str, ledger_dsn: str, tmp_path: Path) -> None:
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.add("one", b"1" * 10)
    done = attic.export()
    job = done.ctx.ledger.queries.job(done.job_id)
    assert {name: batched(done.ctx, name) for name in ("attic", "notes", "things", "diary")} == {
        "attic": False,
        "notes": True,
        "things": False,
        "diary": False,
    }
    things = relation(done.ctx, job, "things")
    assert things.name == "things.tar.gz"
    with tarfile.open(fileobj=BytesIO(read(things))) as tar:
        assert "./things/one" in tar.getnames()
    with pytest.raises(BadRequest, match="not files of their own"):
        batch(done.ctx, job, "things", 0)


def test_before_it_is_made_an_archive_is_not_available_yet_but_finished_relations_are(ctx: Context) -> None:
    created = started(ctx, "labels", "milestones")
    job = ctx.ledger.queries.job(created.job_id)
    for ask in (archive, manifest):
        with pytest.raises(NotAvailable, match="not available yet: the job is started"):
            ask(ctx, job)
    with pytest.raises(NotAvailable, match=r"1 of 1 part\(s\) of labels .* queued"):
        relation(ctx, job, "labels")
    with pytest.raises(NotAvailable, match=r"part 1 of labels .* is not available yet: it is queued"):
        batch(ctx, job, "labels", 0)
    with held(ctx, created):
        assert work(ctx, created) == []
    assert gzip.decompress(read(relation(ctx, job, "labels")))
    with pytest.raises(NotAvailable, match="not available yet"):
        archive(ctx, job)
    ctx.ledger.jobs.fail(job.id, [])
    with pytest.raises(NotAvailable, match="has no archive: it failed"):
        archive(ctx, ctx.ledger.queries.job(job.id))


def test_an_archive_stays_while_its_job_is_exported_again_and_expires_when_it_is_pruned(ctx: Context) -> None:
    job = exported(ctx, "labels")
    data = read(archive(ctx, job))
    ctx.ledger.jobs.reopen(job.id)
    again = ctx.ledger.queries.job(job.id)
    assert (again.state, read(archive(ctx, again))) == ("started", data)
    ctx.ledger.jobs.fail(job.id, [])
    expired = replace(ctx, settings=ctx.settings.model_copy(update={"archive_hours": 1e-9}))
    with closing(archive(ctx, job).open()) as slow:
        first = next(slow)
        prune(expired, lambda _: True)
        assert first + b"".join(slow) == data
    for ask in (archive, manifest):
        with pytest.raises(Expired, match=r"has expired\. Export the project again"):
            ask(ctx, ctx.ledger.queries.job(job.id))


def test_who_has_read_the_ledger_before_an_archive_is_replaced_or_pruned_gets_what_is_there_now(make: Make) -> None:
    ctx = make()
    job = exported(ctx, "labels")
    read_before = archive(ctx, job)
    assert read_before.newer() is None
    merge(make(gitlab_version="18.9.0"), started(ctx, "labels"), attempt=2)
    now = ctx.ledger.queries.job(job.id)
    with pytest.raises(NotAvailable, match="is not in the store as it was written"):
        read_before.open()
    newer = read_before.newer()
    assert newer is not None
    assert hashlib.sha256(read(newer)).hexdigest() == now.archive_sha256 != job.archive_sha256
    assert read(manifest(ctx, job)) == read(manifest(ctx, now))
    prune(replace(ctx, settings=ctx.settings.model_copy(update={"archive_hours": 1e-9})), lambda _: True)
    for ask in (read_before.newer, newer.newer, lambda: manifest(ctx, job)):
        with pytest.raises(Expired):
            ask()


@pytest.mark.parametrize("stored", ["cut", "longer", None])
def test_a_file_that_the_store_lacks_or_has_in_another_size_is_not_available(
    ctx: Context, stored: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    job = exported(ctx, "labels")
    (row,) = (row for row in ctx.ledger.queries.rows(job.id) if row.relation == "labels")
    for path in (path_of(str(job.archive_uri)), path_of(str(row.uri))):
        data = path.read_bytes()
        path.unlink()
        if stored:
            path.write_bytes(data[:-1] if stored == "cut" else data + b"x")
    for ask in (
        lambda: archive(ctx, job).open(),
        lambda: relation(ctx, job, "labels").open(),
        lambda: batch(ctx, job, "labels", 0).open(),
    ):
        caplog.clear()
        with caplog.at_level(logging.ERROR), pytest.raises(NotAvailable, match="is not available") as caught:
            ask()
        assert ctx.store.uri not in str(caught.value)  # people who may not read the store read this
        assert ctx.store.uri in caplog.text


def test_altered_content_ends_a_download_before_its_last_bytes(ctx: Context) -> None:
    job = exported(ctx, "labels")
    (row,) = (row for row in ctx.ledger.queries.rows(job.id) if row.relation == "labels")
    downloads = [archive(ctx, job), relation(ctx, job, "labels"), batch(ctx, job, "labels", 0)]
    for path in (path_of(str(job.archive_uri)), path_of(str(row.uri))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    for download in downloads:
        got = b""
        with closing(download.open()) as contents, pytest.raises((ArchiveBroken, PartCorrupt)):
            for block in contents:
                got += block
        assert len(got) < download.bytes


@pytest.mark.parametrize("text", ["", "{", "[]", '{"archive": {"bytes": 1, "sha256": "ab"}}', "{}"])
def test_a_manifest_that_does_not_describe_the_archive_is_not_available(ctx: Context, text: str) -> None:
    job = exported(ctx, "labels")
    path_of(str(job.archive_uri)).with_name("project.manifest.json").write_text(text)
    with pytest.raises(NotAvailable):
        manifest(ctx, job)
