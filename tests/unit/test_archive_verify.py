from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from project_export.archive.findings import MOST_ALIKE, PROBLEMS, REMARKS, WARNINGS
from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify, verify_file
from project_export.errors import ArtifactMissing, StoreRefused
from project_export.formats import Limits
from project_export.formats.gitlab import LIMITS as GITLAB
from tests.unit.archive_files import good_files, member, packed
from tests.unit.archive_samples import Sample, sample

SAMPLE = sample()
FIXED = {
    "VERSION": b"0.2.4",
    "GITLAB_VERSION": b"18.6.0",
    "GITLAB_REVISION": b"0123456789a",
    "lfs-objects.json": b"{}",
    "tree/project.json": b'{"description":"d"}',
    "tree/project/auto_devops.ndjson": b"null",
}
ISSUES = "tree/project/issues.ndjson"


def checked(data: bytes, manifest: Manifest | None = None, limits: Limits | None = None) -> Report:
    return verify_file(io.BytesIO(data), "project.tar.gz", manifest, limits=limits)


def found(report: Report) -> list[tuple[str, str]]:
    return [(problem.code, problem.where) for problem in report.problems]


def remarks(report: Report) -> list[tuple[str, str]]:
    return [(remark.code, remark.where) for remark in report.remarks]


@pytest.fixture(scope="module")
def whole() -> Sample:
    return SAMPLE


def test_a_whole_archive_has_no_problem_and_its_records_are_counted(whole: Sample) -> None:
    report = checked(whole.data, whole.manifest)
    assert report.problems == ()
    assert report.ok
    assert report.bytes == len(whole.data)
    assert report.unpacked == len(gzip.decompress(whole.data))
    assert report.version == "18.6.0"
    assert report.records == {"project": 1, "issues": 300, "labels": 1, "project_feature": 1, "auto_devops": 0}
    assert checked(whole.data).ok


def test_an_archive_with_every_relation_and_key_has_neither_problem_nor_remark() -> None:
    report = checked(packed(good_files()), limits=GITLAB)
    assert (report.problems, report.warnings, report.remarks) == ((), (), ())
    assert set(report.records) > {"project", "issues", "merge_requests", "ci_pipelines", "user_contributions"}


BITS = given(st.integers(0, len(SAMPLE.data) - 1), st.integers(0, 7))


@BITS
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_found(place: int, bit: int) -> None:
    found_flipped(place, bit)


@pytest.mark.slow
@BITS
@settings(max_examples=400, deadline=None)
def test_every_flipped_bit_is_found(place: int, bit: int) -> None:
    found_flipped(place, bit)


def found_flipped(place: int, bit: int) -> None:
    data = bytearray(SAMPLE.data)
    data[place] ^= 1 << bit
    assert not checked(bytes(data), SAMPLE.manifest).ok
    # Without a manifest only what changes the content: not the time in the gzip header, not a bit that fills up a byte.
    assert not checked(bytes(data)).ok or isal_zlib.decompress(bytes(data), 31) == gzip.decompress(SAMPLE.data)


@pytest.mark.slow
def test_every_truncation_is_found(whole: Sample) -> None:
    for size in range(len(whole.data)):
        assert "damaged" in [problem.code for problem in checked(whole.data[:size]).problems]


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 512, b"garbage", gzip.compress(b"", mtime=0), SAMPLE.data])
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
    report = checked(packed({**FIXED, long: b"x" * 1000, ISSUES: b'{"a":1}\n'}, form=form))
    assert report.problems == ()
    assert report.records == {"project": 1, "auto_devops": 0, "issues": 1}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_found(kind: bytes) -> None:
    assert found(checked(packed(FIXED, [member("./uploads/x", kind)]))) == [("kind", "uploads/x")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "./a/../../x", "~/x", "C:/x", "a\\..\\x", "\\x", "n" * 256])
def test_names_that_lead_out_of_the_folder_are_found(name: str) -> None:
    assert found(checked(packed(FIXED, [member(name)]))) == [("name", repr(name))]


def test_the_same_name_twice_is_found_however_it_is_spelt() -> None:
    report = checked(packed(FIXED, [member("VERSION"), member(".//VERSION"), member("VERSION/", tarfile.DIRTYPE)]))
    assert found(report) == [("name", "VERSION"), ("name", "VERSION")]
    assert report.problems[0].count == 2


def test_a_directory_may_be_there_twice() -> None:
    directories = [member(name, tarfile.DIRTYPE) for name in ("./", "./tree", "tree/", "./tree/project/")]
    assert checked(packed(FIXED, directories)).ok


@pytest.mark.parametrize("name", ["VERSION", "tree/project.json"])
def test_a_missing_file_is_named(name: str) -> None:
    files = {file: content for file, content in FIXED.items() if file != name}
    assert found(checked(packed(files))) == [("missing", name)]
    assert found(checked(packed(files, [member(f"./{name}", tarfile.DIRTYPE)]))) == [("missing", name)]


@pytest.mark.parametrize("name", ["GITLAB_VERSION", "GITLAB_REVISION", "lfs-objects.json"])
def test_a_file_that_the_importer_can_do_without_is_remarked(name: str) -> None:
    report = checked(packed({file: content for file, content in FIXED.items() if file != name}))
    assert (report.ok, remarks(report)) == (True, [("absent", name)])


def test_an_archive_without_any_relation_is_found() -> None:
    files = {file: content for file, content in FIXED.items() if "devops" not in file}
    assert found(checked(packed(files))) == [("missing", "tree/project")]


@pytest.mark.parametrize("name", ["tree/group/labels.ndjson", "tree/x", "README", "uploads/short/x", "project.wiki"])
def test_files_that_the_importer_does_not_read_are_remarked(name: str) -> None:
    report = checked(packed({**FIXED, name: b"x"}))
    assert (report.ok, remarks(report)) == (True, [("unknown", name)])


@pytest.mark.parametrize(
    ("content", "code"), [(b"0.2.3", "version"), (b"", "version"), (b"x" * 9000, "version"), (b"0.2.4\nmore", "form")]
)
def test_another_format_version_is_found(content: bytes, code: str) -> None:
    report = checked(packed({**FIXED, "VERSION": content}))
    assert found(report) + remarks(report) == [(code, "VERSION")]


@pytest.mark.parametrize("content", [b"", b"18.6.0\n", b"a b"])
def test_an_odd_gitlab_version_is_remarked(content: bytes) -> None:
    report = checked(packed({**FIXED, "GITLAB_VERSION": content}))
    assert (report.ok, remarks(report)) == (True, [("form", "GITLAB_VERSION")])


def test_many_findings_of_a_file_are_summed_up() -> None:
    report = checked(packed({**FIXED, ISSUES: b"x\n" * 1000}))
    assert len(report.problems) == MOST_ALIKE + 1
    assert report.problems[-1].message == f"{1000 - MOST_ALIKE} more of this kind"


def test_many_files_alike_are_summed_up() -> None:
    report = checked(packed({**FIXED, **{f"lfs-objects/{number}": b"" for number in range(100)}}))
    assert len(report.problems) == MOST_ALIKE + 1
    assert str(report.problems[-1]) == f"other files: {100 - MOST_ALIKE} more of this kind [lfs]"


def test_a_relation_named_like_the_root_is_not_the_root() -> None:
    report = checked(packed({**FIXED, "tree/project/project.ndjson": b'{"archived":7}\n' * 2}))
    assert (report.problems, report.records["project"]) == ((), 3)
    assert remarks(report) == [("unknown", "tree/project/project.ndjson")]


def test_the_same_mistake_in_many_records_is_one_finding() -> None:
    report = checked(packed({**FIXED, ISSUES: b'{"title":1}\n' * 1000}))
    assert found(report) == [("type", f"{ISSUES}:1")]
    assert report.problems[0].count == 1000
    assert "(1000 times)" in str(report.problems[0])


def test_limits_are_looked_at_on_demand_only() -> None:
    data = packed({**FIXED, ISSUES: b'{"description":"%s"}\n{"iid":1}\n' % (b"x" * 1000)})
    assert checked(data).ok
    assert checked(data, limits=GITLAB).ok
    small = Limits(line=1000, unpacked=10_000, stored=100)
    assert found(checked(data, limits=small)) == [
        ("limit", f"{ISSUES}:1"),
        ("limit", "project.tar.gz"),
        ("limit", "project.tar.gz"),
    ]


def test_a_line_of_just_the_limit_is_within_it() -> None:
    line = b'{"title":"x"}'
    for size, problems in [(len(line), 0), (len(line) - 1, 1)]:
        limits = Limits(line=size, unpacked=10**6, stored=10**6)
        files = {**FIXED, "tree/project.json": b"{}", ISSUES: line + b"\n"}
        assert len(checked(packed(files), limits=limits).problems) == problems


def test_a_root_over_the_limit_is_found() -> None:
    limits = Limits(line=10, unpacked=10**6, stored=10**6)
    assert found(checked(packed(FIXED), limits=limits)) == [("limit", "tree/project.json")]


def test_a_manifest_of_other_content_is_found(whole: Sample) -> None:
    issues = whole.manifest.relations[1]
    second = issues.parts[1]
    for other, where in [
        (replace(issues, rows=299), ISSUES),
        (replace(issues, bytes=1), ISSUES),
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


def test_an_archive_that_is_not_the_manifest_s_is_found(whole: Sample) -> None:
    archive = replace(whole.manifest.archive, sha256="0" * 64)
    assert found(checked(whole.data, replace(whole.manifest, archive=archive))) == [("manifest", "project.tar.gz")]


def test_progress_ends_with_the_size_of_the_file(whole: Sample, tmp_path: Path) -> None:
    path = tmp_path / "project.tar.gz"
    path.write_bytes(whole.data)
    progress: list[int] = []
    assert verify(path, whole.manifest, on_progress=progress.append).ok
    assert progress == sorted(progress)
    assert progress[-1] == len(whole.data)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="ENOENT"):
        verify(tmp_path / "none.tar.gz")
    with pytest.raises(StoreRefused, match="EISDIR"):
        verify(tmp_path)


def test_gitlab_takes_neither_links_nor_other_names(whole: Sample, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(whole.data)
    (tmp_path / "link.tar.gz").symlink_to(tmp_path / "archive")
    assert found(verify(tmp_path / "archive", limits=GITLAB)) == [("limit", "archive")]
    assert found(verify(tmp_path / "link.tar.gz", limits=GITLAB)) == [("kind", "link.tar.gz")]
    assert verify(tmp_path / "link.tar.gz").ok


def test_a_code_is_either_a_problem_or_a_warning_or_a_remark() -> None:
    assert len({*PROBLEMS, *WARNINGS, *REMARKS}) == len(PROBLEMS) + len(WARNINGS) + len(REMARKS)


def test_real_exports_are_without_a_problem(facts_folder: Path) -> None:
    archives = sorted((facts_folder / "real-exports").glob("*.tar.gz"))
    assert archives
    for archive in archives:
        report = verify(archive, limits=GITLAB)
        assert (report.problems, report.warnings) == ((), ())


def test_real_issues_are_without_a_finding(facts_folder: Path) -> None:
    issues = (facts_folder / "real-exports" / "records-17.1-issues.ndjson").read_bytes()
    report = checked(packed({**FIXED, "GITLAB_VERSION": b"17.1.0", ISSUES: issues}), limits=GITLAB)
    assert (report.problems, report.warnings, report.remarks) == ((), (), ())
    assert report.records["issues"] == 4
