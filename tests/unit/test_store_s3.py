"""A store in a bucket of a real S3-compatible server: ranges, replaced objects, broken answers, signed URLs."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from project_export.errors import ArtifactMissing, StoreRefused
from project_export.store import Contents, JobKey, Store, StoredFile, open_store
from project_export.store.ranges import BLOCK
from tests.buckets import SECRET, Buckets
from tests.runs import wait_until

pytestmark = pytest.mark.heavy

JOB = JobKey("source", 42, 7)
DATA = os.urandom(20 << 20)


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "bucket").mkdir()
    with Buckets(folder) as buckets:
        yield buckets


@pytest.fixture
def store(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> Store:
    buckets.in_environment(monkeypatch)
    return open_store("s3://bucket/exports")


def put(store: Store, data: bytes = DATA) -> StoredFile:
    uri = store.archive(JOB, "ab" * 32)
    with store.writing(JOB, uri) as out:
        out.write(data)
    return StoredFile(uri, len(data), hashlib.sha256(data).hexdigest())


def test_ranges_are_read_with_one_request_each(store: Store, buckets: Buckets) -> None:
    file = put(store)
    for first, length in ((0, len(DATA)), (5, BLOCK), (len(DATA) - 1, 1)):
        buckets.seen()
        with closing(Contents([file], store.open, first, length)) as contents:
            assert b"".join(contents) == DATA[first : first + length]
        assert {name: count for name, count in buckets.seen().items() if name != "most"} == {"HEAD": 1, "GET": 1}
    with store.open(put(store, b"").uri) as empty:
        assert empty.read() == b""


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_an_archive_that_is_removed_or_replaced_during_a_read_arrives_whole(store: Store, how: str) -> None:
    file = put(store)
    with closing(Contents([file], store.open, 0, len(DATA))) as contents:
        got = [next(contents)]
        if how == "removed":
            store.remove(file.uri)
        else:
            put(store, os.urandom(len(DATA)))
        got += contents
    assert b"".join(got) == DATA
    with pytest.raises(ArtifactMissing) if how == "removed" else closing(store.open(file.uri)):
        store.open(file.uri).close()


def test_an_answer_that_breaks_off_is_continued_from_where_it_ended(store: Store, buckets: Buckets) -> None:
    file = put(store)
    with closing(Contents([file], store.open, 0, len(DATA))) as contents:
        got = [next(contents)]
        buckets.stop()
        buckets.start()
        got += contents
    assert b"".join(got) == DATA


def test_an_answer_that_breaks_off_is_never_continued_with_another_object(store: Store, buckets: Buckets) -> None:
    file = put(store)
    with closing(Contents([file], store.open, 0, len(DATA))) as contents:
        got = next(contents)
        buckets.stop()
        buckets.start()
        put(store, os.urandom(len(DATA)))
        with pytest.raises(StoreRefused, match="ESTALE"):
            for block in contents:
                got += block
    assert DATA.startswith(got)


def test_a_signed_url_needs_no_credentials_names_the_file_and_ends(store: Store) -> None:
    file = put(store, b"12345")
    url = store.presigned(file.uri, 2, "a_export.tar.gz", "application/gzip")
    assert url is not None
    assert SECRET not in url
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"12345"
    assert "response-content-disposition=attachment%3B%20filename%3D%22a_export.tar.gz%22" in url
    assert "response-content-type=application%2Fgzip" in url
    assert wait_until(lambda: refused(url)) == 403


def refused(url: str) -> int:
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except urllib.error.HTTPError as error:
        return error.code
    time.sleep(0.2)
    return 0


def test_other_stores_sign_nothing(tmp_path: Path) -> None:
    for uri in (str(tmp_path), "memory://bucket/exports"):
        store = open_store(uri)
        assert store.presigned(store.archive(JOB, "ab" * 32), 60, "a", "b") is None
