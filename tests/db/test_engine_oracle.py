"""The engine held against the second reader, on the generated sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from project_export.source import Limits, Reader, Session, Temporary, batches, changed, slices, sql
from project_export.tree import BoundTree, bind, load, tables
from tests import reader
from tests.archives import Records, exported
from tests.runs import assert_equal

TREE = load("gitlab")
BIG = ("issues", "merge_requests", "ci_pipelines")
FROM_GIT = {
    f"{key}: {why}"
    for key in ("project.default_branch", "merge_requests.source_branch_sha", "merge_requests.target_branch_sha")
    for why in (
        "comes from the Git repository, which is missing, or whose location is not set",
        "comes from another Git repository, which is not read",
    )
}
"""What an engine without a repository leaves out."""


@pytest.fixture(scope="module")
def session(generated: str) -> Iterator[Session]:
    with Session(lambda: psycopg.connect(generated), "test", Limits()) as session:
        yield session


@pytest.fixture(scope="module")
def bound(session: Session) -> BoundTree:
    return bind(TREE, session.catalogue(tables(TREE)))


def lines(reader_: Reader, name: str, part: int = 0, parts: int = 1) -> bytes:
    return b"".join(chunk.data for chunk in reader_.read(name, part, parts))


def records(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.split(b"\n") if line not in (b"", b"null")]


@pytest.mark.parametrize("project_id", [1, 2])
def test_every_relation_is_what_the_second_reader_reads(
    generated: str, session: Session, bound: BoundTree, project_id: int
) -> None:
    engine = Reader(session, bound, project_id)
    found: Records = {name: records(lines(engine, name)) for name in TREE.names}
    with psycopg.connect(generated) as conn:
        assert_equal(found, reader.read_project(conn, project_id))
    assert bound.left_out == ()
    assert not (engine.oddities or engine.omissions.keys() - FROM_GIT)


def test_what_names_a_missing_row_is_exported_without_it(generated_copy: str) -> None:
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        conn.execute("UPDATE notes SET author_id = 999999 WHERE id % 3 = 0")
        conn.execute("UPDATE label_links SET label_id = NULL WHERE id % 3 = 0")
        with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
            engine = Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1)
            found: Records = {name: records(lines(engine, name)) for name in TREE.names}
        assert_equal(found, reader.read_project(conn, 1))
    assert any("author" not in note for issue in found["issues"] for note in issue["notes"])
    assert any("label" not in link for issue in found["issues"] for link in issue["label_links"])


def test_a_commit_without_trailers_is_exported_with_an_empty_object(generated_copy: str) -> None:
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        conn.execute("UPDATE merge_request_diff_commits SET trailers = NULL WHERE relative_order > 0")
        with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
            engine = Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1)
            found = records(lines(engine, "merge_requests"))
        assert_equal({"merge_requests": found}, {"merge_requests": reader.read_project(conn, 1)["merge_requests"]})
    commits = [commit for one in found for commit in one["merge_request_diff"]["merge_request_diff_commits"]]
    assert {str(commit["trailers"]) for commit in commits if commit["relative_order"]} == {"{}"}


def test_a_merge_request_without_a_diff_is_exported_with_an_unsaved_one_and_a_blank_text_as_none(
    generated_copy: str,
) -> None:
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        conn.execute("DELETE FROM merge_request_diffs WHERE diff_type = 1 AND merge_request_id % 3 = 0")
        conn.execute("UPDATE merge_requests SET latest_merge_request_diff_id = NULL WHERE id % 3 = 1")
        conn.execute(
            "UPDATE merge_request_diff_files SET \"binary\" = false, diff = E' \\n\\t' WHERE relative_order = 0"
        )
        with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
            found = records(lines(Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1), "merge_requests"))
        assert_equal({"merge_requests": found}, {"merge_requests": reader.read_project(conn, 1)["merge_requests"]})
    diffs = [merge_request["merge_request_diff"] for merge_request in found]
    unsaved = [diff for diff in diffs if diff["created_at"] is None]
    assert 0 < len(unsaved) < len(diffs)
    assert {(diff["state"], diff["files_count"], diff["sorted"], diff["diff_type"]) for diff in unsaved} == {
        ("empty", 0, False, "regular")
    }
    assert {request["diff_head_sha"] == request["merge_request_diff"]["head_commit_sha"] for request in found} == {True}
    assert {file["utf8_diff"] for diff in diffs for file in diff["merge_request_diff_files"][:1]} == {""}


NULLED = (
    "UPDATE projects SET autoclose_referenced_issues = NULL",
    "UPDATE issues SET lock_version = NULL, time_estimate = NULL",
    "UPDATE merge_requests SET lock_version = NULL, time_estimate = NULL",
    "UPDATE p_ci_pipelines SET lock_version = NULL",
    "UPDATE p_ci_stages SET lock_version = NULL",
    "UPDATE p_ci_builds SET lock_version = NULL",
    "UPDATE snippets SET file_name = NULL",
    "UPDATE releases SET name = NULL",
)


def test_what_a_model_returns_for_null_is_exported(generated_copy: str) -> None:
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        for statement in NULLED:
            conn.execute(statement.encode())
        found = exported(generated_copy, 1)
        assert_equal(found, {name: its for name, its in reader.read_project(conn, 1).items() if its})
    assert found["project"][0]["autoclose_referenced_issues"] is True
    assert {(issue["lock_version"], issue["time_estimate"]) for issue in found["issues"]} == {(0, 0)}
    assert {snippet["file_name"] for snippet in found["snippets"]} == {""}
    assert all(release["name"] == release["tag"] for release in found["releases"])


def test_an_issue_without_a_type_or_of_a_custom_type_is_exported_as_an_issue(generated_copy: str) -> None:
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        conn.execute("UPDATE issues SET work_item_type_id = CASE WHEN id % 2 = 0 THEN 1234 END WHERE id % 3 < 2")
        with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
            found = {
                "issues": records(lines(Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1), "issues"))
            }
        assert_equal(found, {"issues": reader.read_project(conn, 1)["issues"]})
    assert all(issue["work_item_type"]["base_type"] for issue in found["issues"])


def test_counts_are_the_numbers_of_records(session: Session, bound: BoundTree) -> None:
    engine = Reader(session, bound, 1)
    for name in TREE.names:
        if bound.relation(name).table:
            assert engine.count(name) == len(records(lines(engine, name))), name


@pytest.mark.parametrize("batch_rows", [1, 2, 7])
def test_the_size_of_a_batch_changes_no_byte(session: Session, bound: BoundTree, batch_rows: int) -> None:
    whole = Reader(session, bound, 2, batch_rows=1000)
    small = Reader(session, bound, 2, batch_rows=batch_rows)
    for name in TREE.names:
        assert lines(small, name) == lines(whole, name), name


def test_a_batch_shrinks_when_its_records_are_big(session: Session, bound: BoundTree) -> None:
    first = next(Reader(session, bound, 1, batch_rows=4).read("issues"))
    in_order = Temporary(bytes=0)
    engine = Reader(session, bound, 1, batch_rows=4, batch_bytes=-(-len(first.data) // 2), temporary=in_order)
    rows = [chunk.records for chunk in engine.read("issues")]
    assert rows[0] == 4
    assert max(rows[1:]) < 4


def test_a_batch_that_is_much_too_big_is_read_in_smaller_ones(session: Session, bound: BoundTree) -> None:
    whole = lines(Reader(session, bound, 1), "issues")
    engine = Reader(session, bound, 1, batch_bytes=max(map(len, whole.splitlines())))
    chunks = list(engine.read("issues"))
    assert all(chunk.records for chunk in chunks)
    assert b"".join(chunk.data for chunk in chunks) == whole


@pytest.mark.parametrize(
    ("batch_bytes", "longest", "slice_"),
    [pytest.param(1, 1 << 20, 16 << 10, marks=pytest.mark.slow), (1, 60, 7), (1500, 300, 64)],
)
def test_what_does_not_fit_is_exported_in_the_same_bytes(
    session: Session, bound: BoundTree, monkeypatch: pytest.MonkeyPatch, batch_bytes: int, longest: int, slice_: int
) -> None:
    whole = Reader(session, bound, 2)
    expected = {name: lines(whole, name) for name in TREE.names}
    for module in (batches, changed, slices, sql):
        monkeypatch.setattr(module, "LONGEST", longest)
    monkeypatch.setattr(sql, "SLICE", slice_)
    small = Reader(session, bound, 2, batch_bytes=batch_bytes)
    for name in TREE.names:
        assert lines(small, name) == expected[name], name
    assert not (small.oddities or small.omissions.keys() - FROM_GIT)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_parts_after_each_other_are_the_whole(session: Session, bound: BoundTree, parts: int) -> None:
    engine = Reader(session, bound, 1)
    for name in BIG:
        joined = b"".join(lines(engine, name, part, parts) for part in range(parts))
        assert joined == lines(engine, name), name


def test_more_parts_than_records_leave_some_empty(session: Session, bound: BoundTree) -> None:
    engine = Reader(session, bound, 2)
    count = engine.count("issues")
    parts = [lines(engine, "issues", part, count + 3) for part in range(count + 3)]
    assert b"".join(parts) == lines(engine, "issues")
    assert parts.count(b"") == 3
