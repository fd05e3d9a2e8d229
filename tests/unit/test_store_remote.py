"""Whatever a remote store's library raises is an error of the tree, at each step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from project_export.errors import ArtifactMissing, ProjectExportError, StoreRefused, StoreUnusable
from project_export.external import open_external
from project_export.store import JobKey, Store, manifest_of, open_store
from tests import flaky

JOB = JobKey("source", 42, 7)
REFUSALS = (
    flaky.EndpointConnectionError(),
    flaky.ReadTimeoutError("Read timeout on endpoint URL"),
    flaky.NoCredentialsError("Unable to locate credentials"),
    flaky.ClientError("SlowDown"),
    flaky.ClientError("ExpiredToken"),
    TimeoutError(),
    PermissionError("Access Denied"),
)
STEPS: dict[str, tuple[str, Callable[[Store], object]]] = {
    "probe": ("write", lambda store: store.check()),
    "write": ("write", lambda store: put(store, store.part(JOB, "issues", 0, 1))),
    "publish": ("write", lambda store: put(store, manifest_of(store.archive(JOB, "ab" * 32)))),
    "read": ("read", lambda store: store.open(there(store))),
    "list": ("list", lambda store: store.files(JOB)),
    "remove": ("remove", lambda store: store.remove(there(store))),
}


@pytest.fixture
def store() -> Iterator[Store]:
    with flaky.empty() as uri:
        store = open_store(uri)
        put(store, there(store))
        yield store


def there(store: Store) -> str:
    return store.part(JOB, "labels", 0, 1)


def put(store: Store, uri: str) -> None:
    with store.writing(JOB, uri) as out:
        out.write(b"content")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_names_path_and_error_at_each_step_and_may_be_retried(
    store: Store, step: str, error: Exception
) -> None:
    refused, act = STEPS[step]
    with flaky.refusing(refused, error=error), pytest.raises(StoreRefused) as caught:
        act(store)
    assert str(caught.value).startswith("flaky://bucket/exports/")
    assert type(error).__name__ in str(caught.value) or "EACCES" in str(caught.value)
    assert caught.value.__cause__ is error
    act(store)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "error",
    [ImportError("Install s3fs to access S3"), ValueError("Invalid endpoint"), flaky.ParamValidationError("Invalid")],
    ids=lambda error: type(error).__name__,
)
def test_what_is_set_up_wrongly_is_not_retried(store: Store, step: str, error: Exception) -> None:
    refused, act = STEPS[step]
    with flaky.refusing(refused, error=error), pytest.raises(StoreUnusable, match=str(error)):
        act(store)


def test_a_missing_bucket_is_not_retried(store: Store) -> None:
    error = FileNotFoundError("The specified bucket does not exist")
    with flaky.refusing("write", error=error), pytest.raises(StoreUnusable, match="no such bucket"):
        store.check()


@pytest.mark.parametrize("uri", ["nosuch://bucket/exports", "S3://bucket/exports", "s3://bucket/exports"])
def test_a_scheme_that_nothing_opens_and_a_package_that_is_missing_are_found_by_the_probe(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # what makes an import of it fail
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(StoreUnusable, match="://bucket/exports"):
        open_store(uri).check()


def test_what_a_step_raises_itself_is_left_as_it_is(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing(JOB, store.part(JOB, "issues", 0, 1)):
        raise ZeroDivisionError
    with flaky.refusing("read", error=MemoryError()), pytest.raises(MemoryError):
        store.open(there(store))


def test_a_read_that_breaks_off_is_a_refusal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise flaky.ReadTimeoutError("Read timeout on endpoint URL")

    file = store.open(there(store))
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.read", broken, raising=False)
    with pytest.raises(StoreRefused, match="ReadTimeoutError"):
        file.read()


def test_an_object_of_another_size_than_was_sent_is_a_refusal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(fs: MemoryFileSystem, lpath: str, rpath: str) -> None:
        fs.pipe_file(rpath, Path(lpath).read_bytes()[:-1])

    monkeypatch.setattr("tests.flaky.FlakyFileSystem.put_file", cut)
    with pytest.raises(StoreRefused, match="7 bytes were sent, and 6 are stored"):
        put(store, there(store))


def test_a_store_that_does_not_answer_is_not_taken_for_an_empty_one(store: Store) -> None:
    with flaky.refusing("list"):
        for ask in (lambda: store.files(JOB), lambda: store.remove_others(JOB, set())):
            with pytest.raises(StoreRefused):
                ask()
    with flaky.refusing("remove"):
        store.discard(there(store))
    assert list(store.files(JOB)) == [there(store)]


def test_a_source_s_own_files_are_refused_in_the_same_way(store: Store) -> None:
    name = there(store).removeprefix(f"{store.uri}/")
    external = open_external(store.uri)
    for error, kind in ((flaky.EndpointConnectionError(), StoreRefused), (ImportError("no s3fs"), StoreUnusable)):
        with flaky.refusing(error=error), pytest.raises(kind):
            external.read(name, 0, 7)
    assert external.read(name, 0, 7) == b"content"
    external.close()


def test_a_file_that_is_gone_is_missing(store: Store) -> None:
    store.remove(there(store))
    with pytest.raises(ArtifactMissing):
        store.open(there(store))
    assert issubclass(ArtifactMissing, ProjectExportError)
