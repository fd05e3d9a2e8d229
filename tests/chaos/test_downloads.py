"""An archive is replaced or removed while clients read it, over HTTP and slowly."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.airflow.web.downloads import respond
from project_export.errors import Expired
from project_export.ledger import Job
from project_export.steps import Context, Created, prune
from project_export.steps.downloads import archive, manifest, relation
from tests.buckets import Buckets
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.runs import merge, started, work
from tests.serving import Serving, serving

LARGE = 24 << 20
"""Bytes, more than all buffers between file and client hold."""


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The setting of a store in a folder, and of one in a bucket without versions."""
    if request.param == "folder":
        yield environment.store.as_uri()
        return
    folder = environment.store.with_name("buckets")
    (folder / "bucket").mkdir(parents=True)
    with Buckets(folder) as buckets:
        buckets.in_environment(monkeypatch)
        yield "s3://bucket/exports"


def exported(environment: Environment, ctx: Context) -> Created:
    """Export the project with a label that cannot be compressed, so that its archive is large."""
    with psycopg.connect(environment.source) as conn:
        conn.execute(
            "UPDATE labels SET description = %s WHERE id = (SELECT min(id) FROM labels WHERE project_id = 1)",
            [os.urandom(LARGE).hex()],
        )
    created = started(ctx, "labels")
    assert work(ctx, created) == []
    merge(ctx, created)
    return created


def of(ctx: Context, created: Created) -> Job:
    return ctx.ledger.queries.job(created.job_id)


@contextmanager
def offering(ctx: Context, created: Created, what: Callable[[Context, Job], Any] = archive) -> Iterator[Serving]:
    """Serve what the ledger names at each request."""
    with serving(lambda request: respond(request, what(ctx, of(ctx, created))), airflow=False) as server:
        yield server


def whole(response: http.client.HTTPResponse, begun: bytes) -> tuple[int, str]:
    data = begun + response.read()
    assert int(response.headers["Content-Length"]) == len(data)
    return len(data), hashlib.sha256(data).hexdigest()


@pytest.mark.fault("F30", "archive replaced, then pruned, during a slow download")
def test_a_slow_reader_gets_the_old_archive_whole_and_the_next_one_the_new(
    environment: Environment, happened: Happened, store: str
) -> None:
    ctx = environment.context(store=store, units=1)
    created = exported(environment, ctx)
    old = of(ctx, created)
    with offering(ctx, created) as server, ExitStack() as readers:
        slow = readers.enter_context(server.slowly())
        begun = slow.read(100_000)
        again = environment.context(store=store, units=1, gitlab_version="18.9.0")
        merge(again, created, attempt=2)
        new = of(ctx, created)
        assert new.archive_uri != old.archive_uri
        files = ctx.store.files(ctx.key(new))
        assert old.archive_uri not in files
        later = readers.enter_context(server.slowly())
        begun_later = later.read(100_000)
        resumed = server.get(Range="bytes=100000-", If_Range=slow.headers["ETag"])
        assert (resumed[0], len(resumed[2])) == (200, new.archive_bytes)  # not the rest of another archive
        prune(expiring(ctx), lambda _: True)
        assert new.archive_uri not in ctx.store.files(ctx.key(new))
        with pytest.raises(Expired):
            archive(ctx, of(ctx, created))
        assert whole(slow, begun) == (old.archive_bytes, old.archive_sha256)
        assert whole(later, begun_later) == (new.archive_bytes, new.archive_sha256)
    environment.assert_nothing_left()
    happened("each reader got the archive that it began with, whole; a resumed one got the new archive from its start")


def expiring(ctx: Context) -> Context:
    return replace(ctx, settings=ctx.settings.model_copy(update={"archive_hours": 1e-9}))


@pytest.mark.fault("F30", "client goes away during a download")
def test_a_truncated_download_is_resumed_and_leaves_no_open_file(
    environment: Environment, happened: Happened, store: str
) -> None:
    ctx = environment.context(store=store, units=1)
    created = exported(environment, ctx)
    job = of(ctx, created)
    got, tries = b"", 0
    with offering(ctx, created) as server:
        while len(got) < int(job.archive_bytes or 0):
            with server.slowly(Range=f"bytes={len(got)}-", If_Range=f'"{job.archive_sha256}"') as response:
                assert response.status == 206
                got, tries = got + response.read(7 << 20), tries + 1
    assert hashlib.sha256(got).hexdigest() == job.archive_sha256
    assert not [one for one in open_files() if one.endswith("project.tar.gz")]
    happened(f"{tries} requests, the same bytes, no open file")


def open_files() -> list[str]:
    return [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]


@pytest.mark.fault("F30", "relation and manifest downloaded while the run is exported again")
def test_what_is_made_again_is_served_as_it_was_or_not_at_all(environment: Environment, happened: Happened) -> None:
    ctx = environment.context(units=1)
    created = exported(environment, ctx)
    job = of(ctx, created)
    described = manifest(ctx, job)
    labels = relation(ctx, job, "labels")
    with offering(ctx, created, lambda ctx, job: relation(ctx, job, "labels")) as server, server.slowly() as slow:
        begun = slow.read(100_000)
        merge(environment.context(units=1, gitlab_version="18.9.0"), created, attempt=2)
        assert whole(slow, begun)[0] == labels.bytes
    assert manifest(ctx, of(ctx, created)).etag != described.etag
    happened("the relation arrived whole, the manifest is that of the new archive")
