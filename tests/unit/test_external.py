"""Values in files beside the database: what is read of them, and what is never followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from project_export.errors import ArtifactMissing, BadRequest, StoreRefused
from project_export.external import External, open_external

NAME = "merge_request_diffs/mr-7/diff-9"


@pytest.fixture(params=["folder", "file", "memory"])
def external(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[External]:
    """The same store as a path, as a URI, and in a file system that is not local."""
    (tmp_path / NAME).parent.mkdir(parents=True)
    (tmp_path / NAME).write_bytes(b"0123456789")
    MemoryFileSystem().pipe_file(f"/bucket/{NAME}", b"0123456789")
    uris = {"folder": f"{tmp_path}/", "file": f"file://{tmp_path}", "memory": "memory://bucket"}
    opened = open_external(uris[request.param])
    yield opened
    opened.close()
    MemoryFileSystem.store.clear()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[External]:
    (tmp_path / "store" / "in").mkdir(parents=True)
    (tmp_path / "store" / "in" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    opened = open_external(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("offset", "size", "data"),
    [(0, 3, b"012"), (7, 3, b"789"), (2, 0, b""), (7, 30, b"789"), (10, 1, b""), (2**62, 2**62, b"")],
)
def test_a_piece_of_a_file_is_read_as_far_as_it_is_there(
    external: External, offset: int, size: int, data: bytes
) -> None:
    assert external.read(NAME, offset, size) == data
    assert external.read(NAME, 1, 1) == b"1"


def test_a_file_that_is_not_there_is_none(external: External) -> None:
    assert external.read("merge_request_diffs/mr-8/diff-9", 0, 1) is None
    assert external.read("merge_request_diffs/mr-7/diff-9x", 0, 1) is None
    assert external.read(NAME, 0, 1) == b"0"


@pytest.mark.parametrize("uri", ["/nowhere/at/all", "memory://nowhere"])
def test_a_store_that_is_not_there_is_refused(uri: str) -> None:
    with pytest.raises(ArtifactMissing, match=r"nowhere.*ENOENT"):
        open_external(uri).read(NAME, 0, 1)


@pytest.mark.parametrize("uri", ["diffs", "./diffs", "file://diffs", "/"])
def test_a_store_has_an_absolute_path(uri: str) -> None:
    with pytest.raises(BadRequest, match="neither an absolute path"):
        open_external(uri)


@pytest.mark.parametrize(
    "name", ["../secret", "in/../../secret", "/etc/passwd", "", ".", "in/./file", "in//file", "a\0b"]
)
def test_a_name_that_leads_out_is_refused(external: External, local: External, name: str) -> None:
    for store in (external, local):
        with pytest.raises(ValueError, match="is outside the store"):
            store.read(name, 0, 1)


def test_no_link_is_followed(local: External, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "link").symlink_to(tmp_path / "secret")
    (store / "around").symlink_to(tmp_path)
    (store / "in" / "own").symlink_to("file")
    for name in ("link", "around/secret", "in/own", "around/store/in/file"):
        with pytest.raises(ValueError, match="contains a link"):
            local.read(name, 0, 9)


def test_only_files_are_read(local: External, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "store" / "pipe")
    for name in ("pipe", "in"):
        with pytest.raises(ValueError, match="is not a file"):
            local.read(name, 0, 9)


def test_the_store_itself_may_be_a_link(local: External, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "store")
    linked = open_external(str(tmp_path / "current"))
    assert linked.read("in/file", 2, 4) == b"side"
    linked.close()


def test_no_descriptor_stays_open(local: External, tmp_path: Path) -> None:
    (tmp_path / "store" / "link").symlink_to("in")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        assert local.read("in/file", 0, 9) == b"inside"
        assert local.read("in/none", 0, 9) is None
        with pytest.raises(ValueError, match="link"):
            local.read("link/file", 0, 9)
    local.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_the_system_refuses_is_named(local: External) -> None:
    with pytest.raises(StoreRefused, match="ENAMETOOLONG"):
        local.read("n" * 300, 0, 1)
