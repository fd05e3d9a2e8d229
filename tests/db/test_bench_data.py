"""The data of the benchmark: a usual project, whose rows COPY and an export both read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import orjson
import psycopg
import pytest
from psycopg import sql

from bench import PROJECT_ID
from bench.peers import copy, ours
from bench.peers.shape import bound_tree, connect
from bench.real import fill
from tests.databases import Databases

ISSUES, MERGE_REQUESTS, PIPELINES = 60, 20, 24
KEPT = {"issues": 6, "merge_requests": 2, "ci_pipelines": 2}
"""What the sample had that the project started as."""


@pytest.fixture(scope="module")
def uri(databases: Databases) -> Iterator[str]:
    with databases.new() as uri:
        fill(uri, ISSUES, MERGE_REQUESTS, PIPELINES)
        yield uri


def exported(uri: str, relation: str) -> list[dict[str, Any]]:
    data = b"".join(ours.read(uri, 1, relation))
    return [orjson.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("relation", "made"), [("issues", ISSUES), ("merge_requests", MERGE_REQUESTS), ("ci_pipelines", PIPELINES)]
)
def test_a_project_has_the_records_that_were_asked_for(uri: str, relation: str, made: int) -> None:
    assert len(exported(uri, relation)) == made + KEPT[relation]


def test_issues_are_nearly_in_the_order_of_their_ids(uri: str) -> None:
    with psycopg.connect(uri) as conn:
        rows = conn.execute(
            "SELECT id FROM issues WHERE project_id = %s AND id > 1000000 ORDER BY relative_position NULLS LAST, id",
            [PROJECT_ID],
        ).fetchall()
    ids = [row[0] for row in rows]
    assert sum(a < b for a, b in pairwise(ids)) > 0.8 * len(ids)


def test_a_merge_request_has_diffs_commits_and_notes_on_diffs(uri: str) -> None:
    found = exported(uri, "merge_requests")[KEPT["merge_requests"] :]
    notes = [note for record in found for note in record["notes"]]
    positions = [note["position"] for note in notes if note["type"] == "DiffNote"]
    assert len(positions) > 0.1 * len(notes) > 3
    assert all(position["new_line"] for position in positions)
    diffs = [record["merge_request_diff"] for record in found]
    assert all(diff["merge_request_diff_commits"] for diff in diffs)
    assert all(file["utf8_diff"].startswith("@@ -") for diff in diffs for file in diff["merge_request_diff_files"])


@pytest.mark.parametrize("relation", ["issues", "merge_requests", "ci_pipelines"])
def test_copy_reads_each_row_that_is_exported_once(uri: str, relation: str) -> None:
    nested: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "issues": ("notes", lambda record: record["notes"]),
        "merge_requests": (
            "merge_request_diff_files",
            lambda record: record["merge_request_diff"]["merge_request_diff_files"],
        ),
        "ci_pipelines": ("p_ci_builds", lambda record: [job for stage in record["stages"] for job in stage["builds"]]),
    }
    table, of = nested[relation]
    records = exported(uri, relation)
    with connect(uri) as conn:
        bound = bound_tree(conn)
        top = bound.relation(relation)
        ((own, _),) = top.join
        condition = sql.SQL("{} = {}").format(sql.Identifier(own), sql.Literal(PROJECT_ID))
        queries = list(copy.statements(top, condition, bound.catalogue))
        of_table = next(query for query in queries if f'FROM "{table}" WHERE' in query.as_string(conn).split(" IN ")[0])
        assert rows(conn, queries[0]) == len(records)
        assert rows(conn, of_table) == sum(len(of(record)) for record in records)


def rows(conn: psycopg.Connection[tuple[object, ...]], query: sql.Composed) -> int:
    with conn.cursor() as cursor, cursor.copy(query) as copied:
        return sum(1 for _ in copied.rows())
