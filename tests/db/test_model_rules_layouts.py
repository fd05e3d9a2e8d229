"""Databases of several GitLab versions: where each stores a diff, and a whole project from each."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from project_export.sample import schema
from project_export.sample.generate import generate
from tests.archives import exported
from tests.databases import NewDatabase
from tests.diffs import (
    AS_METADATA,
    AS_OWN,
    COMMIT,
    DIFF,
    FILES,
    MERGE_REQUEST,
    METADATA,
    NEW_DIFF,
    OWN,
    USERS,
    commits,
    file,
    files,
)
from tests.producers import PRODUCERS, Producer, of_reader
from tests.runs import assert_equal

VERSIONS = {"17.1": "17.1.0", "18.6": "18.6.0", "19.5": "19.5.0", "gitlab.com": "19.5.0-pre"}
"""By layout, a version of GitLab that has it."""
METADATA_COMMIT = (
    "INSERT INTO {} (merge_request_commits_metadata_id, merge_request_diff_id, project_id, relative_order)"
    " VALUES (9001, 900, 1, 0)"
)
OLD_COMMIT = (
    "INSERT INTO merge_request_diff_commits (merge_request_diff_id, relative_order, authored_date, committed_date, sha,"
    " message, trailers, commit_author_id, committer_id) VALUES "
)
AS_OWN_BEFORE_19 = {**AS_OWN, "trailers": {"Signed-off-by": "me"}}
"""Trailers are a constant in 19.x; from 17.0 to 18.x they were exported as stored."""


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


@pytest.fixture
def laid_out(new_database: NewDatabase) -> Callable[..., str]:
    """Make a small sample of a layout, run statements on it, and return its URI."""

    def make(layout: str, *statements: str) -> str:
        database = new_database()
        with psycopg.connect(database) as conn:
            schema.create(conn, layout)
            generate(conn, 1, 0.1)
            conn.execute("SET session_replication_role = replica")  # rows may refer to missing ones
            for statement in statements:
                conn.execute(statement.encode())
        return database

    return make


@pytest.mark.parametrize("layout", VERSIONS)
def test_the_engine_exports_from_every_layout_what_the_second_reader_reads(laid_out, layout):
    database = laid_out(layout)
    found = exported(database, 1, version=VERSIONS[layout])
    assert_equal(found, {name: records for name, records in of_reader(database).items() if records})


def test_before_19_0_trailers_are_as_stored(laid_out, produce):
    second = "'2023-01-01', NULL, '\\xcc', NULL, '{}', NULL, NULL"
    database = laid_out(
        "17.1",
        MERGE_REQUEST,
        NEW_DIFF,
        "INSERT INTO merge_request_diff_commit_users (id, name, email) VALUES (9001, 'Own', 'own@example.com')",
        f"{OLD_COMMIT}({DIFF}, 0, {OWN})",
        f"{OLD_COMMIT}({DIFF}, 1, {second})",
    )
    found = commits(produce(database, VERSIONS["17.1"]))
    assert found == [
        AS_OWN_BEFORE_19,
        {
            "authored_date": "2023-01-01T00:00:00.000Z", "committed_date": None, "relative_order": 1, "sha": "cc",
            "message": None, "trailers": {},
        },
    ]  # fmt: skip


SUCCESSORS = (
    METADATA_COMMIT.format("merge_request_diff_commits_b5377a7a34"),
    FILES.format("merge_request_diff_files_99208b8fac", file(0, "NULL", "+successor", "false")),
)
TABLES = (
    f"{COMMIT}({DIFF}, 1, {OWN}, NULL, 1)",
    FILES.format("merge_request_diff_files", file(1, "NULL", "+table", "false")),
)


@pytest.mark.parametrize(
    ("statements", "diffs", "expected"),
    [
        (SUCCESSORS, ["+successor"], [AS_METADATA]),
        (TABLES, ["+table"], [{**AS_OWN_BEFORE_19, "relative_order": 1}]),
        ((*SUCCESSORS, *TABLES), ["+table"], [{**AS_OWN_BEFORE_19, "relative_order": 1}]),
        ((), [], []),
    ],
)
def test_rows_of_a_successor_are_read_if_the_table_has_none_for_the_diff(
    laid_out, produce, statements, diffs, expected
):
    found = produce(laid_out("18.6", MERGE_REQUEST, NEW_DIFF, USERS, METADATA, *statements), VERSIONS["18.6"])
    assert [one["utf8_diff"] for one in files(found)] == diffs
    assert commits(found) == expected


def test_after_the_swap_the_partitioned_tables_are_read_and_the_archived_ones_never(laid_out, produce):
    database = laid_out(
        "gitlab.com",
        MERGE_REQUEST,
        NEW_DIFF,
        USERS,
        METADATA,
        METADATA_COMMIT.format("merge_request_diff_commits"),
        FILES.format("merge_request_diff_files", file(0, "NULL", "+partitioned", "false")),
        FILES.format("merge_request_diff_files_archived", file(1, "NULL", "+archived", "false")),
        COMMIT.replace("diff_commits", "diff_commits_archived") + f"({DIFF}, 1, {OWN}, NULL, 1)",
    )
    found = produce(database, VERSIONS["gitlab.com"])
    assert [one["utf8_diff"] for one in files(found)] == ["+partitioned"]
    assert commits(found) == [AS_METADATA]


def test_a_diff_that_only_the_archived_table_has_is_empty(laid_out, produce):
    archived = FILES.format("merge_request_diff_files_archived", file(1, "NULL", "+archived", "false"))
    found = produce(laid_out("19.5", MERGE_REQUEST, NEW_DIFF, archived), VERSIONS["19.5"])
    assert files(found) == []
