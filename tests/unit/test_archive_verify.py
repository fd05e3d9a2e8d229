from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from archive_samples import Sample, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from project_export.archive.manifest import Manifest
from project_export.archive.verify import PROBLEMS_PER_FILE, Report, verify, verify_file
from project_export.errors import ArtifactMissing, StoreRefused

SAMPLE = sample()
FIXED = {
    "VERSION": b"0.2.4",
    "GITLAB_VERSION": b"18.6.0",
    "GITLAB_REVISION": b"0123456789a",
    "lfs-objects.json": b"{}",
    "tree/project.json": b'{"description":"d"}',
}


def checked(data: bytes, manifest: Manifest | None = None) -> Report:
    return verify_file(io.BytesIO(data), "project.tar.gz", manifest)


def packed(files: dict[str, bytes], more: Sequence[tarfile.TarInfo] = (), form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive as other tools make it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return out.getvalue()


def found(report: Report) -> list[tuple[str, str]]:
    return [(problem.code, problem.where) for problem in report.problems]


def odd(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.fixture(scope="module")
def whole() -> Sample:
    return SAMPLE


def test_a_whole_archive_has_no_problem_and_its_records_are_counted(whole: Sample) -> None:
    report = checked(whole.data, whole.manifest)
    assert report.problems == ()
    assert report.ok
    assert report.bytes == len(whole.data)
    assert report.records == {"project": 1, "issues": 300, "labels": 1, "project_feature": 1, "auto_devops": 0}
    assert checked(whole.data).ok


@given(st.integers(0, len(SAMPLE.data) - 1), st.integers(0, 7))
@settings(max_examples=400)
def test_every_flipped_bit_is_found(place: int, bit: int) -> None:
    data = bytearray(SAMPLE.data)
    data[place] ^= 1 << bit
    assert not checked(bytes(data), SAMPLE.manifest).ok
    # Without a manifest only what changes the content: not the time in the gzip header, not a bit that fills up a byte.
    assert not checked(bytes(data)).ok or isal_zlib.decompress(bytes(data), 31) == gzip.decompress(SAMPLE.data)


def test_every_truncation_is_found(whole: Sample) -> None:
    for size in range(len(whole.data)):
        assert [problem.code for problem in checked(whole.data[:size]).problems][-1] == "damaged"


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 512, b"garbage", gzip.compress(b""), SAMPLE.data])
def test_bytes_behind_the_gzip_member_are_found(whole: Sample, tail: bytes) -> None:
    assert found(checked(whole.data + tail)) == [("damaged", "project.tar.gz")]


@pytest.mark.parametrize(
    "change",
    [
        lambda tar: tar + b"x" * 512,
        lambda tar: tar + b"x",
        lambda tar: tar.rstrip(b"\0"),
        lambda tar: tar[: len(tar.rstrip(b"\0")) + 512],
        lambda tar: tar.replace(b"ustar", b"usxar", 2),
        lambda tar: tar[: 512 * 4] + b"\1" * 512 + tar[512 * 5 :],
        lambda tar: b"",
    ],
)
def test_a_tar_that_is_not_one_to_its_last_byte_is_damaged(change: object) -> None:
    assert callable(change)
    tar = gzip.decompress(packed(FIXED))
    assert found(checked(gzip.compress(change(tar)))) == [("damaged", "project.tar.gz")]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_other_tools_and_files_that_are_not_of_the_tree_are_read(form: int) -> None:
    long = f"uploads/{'0' * 32}/{'long' * 20}.png"
    report = checked(packed({**FIXED, long: b"x" * 1000, "tree/project/issues.ndjson": b'{"a":1}\n'}, form=form))
    assert report.problems == ()
    assert report.records == {"project": 1, "issues": 1}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_found(kind: bytes) -> None:
    assert found(checked(packed(FIXED, [odd("./uploads/x", kind)]))) == [("kind", "uploads/x")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "./a/../../x", "a//x", "././x", "line\nfeed", "\udcff"])
def test_names_that_climb_or_cannot_be_printed_are_found(name: str) -> None:
    info = tarfile.TarInfo(name)
    assert found(checked(packed(FIXED, [info]))) == [("name", repr(name))]


def test_the_same_name_twice_is_found_however_it_is_spelt() -> None:
    report = checked(packed(FIXED, [odd("VERSION", tarfile.REGTYPE), odd("./VERSION", tarfile.DIRTYPE)]))
    assert found(report) == [("name", "VERSION"), ("name", "VERSION")]


@pytest.mark.parametrize("name", [*list(FIXED)[:4], "tree/project.json"])
def test_a_missing_file_is_named(name: str) -> None:
    files = {file: content for file, content in FIXED.items() if file != name}
    assert found(checked(packed(files))) == [("missing", "tree" if name == "tree/project.json" else name)]


def test_a_directory_is_not_taken_for_a_file() -> None:
    files = {file: content for file, content in FIXED.items() if file != "VERSION"}
    assert found(checked(packed(files, [odd("./VERSION", tarfile.DIRTYPE)]))) == [("missing", "VERSION")]


def test_relations_of_another_root_are_found() -> None:
    report = checked(packed({**FIXED, "tree/group/labels.ndjson": b""}))
    assert found(report) == [("name", "tree/group/labels.ndjson")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("VERSION", b"0.2.3"),
        ("VERSION", b"0.2.4\n"),
        ("VERSION", b""),
        ("GITLAB_VERSION", b""),
        ("GITLAB_VERSION", b"18.6.0\n"),
        ("GITLAB_REVISION", b"x" * 70_000 + b"\n"),
    ],
)
def test_a_wrong_version_is_found(name: str, content: bytes) -> None:
    report = checked(packed({**FIXED, name: content}))
    assert found(report) == ([("version", name)] if len(content) < 100 else [])


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", 0),
        (b"null", 0),
        (b"{}", 1),
        (b'{"a":1}\n', 1),
        (b'{"a":1e400}\n{"a":12345678901234567890123456789}\n', 2),
        (b'{"a":' + b"1" * 5000 + b"}\n", 1),
        ('{"ä":"\u2028 ü 😀"}\n{"a":"\\ud83d\\ude00 \\u2028 <"}\n'.encode(), 2),
        (b'{"a":{"b":1},"b":{"b":1}}\n', 1),
    ],
)
def test_records_are_counted(content: bytes, records: int) -> None:
    report = checked(packed({**FIXED, "tree/project/issues.ndjson": content}))
    assert report.problems == ()
    assert report.records["issues"] == records


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"a":1}\n{"a":1', 2),
        (b'{"a":1}\n{"a":1}', 2),
        (b'{"a":1}\n\n{"a":1}\n', 2),
        (b"null\n", 1),
        (b'{"a":1}\nnull', 2),
        (b"[]\n", 1),
        (b'"a"\n', 1),
        (b"7\n", 1),
        (b'{"a":1} {"a":2}\n', 1),
        (b'{"a":1,}\n', 1),
        (b"{'a':1}\n", 1),
        (b'{"a":NaN}\n', 1),
        (b'{"a":-Infinity}\n', 1),
        (b'{"a":1,"a":1}\n', 1),
        (b'{"a":[{"b":{"c":1,"\\u0063":2}}]}\n', 1),
        (b'{"a":"\xff"}\n', 1),
        (b'{"a":"\xed\xa0\x80"}\n', 1),
        (b'{"a":"\\ud800"}\n', 1),
        (b'{"a":"\x00"}\n', 1),
        (b'{"a":"\t"}\n', 1),
        (b'\xef\xbb\xbf{"a":1}\n', 1),
        (b"[" * 100_000 + b"\n", 1),
    ],
)
def test_a_wrong_line_is_found_by_its_number(content: bytes, line: int) -> None:
    report = checked(packed({**FIXED, "tree/project/issues.ndjson": content}))
    assert found(report) == [("json", f"tree/project/issues.ndjson:{line}")]


@pytest.mark.parametrize("content", [b"", b"null", b"{}\n", b"[]", b"{}\n{}", b"{"])
@pytest.mark.parametrize("name", ["tree/project.json", "lfs-objects.json"])
def test_the_root_and_the_lfs_list_are_one_object(name: str, content: bytes) -> None:
    report = checked(packed({**FIXED, name: content}))
    assert {(problem.code, problem.where.partition(":")[0]) for problem in report.problems} == {("json", name)}


def test_many_wrong_lines_are_summed_up() -> None:
    report = checked(packed({**FIXED, "tree/project/issues.ndjson": b"x\n" * 1000}))
    assert len(report.problems) == PROBLEMS_PER_FILE + 1
    assert report.problems[-1].message == f"{1000 - PROBLEMS_PER_FILE} more wrong lines"


def test_a_manifest_of_other_content_is_found(whole: Sample) -> None:
    issues = whole.manifest.relations[1]
    second = issues.parts[1]
    for other, where in [
        (replace(issues, rows=299), "tree/project/issues.ndjson"),
        (replace(issues, bytes=1), "tree/project/issues.ndjson"),
        (replace(issues, parts=(issues.parts[0], replace(second, sha256="0" * 64), issues.parts[2])), issues.file),
    ]:
        relations = (whole.manifest.relations[0], other, *whole.manifest.relations[2:])
        assert found(checked(whole.data, replace(whole.manifest, relations=relations))) == [("manifest", where)]


def test_a_file_that_only_one_of_archive_and_manifest_has_is_found(whole: Sample) -> None:
    relations = whole.manifest.relations
    more = replace(whole.manifest, relations=(*relations, replace(relations[3], file="tree/project/boards.ndjson")))
    assert found(checked(whole.data, more)) == [("manifest", "tree/project/boards.ndjson")]
    fewer = replace(whole.manifest, relations=(*relations[:2], *relations[3:]))
    assert found(checked(whole.data, fewer)) == [("manifest", "tree/project/labels.ndjson")]


def test_a_wrong_part_is_named(whole: Sample) -> None:
    parts = whole.manifest.relations[1].parts
    swapped = replace(whole.manifest.relations[1], parts=(parts[1], parts[0], parts[2]))
    relations = (whole.manifest.relations[0], swapped, *whole.manifest.relations[2:])
    report = checked(whole.data, replace(whole.manifest, relations=relations))
    assert [problem.message[:6] for problem in report.problems] == ["part 1", "part 0"]


def test_progress_ends_with_the_size_of_the_file(whole: Sample, tmp_path: Path) -> None:
    path = tmp_path / "project.tar.gz"
    path.write_bytes(whole.data)
    progress: list[int] = []
    assert verify(path, whole.manifest, progress.append).ok
    assert progress == sorted(progress)
    assert progress[-1] == len(whole.data)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="ENOENT"):
        verify(tmp_path / "none.tar.gz")
    with pytest.raises(StoreRefused, match="EISDIR"):
        verify(tmp_path)


def test_real_exports_are_without_a_problem(facts: Path) -> None:
    archives = sorted((facts / "real-exports").glob("*.tar.gz"))
    assert archives
    for archive in archives:
        assert verify(archive).problems == ()
