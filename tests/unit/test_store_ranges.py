"""Ranges of files that consist of pieces, from each kind of store."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from project_export.errors import ArchiveBroken, ArtifactMissing, PartCorrupt
from project_export.store import Contents, Glue, JobKey, Source, Store, StoredFile, StoredPiece, open_store
from project_export.store.ranges import BLOCK

JOB = JobKey("source", 42, 7)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield open_store({"local": f"{tmp_path}/exports", "memory": "memory://bucket/exports"}[request.param])
    MemoryFileSystem.store.clear()


def put(store: Store, uri: str, data: bytes) -> str:
    with store.writing(JOB, uri) as out:
        out.write(data)
    return uri


def part(store: Store, number: int, data: bytes) -> StoredPiece:
    uri = put(store, store.part(JOB, "issues", number, 1), data)
    return StoredPiece("issues", number, uri, len(data), zlib.crc32(data), hashlib.sha256(b"raw").hexdigest())


def whole(store: Store, data: bytes) -> StoredFile:
    uri = put(store, store.archive(JOB, "ab" * 32), data)
    return StoredFile(uri, len(data), hashlib.sha256(data).hexdigest())


def read(store: Store, sources: Sequence[Source], first: int = 0, length: int | None = None) -> bytes:
    size = sum(source.bytes for source in sources)
    with closing(Contents(sources, store.open, first, size - first if length is None else length)) as contents:
        return b"".join(contents)


def open_files() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


def test_every_range_of_pieces_is_that_of_the_joined_file(store: Store) -> None:
    sources = [Glue(b"head"), part(store, 0, b"first"), part(store, 1, b"second"), Glue(b"tail")]
    joined = b"headfirstsecondtail"
    for first in range(len(joined) + 1):
        for end in range(first, len(joined) + 1):
            assert read(store, sources, first, end - first) == joined[first:end]


def test_a_file_is_read_in_blocks_from_any_offset(store: Store) -> None:
    data = os.urandom(3 * BLOCK + 5)
    file = whole(store, data)
    for first, length in ((0, len(data)), (1, len(data) - 1), (BLOCK - 1, 2), (len(data) - 1, 1)):
        with closing(Contents([file], store.open, first, length)) as contents:
            blocks = list(contents)
        assert b"".join(blocks) == data[first : first + length]
        assert max(map(len, blocks)) <= BLOCK


@pytest.mark.parametrize("kind", ["part", "file"])
def test_wrong_content_is_an_error_before_its_last_block(store: Store, kind: str) -> None:
    data = os.urandom(2 * BLOCK + 5)
    source = part(store, 0, data) if kind == "part" else whole(store, data)
    wrong = bytes([data[0] ^ 1]) + data[1:]
    put(store, source.uri, wrong)
    with closing(Contents([source, Glue(b"tail")], store.open, 0, len(data) + 4)) as contents:
        got = [next(contents), next(contents)]
        with pytest.raises(PartCorrupt if kind == "part" else ArchiveBroken, match="is not what was written: its"):
            next(contents)
    assert b"".join(got) == wrong[: 2 * BLOCK]
    assert read(store, [source], 1) == data[1:]  # a range has no checksum


@pytest.mark.parametrize("kind", ["part", "file"])
@pytest.mark.parametrize("stored", [b"1234", b"123456", None])
def test_a_wrong_size_and_a_missing_file_are_errors_before_the_first_byte(
    store: Store, kind: str, stored: bytes | None
) -> None:
    source = part(store, 0, b"12345") if kind == "part" else whole(store, b"12345")
    store.remove(source.uri)
    if stored is not None:
        put(store, source.uri, stored)
    expected = PartCorrupt if kind == "part" else ArtifactMissing if stored is None else ArchiveBroken
    with pytest.raises(expected):
        Contents([Glue(b"head"), source], store.open, 0, 9)


def test_what_is_open_is_closed_wherever_reading_ends(tmp_path: Path) -> None:
    store = open_store(f"{tmp_path}/exports")
    sources = [part(store, number, os.urandom(BLOCK + 1)) for number in range(3)]
    before = len(open_files())
    for blocks in range(7):
        with closing(Contents(sources, store.open, 0, 3 * (BLOCK + 1))) as contents:
            for _ in range(blocks):
                next(contents)
            assert len(open_files()) <= before + 1
        assert len(open_files()) == before
