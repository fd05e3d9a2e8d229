"""What GitLab's models make of merge requests and their diffs: variants of the cases, on a generated sample.

Expected values follow GitLab's models, not code; both the engine and the second reader are compared with them.
"""

from __future__ import annotations

import base64

import psycopg
import pytest

from tests import reader
from tests.diffs import (
    AS_METADATA,
    AS_OWN,
    COMMIT,
    DIFF,
    FILES,
    MERGE_REQUEST,
    METADATA,
    NEW_DIFF,
    OTHER,
    OWN,
    SHA,
    USERS,
    commits,
    file,
    files,
    the_one,
)
from tests.producers import PRODUCERS, Producer


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


def change(database: str, *statements: str) -> None:
    """Run statements on a database; their rows may refer to missing ones."""
    with psycopg.connect(database) as conn:
        conn.execute("SET session_replication_role = replica")
        for statement in (MERGE_REQUEST, NEW_DIFF, USERS, METADATA, *statements):
            conn.execute(statement.encode())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("NULL, NULL", AS_OWN),
        ("9001, 1", AS_METADATA),
        ("9001, NULL", AS_METADATA),
        ("9001, 2", AS_OWN),  # metadata of another project is not found
        ("9009, 1", AS_OWN),  # GitLab would lose the batch
        ("9009, NULL", AS_OWN),
    ],
)
def test_a_commit_with_metadata_takes_every_value_from_there_even_null(generated_copy, produce, ids, expected):
    change(generated_copy, f"{COMMIT}({DIFF}, 0, {OWN}, {ids})")
    (commit,) = commits(produce(generated_copy))
    assert commit == expected
    assert list(commit) == list(expected)


def test_a_deleted_person_has_no_key(generated_copy, produce):
    change(
        generated_copy,
        f"{COMMIT}({DIFF}, 0, {OWN}, 9001, 1)",
        "DELETE FROM merge_request_diff_commit_users WHERE id = 9002",
    )
    (commit,) = commits(produce(generated_copy))
    assert "commit_author" not in commit
    assert "committer" not in commit["merge_request_commits_metadata"]


@pytest.mark.parametrize(("ids", "sha"), [("NULL, NULL", SHA), ("9001, NULL", OTHER), ("9009, 1", SHA)])
def test_a_diff_without_the_sha_of_its_head_has_that_of_its_first_commit(generated_copy, produce, ids, sha):
    change(
        generated_copy,
        "UPDATE merge_request_diffs SET head_commit_sha = NULL WHERE id = 900",
        f"{COMMIT}({DIFF}, 4, {OWN}, NULL, 1), ({DIFF}, 3, {OWN}, {ids})",
    )
    request = the_one(produce(generated_copy))
    assert request["merge_request_diff"]["head_commit_sha"] == request["diff_head_sha"] == sha


def test_a_diff_without_the_sha_of_its_head_and_without_commits_has_none(generated_copy, produce):
    change(generated_copy, "UPDATE merge_request_diffs SET head_commit_sha = NULL, files_count = 3 WHERE id = 900")
    request = the_one(produce(generated_copy))
    assert request["merge_request_diff"]["head_commit_sha"] is request["diff_head_sha"] is None
    assert request["merge_request_diff"]["files_count"] == 3


def test_a_file_has_its_old_path_if_the_new_one_is_null_and_a_diff_that_is_text(generated_copy, produce):
    encoded = base64.b64encode("+é <b>\n".encode()).decode()
    rows = ", ".join([
        file(5, "NULL", "@@ -1 +1 @@", "false"),
        file(0, "'new.rb'", encoded, "true"),
        file(1, "''", "no base64", "true"),
        file(2, "'new.rb'", encoded, "NULL"),
        file(3, "'new.rb'", None, "false"),
        file(4, "'new.rb'", " \n\t", "NULL"),
    ])  # fmt: skip
    change(generated_copy, FILES.format("merge_request_diff_files", rows))
    found = files(produce(generated_copy))
    assert [(one["new_path"], one["utf8_diff"], one["binary"]) for one in found] == [
        ("new.rb", "+é <b>\n", True),
        ("", "no base64", True),
        ("new.rb", encoded, None),
        ("new.rb", "", False),
        ("new.rb", "", None),
        ("old.rb", "@@ -1 +1 @@", False),
    ]


@pytest.mark.parametrize("count", ["NULL", "32767"])
def test_files_are_counted_if_their_number_is_not_known(generated_copy, produce, count):
    change(
        generated_copy,
        "UPDATE merge_request_diffs SET files_count = NULL WHERE id = 900".replace("NULL", count),
        FILES.format("merge_request_diff_files", ", ".join(file(n, "NULL", "", "false") for n in range(3))),
    )
    assert the_one(produce(generated_copy))["merge_request_diff"]["files_count"] == 3


def test_a_diff_that_is_not_stored_externally_is_read_in_the_row_even_with_an_offset(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE merge_request_diffs SET stored_externally = false WHERE id = 900",
        FILES.format("merge_request_diff_files", f"{file(0, 'NULL', None, 'false')}, {file(1, 'NULL', '+a', 'false')}"),
        "UPDATE merge_request_diff_files SET external_diff_offset = 0, external_diff_size = 2"
        " WHERE merge_request_diff_id = 900",
    )
    assert [one["utf8_diff"] for one in files(produce(generated_copy))] == ["", "+a"]


def test_a_diff_that_is_stored_externally_is_not_read_in_the_row(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE merge_request_diffs SET stored_externally = true WHERE id = 900",
        FILES.format("merge_request_diff_files", file(0, "NULL", "+in the row", "false")),
    )
    assert [one["utf8_diff"] for one in files(produce(generated_copy))] == [""]


def test_the_second_reader_reads_external_diffs_by_offset_and_size(generated_copy):
    change(
        generated_copy,
        "UPDATE merge_request_diffs SET stored_externally = true WHERE id = 900",
        FILES.format("merge_request_diff_files", f"{file(0, 'NULL', '+x', 'false')}, {file(1, 'NULL', None, 'true')}"),
        "UPDATE merge_request_diff_files SET external_diff_offset = 4 * relative_order, external_diff_size = 4"
        " WHERE merge_request_diff_id = 900",
    )
    with psycopg.connect(generated_copy) as conn:
        found = reader.read_project(conn, 1, external_diffs={DIFF: b"+ab\nw6k="})
    assert [one["utf8_diff"] for one in files(found)] == ["+ab\n", "é"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NULL", {}),
        ("''", {}),
        ("E'--- \\n'", {}),
        ("E'---\\n:a: :b\\nc: \\':d\\'\\n'", {"a": "b", "c": ":d"}),
        (
            "E'--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce_remove_source_branch: \\'1\\'\\n"
            "should_remove_source_branch: true\\nsha: \\'0123\\'\\ncommit_message: |-\\n  One\\n\\n  Two: <b>\\n'",
            {"force_remove_source_branch": "1", "should_remove_source_branch": True, "sha": "0123",
             "commit_message": "One\n\nTwo: <b>"},
        ),
        (
            "E'--- !ruby/hash-with-ivars:ActiveSupport::HashWithIndifferentAccess\\nelements:\\n  squash: 1\\n"
            "ivars:\\n  :@x: 1\\n'",
            {"squash": 1},
        ),
    ],
)  # fmt: skip
def test_parameters_of_a_merge_are_an_object_in_pipelines_too(generated_copy, produce, text, expected):
    change(
        generated_copy,
        "UPDATE merge_requests SET lock_version = NULL, time_estimate = NULL",
        "UPDATE merge_requests SET merge_params = :text WHERE id = 1".replace(":text", text),
        "UPDATE p_ci_pipelines SET merge_request_id = 1 WHERE project_id = 1",
    )
    found = produce(generated_copy)
    nested = [pipeline["merge_request"] for pipeline in found["ci_pipelines"]]
    assert nested
    for request in [the_one(found), *nested]:
        assert (request["merge_params"], request["lock_version"], request["time_estimate"]) == (expected, 0, 0)
    assert not [request for request in nested if "state" in request or "diff_head_sha" in request]
