"""Values of records that come from a repository: commits of branches, and the default branch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.producers.branches import RepositoryBranches
from project_export.source import Limits, Reader, Session
from project_export.source.own import ReadBranches
from project_export.tree import bind, load, tables

TREE = """
name: forge
locations: {repositories: Git repositories}
root:
  relation: forge
  table: forges
  keys: [{branch: {column: fallback, blank: true, head: code}}]
relations:
  - relation: requests
    table: requests
    join: {forge_id: id}
    keys:
      - source
      - {sha: {tip: {of: code, branch: source, same: [from_id, forge_id]}}}
      - {own: {column: stored, tip: {of: code, branch: source}}}
      - {never: {constant: null, tip: {of: code, branch: target}}}
  - relation: code
    kind: bundle
    one: true
    table: forges
    join: {id: id}
    keys: [id]
    content: {location: repositories, name: code.bundle, paths: ["{id}.git"]}
"""
SQL = """
CREATE TABLE forges AS SELECT 1 AS id, ' '::text AS fallback;
CREATE TABLE requests (id serial, forge_id int, from_id int, source text, target text, stored text, sha text);
INSERT INTO requests (forge_id, from_id, source, target, stored) VALUES
    (1, 1, 'topic', 'main', NULL), (1, 2, 'topic', 'main', 'kept'), (1, NULL, 'gone', NULL, NULL),
    (1, 1, NULL, 'it''s "ö" %s {}', NULL);
"""
SQL_FALLBACK = {
    "trunk": "UPDATE forges SET fallback = 'trunk'",
    " ": "",
    None: "UPDATE forges SET fallback = NULL",
}
TIPS = {"main": "a" * 40, "topic": "b" * 40, 'it\'s "ö" %s {}': "c" * 40}


def read(
    database: str, folder: Path, branches: ReadBranches, sql: str = ""
) -> tuple[dict[str, Any], list[dict[str, Any]], Counter[str]]:
    (folder / "forge.yaml").write_text(TREE)
    tree = load(str(folder / "forge.yaml"))
    with psycopg.connect(database) as conn:
        conn.execute(SQL + sql)
    with Session(lambda: psycopg.connect(database), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        reader = Reader(session, bound, 1, branches=branches)
        (forge,) = (json.loads(chunk.data) for chunk in reader.read("forge"))
        lines = b"".join(chunk.data for chunk in reader.read("requests")).splitlines()
        return forge, [json.loads(line) for line in lines], reader.omissions


def test_commits_and_the_default_branch_come_from_the_repository(database, tmp_path):
    forge, requests, omissions = read(database, tmp_path, lambda _: RepositoryBranches("main", TIPS))
    assert forge == {"branch": "main"}
    assert [request["sha"] for request in requests] == ["b" * 40, None, None, None]
    assert [request["own"] for request in requests] == ["b" * 40, "kept", None, None]
    assert [request["never"] for request in requests] == ["a" * 40, "a" * 40, None, "c" * 40]
    assert omissions == {"requests.sha: comes from another Git repository, which is not read": 1}


@pytest.mark.parametrize(("fallback", "branch"), [("trunk", "trunk"), (" ", None), (None, None)])
def test_without_branches_the_stored_value_counts(database, tmp_path, fallback, branch):
    change = SQL_FALLBACK[fallback]
    found = read(database, tmp_path, lambda _: RepositoryBranches(), change)
    assert found[0] == {"branch": branch}
    assert {request["never"] for request in found[1]} == {None}


def test_without_a_repository_they_are_null_and_counted(database, tmp_path):
    forge, requests, omissions = read(database, tmp_path, lambda _: None, "UPDATE forges SET fallback = 'trunk'")
    why = "comes from the Git repository, which is missing, or whose location is not set"
    assert forge == {"branch": None}
    assert [request["own"] for request in requests] == [None, "kept", None, None]
    assert {request["sha"] for request in requests} == {None}
    assert omissions == {
        f"forge.branch: {why}": 1,
        f"requests.sha: {why}": 1,
        "requests.sha: comes from another Git repository, which is not read": 1,
        f"requests.own: {why}": 2,
        f"requests.never: {why}": 3,
    }


def test_a_repository_is_asked_for_by_its_relation(database, tmp_path):
    asked: list[str] = []

    def branches(relation: str) -> RepositoryBranches:
        asked.append(relation)
        return RepositoryBranches("main", TIPS)

    read(database, tmp_path, branches)
    assert set(asked) == {"code"}
