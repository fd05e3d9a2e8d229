"""Exports to a bucket that is opened with a connection: the ledger does not contain it, and others read the archive."""

from __future__ import annotations

import dataclasses
import io
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.credentials import Credentials
from project_export.errors import SettingMissing, SettingRefused, StoreRefused, StoreUnusable
from project_export.steps import Context
from project_export.store import JobKey, Store, open_store
from tests.attic import Attic
from tests.buckets import KEY, SECRET, Buckets
from tests.runs import merge, started, worker

pytestmark = pytest.mark.heavy
STORE = "s3://results@exports/of/attics"
PLAIN = "s3://exports/of/attics"
JOB = JobKey("source", 42, 7)


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "exports").mkdir()
    with Buckets(folder) as buckets:
        yield buckets


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.add("a", b"1")
    return attic


@pytest.fixture
def environment(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the credentials into the environment."""
    for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": buckets.url}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def context(attic: Attic, buckets: Buckets, **options: Any) -> Context:
    return dataclasses.replace(attic.context(units=1, store=STORE), credentials=buckets.credentials(**options))


def names(store: Store, uri: str) -> list[str]:
    with store.open(uri) as file, tarfile.open(fileobj=io.BytesIO(file.read())) as tar:
        return tar.getnames()


@pytest.mark.usefixtures("environment")
def test_other_processes_read_the_archive_with_credentials_of_their_own(attic, buckets):
    ctx = context(attic, buckets)
    created = started(ctx)
    worker(ctx, created).run()
    merged = merge(ctx, created)
    assert ctx.credentials.asked == ["results"]
    assert merged.uri.startswith(f"{PLAIN}/source/1/{created.job_id}/")
    for store in (ctx.store, open_store(PLAIN), open_store(STORE, buckets.credentials())):
        assert "./things/a" in names(store, merged.uri)
    with psycopg.connect(attic.ledger_dsn) as conn:
        rows = conn.execute("SELECT to_jsonb(j)::text FROM project_export_job j").fetchall()
        rows += conn.execute("SELECT to_jsonb(r)::text FROM relation_export r").fetchall()
    assert PLAIN in str(rows)
    assert "results@" not in str(rows)
    assert "CANARY" not in str(rows)


@pytest.mark.parametrize("wrong", [{"secret": "another/CANARY"}, {"key": "AKIACANARYNOBODY"}])
def test_wrong_credentials_are_reported_before_anything_is_read_and_not_shown(attic, buckets, wrong, caplog):
    caplog.set_level(logging.DEBUG, "project_export")
    ctx = context(attic, buckets, **wrong)
    with pytest.raises(StoreRefused, match=f"{PLAIN}/.probe-.*: EACCES") as caught:
        started(ctx)
    assert "CANARY" not in str(caught.value) + caplog.text + repr(ctx)


def test_files_are_listed_and_removed(buckets):
    store = open_store(STORE, buckets.credentials())
    store.check()
    uris = [store.part(JOB, "issues", part, 1) for part in range(3)]
    for uri in uris:
        with store.writing(JOB, uri) as out:
            out.write(b"part")
    assert store.files(JOB) == dict.fromkeys(uris, 4)
    assert store.remove_others(JOB, {uris[1]}) == [uris[0], uris[2]]
    assert store.files(JOB) == {uris[1]: 4}


def test_a_bucket_that_is_missing_is_named(buckets):
    with pytest.raises(StoreUnusable, match=r"s3://nosuch/of/attics/.*no such bucket"):
        open_store("s3://results@nosuch/of/attics", buckets.credentials()).check()


@pytest.mark.parametrize("step", ["write", "open", "read", "list", "remove"])
def test_a_store_that_does_not_answer_is_reported_in_time(buckets, monkeypatch, step):
    monkeypatch.setattr("project_export.store.objects.LIMIT_SECONDS", 4)
    store = open_store(STORE, buckets.credentials())
    uri = store.part(JOB, "issues", 0, 1)

    def write():
        with store.writing(JOB, uri) as out:
            out.write(b"part")

    write()
    file = store.open(uri)
    steps = {
        "write": write,
        "open": lambda: store.open(uri),
        "read": file.read,
        "list": lambda: store.files(JOB),
        "remove": lambda: store.remove(uri),
    }
    said = f"{PLAIN}/.*: TimeoutError, there was no answer within 4 s"
    with buckets.silent(), pytest.raises(StoreRefused, match=said):
        steps[step]()
    store.check()


def test_a_shell_has_no_connections():
    with pytest.raises(
        SettingMissing, match=r"PROJECT_EXPORT_STORE names the connection 'results' .* without `results@`"
    ):
        open_store(STORE, Credentials())


def test_a_password_in_the_setting_is_refused_and_not_shown():
    with pytest.raises(SettingRefused, match="PROJECT_EXPORT_STORE contains a password") as caught:
        open_store("s3://AKIA:CANARY/secret@exports/of/attics")
    assert "CANARY" not in str(caught.value)
