"""`project-export tree check` and `tree coverage` on databases."""

from __future__ import annotations

import re
import subprocess

import psycopg
import pytest
from typer.testing import CliRunner

from dev.postgres import program
from project_export.cli import app
from project_export.sample import schema
from project_export.sample.generate import COMPLETE, generate
from project_export.source import Limits, Session
from project_export.source.indexes import Join, joins
from project_export.tree import Lookup, bind, load, tables
from tests.archives import exported, load_into, write_archive
from tests.reader import read_project
from tests.runs import assert_equal

WITHOUT_INDEX = ["merge_requests.metrics", "uploads", "avatar.size"]
"""GitLab's only index on the first join is a partial one; for uploads, the facts only have those of its partitions."""


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tree", *words])
    return result.exit_code, result.stdout, result.stderr


def every_join(uri: str) -> list[Join]:
    tree = load("gitlab")
    with Session(lambda: psycopg.connect(uri), "test", Limits()) as session:
        return list(joins(session, bind(tree, session.catalogue(tables(tree)))))


def found(uri: str) -> dict[str, Join]:
    return {join.path: join for join in every_join(uri)}


def change(uri: str, *statements: str) -> None:
    with psycopg.connect(uri) as conn:
        for statement in statements:
            conn.execute(statement)


def test_gitlabs_schema_serves_every_join_but_these(specimen_template):
    every = found(specimen_template)
    assert [path for path, join in every.items() if join.index is None] == WITHOUT_INDEX
    assert every["issues.notes"].index == "index_notes_on_noteable_id_and_noteable_type_system_author_id"
    assert every["project.settings"].index == "project_settings_pkey"


def test_every_nested_relation_lookup_and_row_beside_has_its_join(specimen_template):
    tree = load("gitlab")
    expected = {path for path, relation in tree.walk() if relation.table} | {"project.title"}
    expected |= {relation.name for relation in tree.files}
    for path, relation in (*tree.walk(), *((one.name, one) for one in tree.files)):
        expected |= {f"{path}.{row.name}" for row in relation.beside if row.match}
        for key in relation.keys:
            lookups = [source for form in key.forms for source in form.sources if isinstance(source, Lookup)]
            expected |= {f"{path}.{key.name}"} if lookups else set()
    assert found(specimen_template).keys() == expected
    assert {"project.settings", "merge_requests.diff_head_sha"} <= expected


def test_an_index_may_lead_with_a_column_that_has_one_value(sample_database):
    change(
        sample_database,
        "DROP INDEX index_timelogs_on_issue_id",
        "DROP INDEX index_notes_on_noteable_id_and_noteable_type_system_author_id",
        "CREATE INDEX leading_type ON notes (noteable_type, noteable_id)",
        "CREATE INDEX behind_another ON timelogs (user_id, issue_id)",
    )
    every = found(sample_database)
    assert every["issues.notes"].index == "leading_type"
    assert every["issues.timelogs"].index is None


def test_an_index_on_only_some_of_the_columns_is_reported_as_such(specimen_template):
    join = found(specimen_template)["ci_pipelines.stages.builds"]
    assert join.missing == ("partition_id",)
    assert str(join) == "p_ci_builds (stage_id, partition_id): p_ci_builds_stage_id_idx, but without partition_id"


def test_a_partial_index_counts_only_when_its_condition_follows_from_the_join(sample_database):
    change(
        sample_database,
        "DROP INDEX index_timelogs_on_issue_id",
        "DROP INDEX index_timelogs_on_merge_request_id",
        "CREATE INDEX some_rows ON timelogs (issue_id) WHERE time_spent > 0",
        "CREATE INDEX all_that_join ON timelogs (merge_request_id) WHERE merge_request_id IS NOT NULL",
    )
    every = found(sample_database)
    assert every["issues.timelogs"].index is None
    assert every["issues.timelogs"].partial == ("some_rows WHERE (time_spent > 0)",)
    assert every["merge_requests.timelogs"].index == "all_that_join"


def test_a_check_prints_what_is_bound_and_says_loudly_which_join_has_no_index(specimen_template):
    code, out, err = run("check", "--source", specimen_template)
    assert code == 0
    assert "issues: bound, 22 keys, 33 nested relations" in out.splitlines()
    assert "    issues.notes by notes (noteable_id): index_notes_on_noteable_id" in out
    assert "repository: bound, 4 keys, 0 nested relations" in out.splitlines()
    assert "user_contributions: always null" in out.splitlines()
    assert f"WARNING: 3 of {len(every_join(specimen_template))} joins have no index" in err
    assert "merge_requests.metrics by merge_request_metrics (merge_request_id): NO INDEX" in err


def test_a_check_fails_and_names_all_that_is_absent_with_the_lines_that_read_it(sample_database):
    change(sample_database, "ALTER TABLE issues DROP COLUMN weight", "DROP TABLE badges", "DROP TABLE suggestions")
    change(sample_database, "ALTER TABLE issues RENAME COLUMN relative_position TO relative_place")
    code, _, err = run("check", "--source", sample_database)
    assert code == 1
    for what in (
        "issues.weight reads issues.weight, which the source does not have",
        "project_badges reads table badges, which the source does not have",
        "merge_requests.notes.suggestions reads table suggestions, which the source does not have",
        "issues needs issues.relative_position for order, which the source does not have; nearest: relative_place",
    ):
        assert re.search(rf"gitlab\.yaml:\d+: {re.escape(what)}", err), err


def test_a_check_prints_what_is_left_out_and_why(sample_database, monkeypatch):
    change(sample_database, "ALTER TABLE issues DROP COLUMN weight", "DROP TABLE badges")
    monkeypatch.setenv("PROJECT_EXPORT_ALLOW_ABSENT", "issues.weight, badges")
    code, out, _ = run("check", "--source", sample_database)
    assert code == 0
    for line in (
        "    OMISSION: issues.weight: left out, the source has no issues.weight; this was allowed",
        "    OMISSION: project_badges: left out, the source has no table badges; this was allowed",
    ):
        assert line in out.splitlines()


def test_a_check_fails_on_a_mistake_in_a_tree(specimen_template, tmp_path):
    tree = tmp_path / "own.yaml"
    tree.write_text("name: own\nroot: {relation: project, table: projects, keys: [nmae]}\nrelations: []\n", "utf-8")
    code, _, err = run("check", "--source", specimen_template, "--tree", str(tree))
    assert code == 1
    assert f"{tree}:2: project.nmae reads projects.nmae, which the source does not have, nor does" in err


def test_coverage_of_the_specimen_has_only_exceptions_with_a_reason(specimen_template):
    code, out, _ = run("coverage", "--source", specimen_template, "--project-id", "1")
    assert code == 0
    assert "issues.notes: 3 records" in out.splitlines()
    assert "never, for a reason: project.default_branch: comes from the Git repository" in out.splitlines()
    assert "UNSEEN" not in out


def test_a_complete_sample_has_a_value_for_every_key_but_for_eight_that_cannot_have_one(sample_database):
    generated = CliRunner().invoke(app, ["sample", "generate", "--dsn", sample_database, "--complete"])
    with psycopg.connect(sample_database) as conn:
        relations = read_project(conn, 1)
    count = sum(len(records) for name, records in relations.items() if name != "project")
    assert (generated.exit_code, generated.stdout) == (0, f"project 1: {count} top-level records\n")
    assert count >= 76
    code, out, _ = run("coverage", "--source", sample_database, "--project-id", "1")
    assert code == 0
    assert [line.removeprefix("never, for a reason: ") for line in out.splitlines() if line.startswith("never")] == [
        "project.default_branch: comes from the Git repository",
        "labels.group_id: a label of a project does not belong to a group",
        "milestones.group_id: a milestone of a project does not belong to a group",
        "project_members.requested_at: only rows whose requested_at is NULL are exported",
        "merge_requests.source_branch_sha: comes from the Git repository",
        "merge_requests.target_branch_sha: comes from the Git repository",
        "ci_pipelines.stages.bridges.artifacts_expire_at: a bridge has no artifacts",
        "boards.group_id: a board of a project does not belong to a group",
    ]


def test_a_complete_sample_is_what_the_second_reader_reads_and_comes_back_as_it_was(
    sample_database, database, tmp_path
):
    with psycopg.connect(sample_database) as conn:
        generate(conn, *COMPLETE)
        expected = {name: records for name, records in read_project(conn, 1).items() if records}
    records = exported(sample_database, 1)
    assert_equal(records, expected)
    with psycopg.connect(database) as conn:
        schema.create(conn)
    assert exported(database, load_into(database, write_archive(tmp_path / "complete.tar.gz", records))) == records


def test_coverage_names_a_key_that_never_has_a_value(specimen_copy):
    change(specimen_copy, "UPDATE issues SET weight = NULL", "DELETE FROM suggestions")
    code, out, _ = run("coverage", "--source", specimen_copy, "--project-id", "1")
    assert code == 1
    assert "UNSEEN: issues.weight" in out.splitlines()
    assert "UNSEEN: merge_requests.notes.suggestions.to_content" in out.splitlines()
    assert "merge_requests.notes.suggestions: 0 records" in out.splitlines()


# The statements.


@pytest.mark.parametrize("relation", load("gitlab").names)
def test_the_statements_of_a_relation_run_in_psql_as_they_are_printed(specimen_template, relation):
    code, printed, _ = run("sql", relation, "--source", specimen_template)
    assert code == 0
    tree = load("gitlab")
    expected = {path for path, nested in tree.walk() if nested.table and path.split(".")[0] == relation}
    paths = re.findall(r"^-- (\S+)$", printed, re.MULTILINE)
    assert expected <= set(paths)
    variables = [option for n in range(3) for option in ("-v", f"key{n}={{1}}")]
    command = [str(program("psql")), specimen_template, "-X", "-q", "-v", "ON_ERROR_STOP=1", *variables]
    done = subprocess.run(command, input=printed, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_plans_are_those_of_a_projects_first_rows(generated):
    code, printed, _ = run("sql", "issues", "--source", generated, "--explain")
    assert code == 0
    plans = dict(re.findall(r"^-- (\S+)\n.*;\n((?:--   .*\n)+)", printed, re.MULTILINE))
    assert "issues_pkey" in plans["issues"] or "Seq Scan on issues" in plans["issues"]
    assert re.search(r"cost=\d", plans["issues.notes"])
    assert re.search(r"cost=\d", plans["issues.notes.author"])


def test_the_statements_can_be_read_without_a_database():
    code, printed, _ = run("sql", "labels")
    assert code == 0
    assert [line for line in printed.splitlines() if line.startswith("-- ")] == [
        "-- labels (keys)",
        "-- labels",
        "-- labels.priorities",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["isues"], "relation isues is unknown; nearest: issues"),
        (["issues", "--explain"], "--explain needs a database: give --source DSN"),
    ],
)
def test_a_relation_without_statements_is_reported(words, said):
    code, _, err = run("sql", *words)
    assert (code, said in err) == (2, True)
