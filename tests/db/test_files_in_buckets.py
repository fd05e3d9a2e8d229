"""Relations of files in an object store: as many workers, fetchers and errors as there may be, and the same bytes."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import AttemptRevoked, FilesMissing, RelationsFailed
from project_export.producers import files
from project_export.steps import Context
from tests.attic import Attic, Exported
from tests.buckets import Buckets
from tests.runs import merge, started, wait_until, worker

pytestmark = pytest.mark.heavy

MIB = 1 << 20


class Stored(Attic):
    """An attic whose boxes are a bucket. connection: before the bucket. options: of its file system."""

    buckets: Buckets
    connection = "bucket@"
    options: dict[str, Any]

    def context(self, **settings: Any) -> Context:
        ctx = super().context(**{"locations": f"boxes=s3://{self.connection}boxes", **settings})
        return dataclasses.replace(ctx, credentials=self.buckets.credentials(**self.options))

    def export(self, ctx: Context | None = None, **settings: Any) -> Exported:
        return super().export(ctx or self.context(**settings), **settings)


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Iterator[Stored]:
    attic = Stored(database, ledger_dsn, tmp_path)
    attic.make()
    attic.options = {}
    with Buckets(tmp_path) as attic.buckets:
        yield attic


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("units", [1, 4])
def test_every_file_arrives_as_it_is_in_its_order(attic, units):
    attic.add("empty", b"")
    attic.add("large", noise(12 * MIB))
    attic.add("a folder/ö and #% ?.txt", b"text\n" * 100_000)
    attic.add("moved", b"elsewhere", at="old/moved")
    for number in range(60):
        attic.add(f"small/{number}", noise(number * 97, number), digest=number % 2 == 0)
    exported = attic.export(units=units)
    contents = exported.contents("things/")
    assert contents == attic.things
    assert exported.merged.omissions == ()
    small = [name for name in contents if name.startswith("small/")]
    assert small == [f"small/{number}" for number in range(60)]


def test_missing_and_altered_files_are_all_named_or_left_out_and_reported(attic):
    attic.add("whole", noise(9 * MIB, 7))
    attic.row("missing", 5)
    for name, data in {"shorter": b"1234", "longer": b"1" * MIB, "altered": b"12346"}.items():
        attic.add(name, b"12345")
        (attic.boxes / name).write_bytes(data)
    attic.add("altered large", noise(2 * MIB))
    (attic.boxes / "altered large").write_bytes(noise(2 * MIB - 1) + b"?")
    attic.row("a folder", None)
    attic.add("a folder/x", b"x")
    bad = {"missing", "shorter", "longer", "altered", "altered large", "a folder"}
    whole = {name: data for name, data in attic.things.items() if name not in bad}
    with pytest.raises(RelationsFailed) as caught:
        attic.export(units=1, part_bytes=1 << 30)
    (failure,) = caught.value.failures
    assert failure.code == FilesMissing.__name__
    assert "6 file(s) of things cannot be exported" in failure.message
    assert [name for name in bad if f"things/{name}: " not in failure.message] == []
    exported = attic.export(missing_files="report", units=1)
    assert exported.contents("things/") == whole
    (relation,) = (one for one in exported.manifest.relations if one.relation == "things")
    assert {file.name for file in relation.missing} == {f"things/{name}" for name in bad}


def test_small_files_are_fetched_at_the_same_time_and_not_all_at_once(attic, monkeypatch):
    now, most, lock, find = 0, 0, threading.Lock(), files._find

    def counted(*arguments):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            return find(*arguments)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(files, "_find", counted)
    for number in range(200):
        attic.add(f"small/{number}", noise(1000, number))
    attic.buckets.stop()
    with Buckets(attic.folder, latency_seconds=0.05) as attic.buckets:
        exported = attic.export(units=1)
        seen = attic.buckets.seen()
    assert exported.contents("things/") == attic.things
    assert seen.pop("most") >= 8
    assert 8 <= most <= 16  # counted here: the server may still count a request whose answer has arrived
    assert seen == {"GET": 200}


@pytest.mark.slow
def test_an_endpoint_that_goes_away_is_named_and_the_retry_completes(attic, monkeypatch):
    for number in range(300):
        attic.add(f"small/{number}", noise(500 + number, number))
    ctx = attic.context(units=1)
    created = started(ctx)
    opened = []
    real = ctx.credentials.filesystem

    def filesystem(*arguments):
        found = real(*arguments)
        fetch = found.fs.cat_file

        def cat_file(*words, **options):
            opened.append(words)
            if len(opened) == 100:
                attic.buckets.stop()
            return fetch(*words, **options)

        monkeypatch.setattr(found.fs, "cat_file", cat_file)
        return found

    monkeypatch.setattr(ctx.credentials, "filesystem", filesystem)
    ctx = dataclasses.replace(ctx, settings=ctx.settings.model_copy(update={"max_attempts": 2}))

    def repair():
        while not any(row.error for row in ctx.ledger.queries.rows(created.job_id)):
            stopped.wait(0.05)
        errors.extend(row.error for row in ctx.ledger.queries.rows(created.job_id) if row.error)
        attic.buckets.start()

    errors: list[str] = []
    stopped = threading.Event()
    mender = threading.Thread(target=repair)
    mender.start()
    worker(ctx, created).run()
    mender.join()
    assert "s3://boxes/small/" in errors[0]
    assert attic.buckets.url in errors[0]
    assert "Check that the store is reachable" in errors[0]
    exported = Exported(ctx, created.job_id, merge(ctx, created))
    assert exported.contents("things/") == attic.things


@pytest.mark.parametrize("size", [1000, 2 * MIB])
@pytest.mark.slow
def test_a_cancel_ends_a_worker_whose_bucket_does_not_answer(attic, size):
    for number in range(40):
        attic.add(f"file {number}", noise(size, number))
    ctx = attic.context(units=1)
    created = started(ctx)
    working = worker(ctx, created)
    with attic.buckets.silent(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(working.run)
        wait_until(lambda: "things" in {row.relation for row in ctx.ledger.queries.rows(created.job_id, "started")})
        time.sleep(0.5)
        start = time.monotonic()
        working.cancel()
        assert isinstance(running.exception(timeout=60), AttemptRevoked)
        assert time.monotonic() - start < 5
    assert ctx.ledger.queries.rows(created.job_id, "started") == []
    worker(ctx, created, attempt=2).run()
    assert Exported(ctx, created.job_id, merge(ctx, created)).contents("things/") == attic.things


@pytest.mark.parametrize("wrong", [{"secret": "another/CANARY"}, {"key": "AKIACANARYNOBODY"}])
def test_no_credentials_are_in_a_log_the_ledger_or_the_archive(attic, wrong, caplog, tmp_path):
    caplog.set_level(logging.DEBUG, "project_export")
    attic.add("a", b"1")
    attic.options = wrong
    with pytest.raises(RelationsFailed, match="s3://boxes/a: EACCES") as caught:
        attic.export(max_attempts=1, units=1)
    attic.options = {}
    exported = attic.export(units=1)
    assert exported.contents("things/") == {"a": b"1"}
    kept = exported.path.with_name("project.manifest.json").read_text()
    with psycopg.connect(attic.ledger_dsn) as conn:
        rows = conn.execute("SELECT to_jsonb(j)::text FROM project_export_job j").fetchall()
        rows += conn.execute("SELECT to_jsonb(r)::text FROM relation_export r").fetchall()
    assert "EACCES" in str(rows)
    for text in (caplog.text, str(caught.value), repr(exported.ctx), kept, str(rows)):
        assert "CANARY" not in text


def test_a_connection_that_no_relation_needs_is_not_asked_for(attic):
    attic.add("a", b"1")
    for number in (1, 0):
        ctx = attic.context(units=1)
        attic.export(ctx)
        assert ctx.credentials.asked == ["bucket"] * number
        attic.sql("DELETE FROM things")
