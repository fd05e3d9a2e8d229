from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from project_export.errors import ArtifactMissing, AttemptRevoked, BadRequest, PartCorrupt, StoreRefused
from project_export.store import (
    Assembled,
    Glue,
    JobKey,
    LocalStore,
    Store,
    StoredPiece,
    digest_of,
    manifest_of,
    open_store,
)
from project_export.store.temporary import sweep

JOB = JobKey("project_export_source", 42, 7)
DIGEST = "ab" * 32


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The same store as a path, as a URI, and in a file system that is not local."""
    yield open_store(
        {"folder": f"{tmp_path}/", "file": tmp_path.as_uri(), "memory": "memory://bucket/exports"}[request.param]
    )
    MemoryFileSystem.store.clear()


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "exports")


def archive(store: Store) -> str:
    return store.archive(JOB, DIGEST)


def put(store: Store, uri: str, data: bytes, job: JobKey = JOB) -> str:
    with store.writing(job, uri) as out:
        out.write(data)
    return uri


def get(store: Store, uri: str) -> bytes:
    with store.open(uri) as file:
        return file.read()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_files_lie_below_source_project_and_job(store: Store) -> None:
    below = f"{store.uri}/project_export_source/42/7/"
    assert store.part(JOB, "issues", 3, 2) == below + "parts/issues.3.2.deflate"
    assert store.archive(JOB, DIGEST) == below + "abababababababab/project.tar.gz"
    assert manifest_of(archive(store)) == below + "abababababababab/project.manifest.json"


def test_what_was_written_reads_back(store: Store) -> None:
    data = os.urandom(1 << 20)
    uri = put(store, store.part(JOB, "issues", 0, 1), data)
    assert get(store, uri) == data


def test_a_second_writing_replaces_the_first(store: Store) -> None:
    put(store, archive(store), b"first")
    assert get(store, put(store, archive(store), b"second")) == b"second"


def test_nothing_is_published_before_the_end(store: Store) -> None:
    with store.writing(JOB, archive(store)) as out:
        out.write(b"x" * (1 << 20))
        with pytest.raises(ArtifactMissing, match="ENOENT"):
            store.open(archive(store))


@pytest.mark.parametrize(
    "error", [AttemptRevoked("revoked"), KeyboardInterrupt(), ConnectionResetError("of the source")]
)
def test_an_exception_leaves_the_old_archive_and_no_temporary_file(
    store: Store, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uri = put(store, archive(store), b"old")
    before = files(tmp_path)
    with pytest.raises(type(error)) as caught, store.writing(JOB, archive(store)) as out:
        out.write(b"x" * (1 << 20))
        raise error
    assert caught.value is error
    assert files(tmp_path) == before
    assert get(store, uri) == b"old"


def test_a_reader_keeps_the_archive_that_it_opened(local: LocalStore) -> None:
    with local.open(put(local, archive(local), b"old")) as reader:
        put(local, archive(local), b"new")
        assert reader.read() == b"old"


def test_removing_is_done_once_and_again(store: Store) -> None:
    uri = put(store, manifest_of(archive(store)), b"{}")
    store.remove(uri)
    store.remove(uri)
    with pytest.raises(ArtifactMissing):
        store.open(uri)


def test_what_nothing_refers_to_is_removed(store: Store) -> None:
    first, second, third = (put(store, store.part(JOB, "issues", 0, attempt), b"x") for attempt in (1, 2, 3))
    kept = put(store, archive(store), b"archive")
    other = put(store, store.part(JobKey(JOB.source, JOB.project_id, 8), "issues", 0, 1), b"x")
    manifest = put(store, manifest_of(archive(store)), b"of an older archive")
    assert store.remove_others(JOB, {second, kept}) == [manifest, first, third]
    assert [get(store, uri) for uri in (second, kept, other)] == [b"x", b"archive", b"x"]
    assert store.remove_others(JobKey("none", 1, 1), set()) == []


def test_a_killed_process_leaves_a_file_that_names_job_and_attempt_and_goes_with_what_is_unreferenced(
    local: LocalStore,
) -> None:
    code = (
        "import sys, os, signal\n"
        "from project_export.store import JobKey, open_store\n"
        "store, job = open_store(sys.argv[1]), JobKey('project_export_source', 42, 7)\n"
        "with store.writing(job, store.part(job, 'issues', 0, 2)) as out:\n"
        "    out.write(b'x'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(sys.path)
    run = subprocess.run([sys.executable, "-c", code, local.uri], env={"PYTHONPATH": path}, check=False)
    assert run.returncode == -signal.SIGKILL
    folder = local.local_path(local.part(JOB, "issues", 0, 2))
    assert folder
    (left,) = files(folder.parent)
    assert left.startswith(".issues.0.2.deflate.job-7.pid-")
    assert len(local.remove_others(JOB, set())) == 1
    assert files(folder.parent) == []


def test_what_a_killed_process_wrote_for_a_remote_store_goes_with_the_next_one_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, young, others = (
        tmp_path / name for name in (".x.job-1.pid-2.ab.tmp", ".y.job-1.pid-2.ab.tmp", ".z.pid-2.tmp")
    )
    store = open_store("memory://bucket/exports")
    with store.writing(JOB, store.part(JOB, "a", 0, 1)):
        (living,) = tmp_path.iterdir()
        for path in (dead, young, others):
            path.write_bytes(b"x")
        for path in (dead, others, living):
            os.utime(path, (0, 0))
        sweep(tmp_path)
        assert set(tmp_path.iterdir()) == {young, others, living}
    MemoryFileSystem.store.clear()


def piece(store: Store, part: int, data: bytes) -> StoredPiece:
    """Store a part, and return it as a piece."""
    uri = put(store, store.part(JOB, "issues", part, 1), data)
    return StoredPiece("issues", part, uri, len(data), zlib.crc32(data), hashlib.sha256(data).hexdigest())


def test_an_archive_is_assembled_from_its_pieces_and_named_by_them_before_any_is_read(
    store: Store, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20)
    pieces = [Glue(b"begin"), piece(store, 0, data), Glue(b"middle"), piece(store, 1, b""), Glue(b"end")]
    whole = b"begin" + data + b"middleend"
    uri = store.archive(JOB, digest_of(pieces))
    assert store.assemble(JOB, pieces, uri) == Assembled(len(whole), hashlib.sha256(whole).hexdigest())
    assert get(store, uri) == whole
    assert uri in store.remove_others(JOB, set())
    assert not list(tmp_path.rglob(digest_of(pieces)[:16]))


@pytest.mark.parametrize("before", [b"", b"cut sho", b"beginnXng", b"beginning and more"])
def test_what_has_the_name_of_an_archive_already_is_never_taken_for_it(store: Store, before: bytes) -> None:
    pieces = [Glue(b"begin"), piece(store, 0, b"ning")]
    uri = put(store, store.archive(JOB, digest_of(pieces)), before)
    assert store.assemble(JOB, pieces, uri).sha256 == hashlib.sha256(b"beginning").hexdigest()
    assert get(store, uri) == b"beginning"


@pytest.mark.parametrize("break_it", ["changed", "cut", "gone"])
def test_a_part_that_is_not_what_was_written_is_named_and_nothing_is_published(store: Store, break_it: str) -> None:
    good, bad = piece(store, 0, b"good"), piece(store, 1, b"some bytes")
    uri = store.archive(JOB, digest_of([good, bad]))
    if break_it == "gone":
        store.remove(bad.uri)
    else:
        put(store, bad.uri, {"changed": b"same bytes", "cut": b"some byte"}[break_it])
    with pytest.raises(PartCorrupt, match=r"exported again") as caught:
        store.assemble(JOB, [good, bad], uri)
    assert (caught.value.relation, caught.value.part) == ("issues", 1)
    assert uri not in store.files(JOB)


def test_the_digest_covers_glue_size_checksum_and_content_of_parts_and_their_order() -> None:
    part = StoredPiece("issues", 0, "file:///x", 3, 1, "aa")
    pieces = [Glue(b"a"), part]
    others = [
        [Glue(b"b"), part],
        [part, Glue(b"a")],
        [Glue(b"a")],
        [Glue(b"a"), part, part],
        [Glue(b"a"), replace(part, bytes=4)],
        [Glue(b"a"), replace(part, crc32=2)],
        [Glue(b"a"), replace(part, sha256="ab")],
    ]
    assert len({digest_of(one) for one in [pieces, *others]}) == 1 + len(others)
    assert digest_of([Glue(b"a"), replace(part, uri="file:///y", part=7)]) == digest_of(pieces)


def test_what_a_living_process_writes_is_left_alone(local: LocalStore) -> None:
    with local.writing(JOB, archive(local)) as out:
        out.write(b"x")
        assert local.remove_others(JOB, set()) == []
    assert get(local, local.archive(JOB, DIGEST)) == b"x"


def test_a_link_to_a_folder_is_not_followed(local: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    put(local, local.part(JOB, "issues", 0, 1), b"x")
    path = local.local_path(local.part(JOB, "issues", 0, 1))
    assert path
    (path.parent.parent / "link").symlink_to(outside)
    assert local.remove_others(JOB, set()) == [local.part(JOB, "issues", 0, 1)]
    assert files(outside) == ["kept"]


def test_a_local_path_is_told_only_for_local_files(store: Store, tmp_path: Path) -> None:
    path = store.local_path(archive(store))
    local = store.uri.startswith("file://")
    assert path == (tmp_path / "project_export_source/42/7/abababababababab/project.tar.gz" if local else None)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0b", "a\nb", ".hidden", "a b", "ä", "x" * 101])
def test_a_name_that_could_leave_the_store_is_refused(local: LocalStore, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be part of a path"):
        local.part(JOB, name, 0, 1)
    with pytest.raises(BadRequest, match="cannot be part of a path"):
        local.archive(JobKey(name, 42, 7), DIGEST)


@pytest.mark.parametrize("tail", ["", "/", "/..", "/a/../../x", "/./a", "//a", "x/a"])
def test_a_uri_outside_of_the_store_is_refused(store: Store, tail: str) -> None:
    for use in (store.open, store.remove, store.local_path):
        with pytest.raises(BadRequest, match="outside the store"):
            use(store.uri + tail)
    with pytest.raises(BadRequest, match="outside the store"):
        store.open("file:///etc/passwd")


@pytest.mark.parametrize("uri", ["", "/", "exports", "./exports", "file://exports", "file:///", "memory://"])
def test_a_store_that_is_no_absolute_folder_is_refused(uri: str) -> None:
    with pytest.raises(BadRequest, match="neither an absolute path"):
        open_store(uri)


@pytest.mark.parametrize("form", ["path", "URI", "URI, not encoded"])
def test_a_store_in_a_folder_of_any_name_gives_uris_that_are_encoded(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "a b ö#?%"
    store = open_store({"path": str(folder), "URI": folder.as_uri(), "URI, not encoded": f"file://{folder}"}[form])
    assert store.uri == folder.as_uri()
    uri = put(store, archive(store), b"archive")
    assert get(store, uri) == b"archive"
    assert uri.startswith(f"{folder.as_uri()}/")
    assert store.local_path(uri) == folder / "project_export_source/42/7/abababababababab/project.tar.gz"
    assert store.files(JOB) == {uri: 7}
    assert store.remove_others(JOB, {uri}) == []
    assert store.remove_others(JOB, set()) == [uri]


def test_an_encoded_uri_and_the_path_of_its_folder_are_the_same_store(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/100%25", f"file://{tmp_path}/100%25"):
        store = open_store(uri)
        put(store, archive(store), uri.encode())
    assert {path.name for path in tmp_path.iterdir()} == {"100%25", "100%"}


@pytest.mark.parametrize("name", ["a b", "#", "100%25", "ö", "\udcff"])
def test_a_foreign_file_of_any_name_is_found_and_removed(name: str, local: LocalStore) -> None:
    put(local, local.part(JOB, "issues", 0, 1), b"x")
    path = local.local_path(local.part(JOB, "issues", 0, 1))
    assert path
    path.with_name(name).write_bytes(b"foreign")
    assert len(local.remove_others(JOB, {local.part(JOB, "issues", 0, 1)})) == 1
    assert files(path.parent) == ["issues.0.1.deflate"]


@pytest.mark.parametrize("tail", ["/%2E%2E/x", "/a%2F..%2F..%2Fx", "/a%00"])
def test_an_encoded_way_out_of_the_store_is_refused(tail: str, local: LocalStore) -> None:
    for use in (local.open, local.remove, local.local_path):
        with pytest.raises(BadRequest, match="outside the store"):
            use(local.uri + tail)


def test_what_a_living_process_writes_to_a_network_file_system_is_left_alone(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def on_nfs(file: BinaryIO, operation: int) -> None:
        """As Linux has it there (flock(2)): an exclusive lock needs a file that is open for writing."""
        if operation & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", on_nfs)
    with local.writing(JOB, archive(local)) as out:
        out.write(b"x")
        assert local.remove_others(JOB, set()) == []


def test_where_nothing_can_be_locked_only_what_was_not_touched_for_long_is_removed(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InterruptedError), local.writing(JOB, archive(local)) as out:
        out.write(b"x")
        ((uri, _),) = local.files(JOB).items()
        assert local.remove_others(JOB, set()) == []
        path = local.local_path(uri)
        assert path
        os.utime(path, (0, 0))
        assert local.remove_others(JOB, set()) == [uri]
        raise InterruptedError


def test_a_check_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.check()
    assert files(tmp_path) == []


def test_a_store_that_cannot_be_made_is_refused_with_path_and_error(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("a file, not a folder")
    with pytest.raises(StoreRefused, match=r"exports.*: (ENOTDIR|EEXIST), .*retry"):
        open_store(str(tmp_path / "exports")).check()


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_refused_sync_or_rename_leaves_the_old_file(
    local: LocalStore, step: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = put(local, archive(local), b"old")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        with pytest.raises(StoreRefused, match=rf"project\.tar\.gz: {errno.errorcode[code]}, .*retry\."):
            put(local, archive(local), b"new")
    assert get(local, uri) == b"old"
    assert files(tmp_path) == ["project.tar.gz"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs can only be mounted by root, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [1 << 20, (256 << 10) + 1])
def test_a_full_disk_is_refused_by_name_and_leaves_the_old_archive(tiny: Path, size: int) -> None:
    store = open_store(str(tiny))
    uri = put(store, archive(store), b"old")
    with pytest.raises(StoreRefused, match=r"project\.tar\.gz: ENOSPC, .*Free space there"):
        put(store, archive(store), b"x" * size)
    assert files(tiny) == ["project.tar.gz"]
    assert get(store, uri) == b"old"
    assert get(store, put(store, archive(store), b"after space was freed")) == b"after space was freed"
