from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.strict import lines
from project_export.archive.verify import Report, verify_file
from tests.unit.archive_files import packed

ISSUES = "tree/project/issues.ndjson"
FIXED = {
    "VERSION": b"0.2.4",
    "GITLAB_VERSION": b"18.6.0",
    "GITLAB_REVISION": b"0123456789a",
    "lfs-objects.json": b"{}",
    "tree/project.json": b"{}",
    "tree/project/auto_devops.ndjson": b"null",
}


def checked(name: str, content: bytes) -> Report:
    return verify_file(io.BytesIO(packed({**FIXED, name: content})), "project.tar.gz")


def found(report: Report) -> list[tuple[str, str]]:
    return [(problem.code, problem.where) for problem in report.problems]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", 0),
        (b'{"a":1}\n', 1),
        (b"null\n", 0),
        (b'{"a":1}\nnull\n{"a":2}\n', 2),
        (b'{"a":1e400}\n{"a":12345678901234567890123456789}\n', 2),
        (b'{"a":' + b"1" * 5000 + b"}\n", 1),
        ('{"ä":"\u2028 ü 😀"}\n{"a":"\\ud83d\\ude00 \\u2028 <"}\n'.encode(), 2),
        (b'{"a":{"b":1},"b":{"b":1}}\n', 1),
    ],
)
def test_records_are_counted(content: bytes, records: int) -> None:
    report = checked(ISSUES, content)
    assert report.problems == ()
    assert report.records["issues"] == records


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"a":1}\n\n{"a":1}\n', 2),
        (b"[]\n", 1),
        (b'"a"\n', 1),
        (b"7\n", 1),
        (b'{"a":1}\r\n', 1),
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
    assert found(checked(ISSUES, content)) == [("json", f"{ISSUES}:{line}")]


def test_a_cut_last_line_is_found_in_two_ways() -> None:
    report = checked(ISSUES, b'{"a":1}\n{"a":1')
    assert found(report) == [("json", f"{ISSUES}:2"), ("lines", ISSUES)]


@pytest.mark.parametrize("name", ["issues", "no_such_relation"])
def test_the_last_of_many_records_ends_with_a_newline(name: str) -> None:
    file = f"tree/project/{name}.ndjson"
    assert found(checked(file, b'{"a":1}\n{"a":1}')) == [("lines", file)]


def test_a_relation_of_one_record_has_one_line_without_an_end() -> None:
    file = "tree/project/auto_devops.ndjson"
    assert found(checked(file, b"{}\n{}")) == [("lines", file)]
    for content, remarks in [(b"{}", 0), (b"null", 0), (b"{}\n", 1), (b"", 1)]:
        report = checked(file, content)
        assert (report.problems, len(report.remarks)) == ((), remarks)


def test_an_unknown_relation_may_have_either_form() -> None:
    for content in (b"{}", b"{}\n", b"null", b""):
        report = checked("tree/project/no_such_relation.ndjson", content)
        assert report.problems == ()
        assert [remark.code for remark in report.remarks] == ["unknown"]


def test_an_empty_file_of_many_is_odd_only_where_gitlab_writes_none() -> None:
    for version, codes in [(b"16.3.0-pre", []), (b"16.11.8-ee", ["form"]), (b"unknown", ["form"])]:
        data = packed({**FIXED, "GITLAB_VERSION": version, ISSUES: b""})
        report = verify_file(io.BytesIO(data), "project.tar.gz")
        assert [remark.code for remark in report.remarks] == codes


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}\n{}", b"{", b"7"])
@pytest.mark.parametrize("name", ["tree/project.json", "lfs-objects.json"])
def test_the_root_and_the_lfs_list_are_one_object(name: str, content: bytes) -> None:
    assert found(checked(name, content)) == [("json", name)]


def test_an_object_on_several_lines_is_remarked() -> None:
    report = checked("tree/project.json", b'{\n  "description": "d"\n}\n')
    assert report.ok
    assert [(remark.code, remark.where) for remark in report.remarks] == [("form", "tree/project.json")]


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 12))
def test_lines_are_the_same_however_the_stream_is_cut(chunks: list[bytes], longest: int) -> None:
    *ended, last = b"".join(chunks).split(b"\n")
    whole = [(line, line + b"\n") for line in ended] + ([(last, last)] if last else [])
    assert list(lines(chunks, longest)) == [
        line if len(content) <= longest else len(content) for content, line in whole
    ]
