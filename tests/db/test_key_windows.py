"""Records are read by key and exported in order: the same bytes whatever the window, and a bounded temporary file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from project_export.errors import Retryable, TemporaryRefused
from project_export.source import (
    Limits,
    Reader,
    Session,
    Temporary,
    batches,
    changed,
    key_windows,
    slices,
    sql,
    temporary,
)
from project_export.tree import BoundTree, bind, load, tables

TREE = load("gitlab")
REORDERED = ("issues", "merge_requests")


@pytest.fixture(scope="module")
def session(generated: str) -> Iterator[Session]:
    with Session(lambda: psycopg.connect(generated), "test", Limits()) as session:
        yield session


@pytest.fixture(scope="module")
def bound(session: Session) -> BoundTree:
    return bind(TREE, session.catalogue(tables(TREE)))


def read(session: Session, bound: BoundTree, name: str, window: Temporary, batch_bytes: int = 1 << 14) -> str:
    reader = Reader(session, bound, 1, batch_rows=7, batch_bytes=batch_bytes, temporary=window)
    return sha256(b"".join(chunk.data for chunk in reader.read(name))).hexdigest()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return where each write to a temporary file ends."""
    ends: list[int] = []
    pwrite = os.pwrite

    def noted(fd: int, data: bytes, offset: int) -> int:
        ends.append(offset + len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(temporary.os, "pwrite", noted)
    return ends


@pytest.mark.parametrize("name", REORDERED)
def test_windows_change_no_byte(
    session: Session,
    bound: BoundTree,
    tmp_path: Path,
    written: list[int],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = read(session, bound, name, Temporary(bytes=0))
    assert written == []
    full = []
    for size in (1, 1 << 16, 1 << 18, 1 << 30):
        caplog.clear()
        assert read(session, bound, name, Temporary(str(tmp_path), size)) == expected, size
        assert max(written, default=0) <= size
        full.append(f"{name}: read in export order" in caplog.text)
    assert full == [True, True, False, False]
    assert bool(written) == (name == "issues")  # the sample's merge requests are in the order of their keys
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_is_read_in_export_order_when_the_files_are_full(
    session: Session,
    bound: BoundTree,
    tmp_path: Path,
    written: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = read(session, bound, "issues", Temporary(bytes=0))
    monkeypatch.setattr(key_windows.KeyWindows, "_size", lambda _: 10_000)
    assert read(session, bound, "issues", Temporary(str(tmp_path), 40_000), 1 << 12) == expected
    assert 0 < max(written) <= 40_000
    assert "since the temporary files are full" in caplog.text


def test_no_temporary_file_is_made_where_the_order_follows_the_key(
    session: Session, bound: BoundTree, tmp_path: Path
) -> None:
    missing = Temporary(str(tmp_path / "missing"))
    for name in TREE.names:
        if name not in REORDERED:
            read(session, bound, name, missing)


def test_a_record_that_does_not_fit_is_read_at_its_turn(
    session: Session, bound: BoundTree, tmp_path: Path, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(session, bound, "issues", Temporary(bytes=0))
    for module in (batches, changed, slices, sql):
        monkeypatch.setattr(module, "LONGEST", 1500)
    assert read(session, bound, "issues", Temporary(str(tmp_path)), batch_bytes=2000) == expected
    assert 0 < max(written) < 1 << 20


def test_progress_counts_what_was_read(session: Session, bound: BoundTree, tmp_path: Path) -> None:
    reader = Reader(session, bound, 1, batch_rows=2, temporary=Temporary(str(tmp_path)))
    yielded, ahead, reads = 0, 0, []
    for chunk in reader.read("issues"):
        yielded += chunk.records
        ahead = max(ahead, chunk.read - yielded)
        reads += [chunk.read] if chunk.read else []
    assert ahead > 0
    assert reads == sorted(reads)
    assert max(reads) <= yielded == reader.count("issues")


@pytest.fixture
def alike(generated_copy: str) -> Iterator[Reader]:
    """Return a reader of 400 issues of the same size, whose order is not that of their keys, five at a time."""
    with psycopg.connect(generated_copy) as conn:
        conn.execute("DELETE FROM issues WHERE project_id = 1")
        conn.execute(
            "INSERT INTO issues (id, iid, project_id, namespace_id, title, relative_position, work_item_type_id)"
            " SELECT 100000 + i, i, 1, project_namespace_id, 'issue', i * 77 % 401, 1"
            " FROM projects, generate_series(1, 400) AS i WHERE projects.id = 1"
        )
    with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
        yield Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1, batch_rows=5)


def test_a_window_is_yielded_evenly_while_the_next_one_is_read(alike: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the server waits for the client while much is yielded, and the client for the server afterwards."""
    monkeypatch.setattr(key_windows.KeyWindows, "_size", lambda _: 100)
    yielded, waited = 0, []
    for chunk in alike.read("issues"):
        yielded += chunk.records
        if 120 <= chunk.read <= 380:
            waited.append(chunk.read - yielded)
    assert len(waited) > 50
    assert min(waited) > 80
    assert max(waited) < 120


def test_keys_are_sorted_as_numbers() -> None:
    assert key_windows._by_key([b"10", b"9", b"100", b"1"]) == [3, 1, 0, 2]
    assert key_windows._by_key([(b"2", b"10"), (b"2", b"9"), (b"1", b"11")]) == [2, 1, 0]


def test_a_full_disk_is_an_error_with_path_and_errno(
    session: Session, bound: BoundTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(temporary.os, "pwrite", full)
    with pytest.raises(TemporaryRefused, match=f"{tmp_path}: ENOSPC, No space left on device") as raised:
        read(session, bound, "issues", Temporary(str(tmp_path)))
    assert raised.value.code == "ENOSPC"
    assert isinstance(raised.value, Retryable)


def test_a_folder_in_memory_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(temporary, "_MOUNTS", mounts)
    line = "36 35 {}:{} / / rw,noatime shared:1 - {} source rw\n"
    mounts.write_text(line.format(0, 12345, "tmpfs") + line.format(os.major(device), os.minor(device), "ext4"))
    assert Temporary(str(tmp_path)).warning == ""
    mounts.write_text(line.format(os.major(device), os.minor(device), "tmpfs"))
    assert "is in memory" in Temporary(str(tmp_path)).warning


def test_the_space_is_checked_before_it_is_needed(tmp_path: Path) -> None:
    Temporary(str(tmp_path), 1).require()
    Temporary(str(tmp_path), 1 << 60).require(most=1)
    with pytest.raises(TemporaryRefused, match=rf"{tmp_path}: ENOSPC, \d+ bytes are free, {1 << 60} are needed"):
        Temporary(str(tmp_path), 1 << 60).require()
    with pytest.raises(TemporaryRefused, match="missing: ENOENT"):
        Temporary(str(tmp_path / "missing"), 1).require()
