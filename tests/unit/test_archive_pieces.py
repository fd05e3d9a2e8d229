from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.pieces import Member, Run, archive_pieces, relation_pieces
from project_export.archive.tar import file_header, padding
from project_export.errors import ArchiveBroken
from project_export.store import Glue, assemble, digest_of
from tests.unit.archive_samples import MTIME, archive_of, opened, part_of, sample

GIB = 1 << 30

NAMES = st.from_regex(r"[a-zäöü_0-9]{1,60}(/[a-z_0-9]{1,60}){0,3}", fullmatch=True)
FILES = st.dictionaries(NAMES.map(lambda name: f"{name}.x"), st.lists(st.binary(max_size=3000), max_size=4), max_size=6)


def read_back(data: bytes, mode: Literal["r:gz", "r|gz"]) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode=mode) as tar:
        for info in tar:
            if info.isfile():
                file = tar.extractfile(info)
                assert file
                found[info.name] = file.read()
    return found


@pytest.mark.heavy
@given(FILES, st.integers(0, 3))
def test_both_modes_of_tarfile_read_back_what_the_parts_were_made_of(files: dict[str, list[bytes]], level: int) -> None:
    merged = [
        Member(name, parts=tuple(part_of(piece, name, i, level) for i, piece in enumerate(pieces)))
        for name, pieces in files.items()
    ]
    data, facts = archive_of(merged)
    expected = {f"./{name}": b"".join(pieces) for name, pieces in files.items()}
    assert read_back(data, "r:gz") == expected
    assert read_back(data, "r|gz") == expected
    assert (facts.bytes, facts.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_archive_is_a_single_gzip_member() -> None:
    data = sample().data
    assert data.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") == 1
    assert len(gzip.decompress(data)) % tarfile.RECORDSIZE == 0


def test_the_same_parts_give_the_same_bytes() -> None:
    assert sample().data == sample().data


def test_headers_are_those_of_gnu_tar_run_by_root() -> None:
    with tarfile.open(fileobj=io.BytesIO(sample().data)) as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos] == [
        ".",
        "./VERSION",
        "./GITLAB_VERSION",
        "./GITLAB_REVISION",
        "./lfs-objects.json",
        "./tree",
        "./tree/project.json",
        "./tree/project",
        "./tree/project/issues.ndjson",
        "./tree/project/labels.ndjson",
        "./tree/project/project_feature.ndjson",
        "./tree/project/auto_devops.ndjson",
    ]
    assert {(info.isdir(), info.mode, info.uid, info.gid, info.mtime) for info in infos} == {
        (True, 0o755, 0, 0, MTIME),
        (False, 0o644, 0, 0, MTIME),
    }


@pytest.mark.parametrize("tool", [["gzip", "-t"], ["tar", "-tzf"], ["bsdtar", "-tzf"], ["busybox", "tar", "-tzf"]])
def test_the_tools_of_the_machine_read_it(tool: list[str], tmp_path: Path) -> None:
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    path = tmp_path / "project.tar.gz"
    path.write_bytes(sample().data)
    run = subprocess.run([*tool, path], capture_output=True, text=True, check=True)
    assert not run.stderr
    assert tool[0] == "gzip" or "./tree/project/issues.ndjson" in run.stdout


def test_a_file_over_8_gib_has_its_size_in_a_pax_header_and_the_trailer_wraps() -> None:
    size = 9 * GIB + 5
    tiny = part_of(b"x")
    huge = replace(tiny, facts=replace(tiny.facts, raw_bytes=size))
    data, _ = archive_of([Member("tree/project/issues.ndjson", parts=(huge,))])
    raw = gzip.GzipFile(fileobj=io.BytesIO(data)).read(8 * 512)
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|") as tar:
        infos = {info.name: info for info in (tar.next(), tar.next(), tar.next(), tar.next()) if info}
    assert infos["./tree/project/issues.ndjson"].size == size
    headers, end = 6 * 512, 2 * 512
    total = headers + size + -size % 512 + end
    assert int.from_bytes(data[-4:], "little") == (total + -total % tarfile.RECORDSIZE) % 2**32


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../x", "./a", "a//b", "", "a/", "same"])
def test_names_that_leave_the_archive_or_come_twice_are_refused(name: str) -> None:
    with pytest.raises(ArchiveBroken, match="cannot have the file"):
        archive_pieces([Member("same", data=b"x"), Member(name, data=b"x")], MTIME)


def test_the_pieces_are_known_before_a_byte_is_read_and_hold_each_part_once() -> None:
    parts = tuple(replace(part_of(b"x\n" * (i + 1), part=i), uri=f"nowhere:{i}") for i in range(3))
    pieces = archive_pieces([Member("VERSION", data=b"1"), Member("issues.ndjson", parts)], MTIME)
    assert [one.uri for one in pieces if not isinstance(one, Glue)] == [part.uri for part in parts]
    assert isinstance(pieces[0], Glue)
    assert isinstance(pieces[-1], Glue)
    assert all(one.bytes for one in pieces)


def test_a_small_file_is_part_of_the_digest_and_the_time_is_too() -> None:
    digests = {
        digest_of(archive_pieces([Member("GITLAB_VERSION", data=version), Member("a", (part_of(b"x"),))], mtime))
        for version, mtime in ((b"18.6.0", MTIME), (b"18.7.0", MTIME), (b"18.6.0", MTIME + 1))
    }
    assert len(digests) == 3


@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(0, 3))
def test_one_relation_alone_is_a_gzip_of_its_records(pieces: list[bytes], level: int) -> None:
    out = io.BytesIO()
    assemble(relation_pieces([part_of(data, "issues", i, level) for i, data in enumerate(pieces)]), opened, out)
    assert gzip.decompress(out.getvalue()) == b"".join(pieces)
    assert gzip.GzipFile(fileobj=io.BytesIO(out.getvalue())).read() == b"".join(pieces)


def test_parts_that_are_tar_already_appear_as_the_files_that_they_hold() -> None:
    content = {"uploads/a/x.png": b"x" * 700, "uploads/b/y.png": b"", "uploads/b/z": os.urandom(1024)}
    data = [file_header(f"./{name}", len(one), MTIME) + one + padding(len(one)) for name, one in content.items()]
    # The second part begins in the middle of a file: a large file is shared by several workers.
    whole = b"".join(data)
    run = Run(
        ("uploads",), (part_of(whole[:900], "uploads", 0, records=1), part_of(whole[900:], "uploads", 1, records=2))
    )
    archive, _ = archive_of([Member("VERSION", data=b"1"), run, Member("tree/issues.ndjson", (part_of(b"i\n"),))])
    expected = {f"./{name}": one for name, one in content.items()}
    for mode in ("r:gz", "r|gz"):
        assert read_back(archive, mode) == {"./VERSION": b"1", **expected, "./tree/issues.ndjson": b"i\n"}
    assert len(gzip.decompress(archive)) % tarfile.RECORDSIZE == 0


def test_a_run_that_does_not_fill_whole_blocks_is_refused() -> None:
    with pytest.raises(ArchiveBroken, match="513 bytes, which are not whole blocks of 512"):
        archive_pieces([Run(("uploads",), (part_of(b"x" * 513),))], MTIME)
