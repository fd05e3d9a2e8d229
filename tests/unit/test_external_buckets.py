"""Files in buckets of a real S3-compatible server: what is read, with which credentials, and what errors say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import s3fs

from project_export.credentials import Credentials
from project_export.errors import ArtifactMissing, SettingMissing, StoreRefused
from project_export.external import External, Unsafe, open_external
from project_export.external.remote import AT_ONCE
from tests.buckets import KEY, SECRET, Buckets

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "bucket" / "up" / "in").mkdir(parents=True)
    (folder / "vacant").mkdir()
    (folder / "bucket" / "secret").write_bytes(b"outside")
    (folder / "bucket" / "up" / "ten").write_bytes(b"0123456789")
    (folder / "bucket" / "up" / "in" / "ö and #% ?.txt").write_bytes(b"text")
    (folder / "bucket" / "up" / "empty").write_bytes(b"")
    (folder / "bucket" / "up" / "large").write_bytes(bytes(range(256)) * (9 << 12))
    with Buckets(folder) as buckets:
        yield buckets


@pytest.fixture
def external(buckets: Buckets) -> External:
    external = open_external("s3://bucket@bucket/up/", buckets.credentials())
    assert external.open("ten") is not None
    buckets.seen()
    return external


def content(external: External, name: str, size: int | None = None) -> bytes | None:
    file = external.open(name, size)
    if file is None:
        return None
    with file:
        return file.read()


@pytest.mark.parametrize("size", [None, 0, 1, 9, 10, 11, AT_ONCE, AT_ONCE + 1])
def test_a_file_is_read_whatever_its_size_is_said_to_be(external: External, size: int | None) -> None:
    assert content(external, "ten", size) == b"0123456789"
    assert content(external, "empty", size) == b""
    assert content(external, "in/ö and #% ?.txt", size) == b"text"
    assert content(external, "none", size) is None
    assert content(external, "ten/below", size) is None


def test_a_small_file_of_known_size_takes_one_request(external: External, buckets: Buckets) -> None:
    assert content(external, "ten", 10) == b"0123456789"
    assert buckets.seen() == {"GET": 1, "most": 1}
    assert content(external, "none", 10) is None
    assert buckets.seen() == {"GET": 1, "most": 1}


def test_a_folder_is_not_taken_for_an_empty_file(external: External) -> None:
    assert content(external, "in") is None
    assert content(external, "in", 1) is None


def test_a_large_file_is_read_from_any_position(external: External) -> None:
    whole = bytes(range(256)) * (9 << 12)
    with external.open("large", len(whole)) or pytest.fail("missing") as file:
        assert file.seek(0, 2) == len(whole)
        for start in (len(whole) - 5, 3, 8 << 20):
            file.seek(start)
            assert file.read(1000) == whole[start : start + 1000]
    assert external.read("large", 5, 4) == bytes([5, 6, 7, 8])
    assert external.read("none", 5, 4) is None
    external.close()


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/secret", "./ten", "ten?versionId=1"])
def test_a_name_that_would_be_another_object_is_refused(external: External, name: str) -> None:
    for size in (None, 7):
        with pytest.raises(Unsafe):
            external.open(name, size)


def test_files_are_opened_in_several_threads(external: External, buckets: Buckets) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: content(external, "ten", 10), range(64))) == {b"0123456789"}
    assert buckets.seen()["GET"] == 64


@pytest.mark.parametrize("uri", ["s3://bucket@none/up", "s3://bucket@bucket/nothing"])
def test_a_bucket_or_folder_that_is_missing_is_not_taken_for_an_empty_one(buckets: Buckets, uri: str) -> None:
    external = open_external(uri, buckets.credentials())
    for size in (None, 10):
        with pytest.raises(ArtifactMissing, match="ENOENT"):
            external.open("ten", size)


def test_a_bucket_may_be_empty(buckets: Buckets) -> None:
    assert open_external("s3://bucket@vacant", buckets.credentials()).open("ten", 10) is None


WRONG = {
    "key": {"key": "AKIANOBODYCANARY"},
    "secret": {"secret": "another/CANARY"},
    "both": {"key": "AKIANOBODYCANARY", "secret": "another/CANARY"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_credentials_are_refused_and_not_shown(buckets: Buckets, wrong: str) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials(**WRONG[wrong]))
    for size in (None, 10):
        with pytest.raises(StoreRefused, match="s3://bucket/up/ten: EACCES") as caught:
            external.open("ten", size)
        assert "CANARY" not in str(caught.value)


def test_credentials_of_the_environment_count_where_no_connection_is_named(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": buckets.url}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    made, make = [], s3fs.S3FileSystem.__init__

    def counted(fs: object, **options: object) -> None:
        made.append(fs)
        make(fs, **options)

    monkeypatch.setattr("s3fs.S3FileSystem.__init__", counted)
    credentials = buckets.credentials()
    external = open_external("s3://bucket/up", credentials)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: content(external, "ten", 10), range(16))) == {b"0123456789"}
    assert credentials.asked == []
    assert len(made) == 1


def test_a_shell_says_where_to_put_the_credentials_of_a_connection() -> None:
    with pytest.raises(SettingMissing, match=r"'minio' for s3://, .* without `minio@`, .* AWS_SECRET_ACCESS_KEY"):
        open_external("s3://minio@bucket/up", Credentials())


@pytest.mark.slow
def test_an_endpoint_that_is_gone_is_a_refusal_that_may_be_retried(buckets: Buckets) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials())
    assert content(external, "ten", 10) == b"0123456789"
    buckets.stop()
    try:
        with pytest.raises(StoreRefused, match=f"s3://bucket/up/ten: .*{buckets.url}"):
            external.open("ten", 10)
    finally:
        buckets.start()
    assert content(external, "ten", 10) == b"0123456789"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit requests to four seconds."""
    monkeypatch.setattr("project_export.external.remote.LIMIT_SECONDS", 4)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [10, None])
def test_a_bucket_that_does_not_answer_is_reported_in_time(buckets: Buckets, size: int | None) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials())
    said = r"s3://bucket/up/ten: TimeoutError, there was no answer within 4 s. Check"
    with buckets.silent(), pytest.raises(StoreRefused, match=said):
        external.open("ten", size)
    assert content(external, "ten", size) == b"0123456789"


@pytest.mark.usefixtures("impatient")
def test_a_bucket_that_stops_answering_in_a_large_file_is_reported_in_time(buckets: Buckets) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials())
    whole = bytes(range(256)) * (9 << 12)
    with external.open("large", len(whole)) or pytest.fail("missing") as file:
        assert file.read(256) == whole[:256]
        with buckets.silent(), pytest.raises(StoreRefused, match="s3://bucket/up/large: TimeoutError"):
            file.read()
        with pytest.raises(StoreRefused, match="an earlier request for this file has failed"):
            file.seek(0)
    assert content(external, "large", len(whole)) == whole


@pytest.mark.usefixtures("impatient")
def test_values_of_a_file_are_read_from_a_new_one_after_an_error(buckets: Buckets) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials())
    assert external.read("large", 1, 4) == bytes([1, 2, 3, 4])
    with buckets.silent(), pytest.raises(StoreRefused, match="s3://bucket/up/large: TimeoutError"):
        external.read("large", (9 << 20) - 8, 4)
    assert external.read("large", 5, 4) == bytes([5, 6, 7, 8])
    external.close()


def test_requests_to_a_bucket_that_does_not_answer_can_be_given_up(buckets: Buckets) -> None:
    external = open_external("s3://bucket@bucket/up", buckets.credentials())
    with buckets.silent(), ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(external.open, "ten", size) for size in (10, None, 10, None)]
        time.sleep(0.2)
        external.cancel()
        for one in asked:
            assert isinstance(one.exception(timeout=5), StoreRefused)
    assert content(external, "ten", 10) == b"0123456789"
