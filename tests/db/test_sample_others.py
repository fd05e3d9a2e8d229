"""Rows that the generator makes from the schema and the tree, for relations that none of its modules knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from project_export.sample.others import ABOVE, MANY, add_others
from project_export.sample.repository import Repository
from project_export.sample.world import Project
from project_export.sample.writer import Writer
from project_export.tree import Tree, load
from tests.databases import Databases

TREE = """
name: small
schema: [{columns}]
enums:
  status: {{1: open, 2: closed}}
root: {{relation: project, table: projects, keys: [name]}}
relations:
  - relation: attributes
    table: project_custom_attributes
    join: {{project_id: id}}
    keys: [created_at, key, value]
  - relation: desk
    table: service_desk_settings
    one: true
    join: {{project_id: id}}
    keys: [issue_template_key, project_key]
  - relation: issues
    table: issues
    join: {{project_id: id}}
    where: {{state_id: 1}}
    keys: [title]
    children:
      - relation: timelogs
        table: timelogs
        join: {{issue_id: id}}
        where: {{summary: kept}}
        keys: [time_spent, spent_at, user_id]
  - relation: pipelines
    table: p_ci_pipelines
    join: {{project_id: id}}
    key: [id, partition_id]
    keys: [ref]
    children:
      - relation: pull_request
        table: external_pull_requests
        one: true
        join: {{id: external_pull_request_id}}
        keys: [{{status: {{enum: status}}}}, source_branch]
"""
MADE = ("project_custom_attributes", "service_desk_settings", "timelogs", "external_pull_requests")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    file = tmp_path_factory.mktemp("tree") / "small.yaml"
    columns = Path(load("gitlab").file).with_name("gitlab-columns.tsv")
    file.write_text(TREE.format(columns=columns), encoding="utf-8")
    return load(str(file))


def project(number: int, *, empty: bool = False) -> Project:
    lists: dict[str, Any] = {"groups": [], "group_labels": [], "group_milestones": [], "sizes": {}}
    lists |= {"repository": Repository(None, str(number)), "uploads_path": ""}
    return Project(id=number, namespace=0, full=True, empty=empty, builds=True, **lists)


@pytest.fixture(scope="module")
def made(
    databases: Databases, generated_template: str, tree: Tree
) -> Iterator[tuple[psycopg.Connection[Any], list[Project]]]:
    """A generated sample of two projects in which four tables are filled by the tree alone, and the projects."""
    projects = [project(1), project(2, empty=True)]
    with databases.new(generated_template) as uri, psycopg.connect(uri) as conn:
        conn.execute("UPDATE p_ci_pipelines SET external_pull_request_id = NULL")
        for table in MADE:
            conn.execute(SQL("DELETE FROM {}").format(Identifier(table)))
        writer = Writer(conn)
        writer.written.update({"issues", "p_ci_pipelines"})
        add_others(conn, writer, tree, projects, 1)
        yield conn, projects


def rows(conn: psycopg.Connection[Any], table: str) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL("SELECT * FROM {} ORDER BY 1").format(Identifier(table))).fetchall()


def test_a_project_that_is_not_empty_has_records_of_each_top_level_relation_and_they_are_counted(made):
    conn, projects = made
    assert [row["project_id"] for row in rows(conn, "project_custom_attributes")] == [1] * MANY
    assert [row["project_id"] for row in rows(conn, "service_desk_settings")] == [1]
    assert [dict(one.records) for one in projects] == [{"attributes": MANY, "desk": 1}, {}]


def test_exported_columns_have_values_others_canaries_and_unique_ones_differ(made):
    conn, _ = made
    attributes = rows(conn, "project_custom_attributes")
    assert len({row["key"] for row in attributes}) == MANY
    assert all(row["key"] and row["value"] and row["created_at"] for row in attributes)
    (desk,) = rows(conn, "service_desk_settings")
    assert desk["issue_template_key"]
    assert desk["outgoing_name"] == "CANARY service_desk_settings.outgoing_name"


def test_nested_records_fulfil_the_conditions_and_the_last_has_only_required_values(made):
    conn, _ = made
    timelogs = rows(conn, "timelogs")
    issues = [number for (number,) in conn.execute("SELECT id FROM issues WHERE state_id = 1 ORDER BY id")]
    assert len(issues) > 10
    assert [row["issue_id"] for row in timelogs] == [number for number in issues[:ABOVE] for _ in range(MANY)]
    assert {row["summary"] for row in timelogs} == {"kept"}
    assert [row["user_id"] is None for row in timelogs[:MANY]] == [False, False, True]
    users = {number for (number,) in conn.execute("SELECT id FROM users")}
    assert {row["user_id"] for row in timelogs} - {None} <= users


def test_records_that_others_refer_to_are_named_in_them_and_have_codes_of_the_enum(made):
    conn, _ = made
    found = rows(conn, "external_pull_requests")
    named = "SELECT external_pull_request_id FROM p_ci_pipelines WHERE external_pull_request_id IS NOT NULL ORDER BY 1"
    assert [number for (number,) in conn.execute(named)] == [row["id"] for row in found]
    assert {row["status"] for row in found} == {1, 2}


def test_a_table_with_rows_gets_no_others(made, tree):
    conn, projects = made
    writer = Writer(conn)
    writer.written.update({"issues", "p_ci_pipelines", *MADE})
    before = [len(rows(conn, table)) for table in MADE]
    add_others(conn, writer, tree, projects, 1)
    assert [len(rows(conn, table)) for table in MADE] == before
