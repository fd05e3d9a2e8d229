from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal

import pytest
from archive_samples import MTIME, archive_of, part_of, sample
from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.merge import Member, StoredPart, write_archive
from project_export.errors import ArchiveBroken, ArtifactMissing, PartCorrupt

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
    huge = StoredPart("issues", 0, replace(tiny.facts, raw_bytes=size), tiny.open)
    data, _ = archive_of([Member("tree/project/issues.ndjson", parts=(huge,))])
    raw = gzip.GzipFile(fileobj=io.BytesIO(data)).read(8 * 512)
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|") as tar:
        infos = {info.name: info for info in (tar.next(), tar.next(), tar.next(), tar.next()) if info}
    assert infos["./tree/project/issues.ndjson"].size == size
    headers, end = 6 * 512, 2 * 512
    total = headers + size + -size % 512 + end
    assert int.from_bytes(data[-4:], "little") == (total + -total % tarfile.RECORDSIZE) % 2**32


def test_a_changed_part_is_refused_by_its_checksum() -> None:
    part = part_of(b'{"iid":1}\n' * 1000, part=3)
    stored = bytearray(part.open().read())
    stored[len(stored) // 2] ^= 1
    broken = replace(part, open=lambda: io.BytesIO(stored))
    with pytest.raises(PartCorrupt, match="Part 3 of issues is not what was written") as caught:
        archive_of([Member("issues.ndjson", parts=(broken,))])
    assert (caught.value.relation, caught.value.part) == ("issues", 3)


@pytest.mark.parametrize("change", [lambda stored: stored[:-1], lambda stored: stored + b"\0", lambda stored: b""])
def test_a_part_of_another_length_is_refused(change: object) -> None:
    assert callable(change)
    part = part_of(b'{"iid":1}\n' * 1000)
    broken = replace(part, open=lambda: io.BytesIO(change(part.open().read())))
    with pytest.raises(PartCorrupt, match="exported again"):
        archive_of([Member("issues.ndjson", parts=(broken,))])


def test_a_part_that_is_gone_has_to_be_exported_again() -> None:
    def gone() -> BinaryIO:
        raise ArtifactMissing("file:///x: ENOENT.")

    with pytest.raises(PartCorrupt, match="exported again"):
        archive_of([Member("issues.ndjson", parts=(replace(part_of(b"x\n"), open=gone),))])


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../x", "./a", "a//b", "", "a/", "same"])
def test_names_that_leave_the_archive_or_come_twice_are_refused(name: str) -> None:
    with pytest.raises(ArchiveBroken, match="cannot have the file"):
        write_archive([Member("same", data=b"x"), Member(name, data=b"x")], io.BytesIO(), MTIME)
