"""Relations of GitLab's paid edition: exported where their tables are, some only with a licence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composable, Identifier
from typer.testing import CliRunner

from project_export.archive.verify import verify
from project_export.cli import app
from project_export.errors import BadRequest
from project_export.sample import schema
from project_export.source import Limits, Session
from project_export.tree import Catalogue, bind, load, tables
from tests.archives import exported, read_archive
from tests.databases import Databases
from tests.reader import read_project
from tests.runs import assert_equal, context, merge, path_of, started, work

TREE = load("gitlab", "ee")
PAID = [option.relation for option in TREE.optional]
TABLES = sorted({nested.table for one in PAID for _, nested in one.walk()} - schema.tables().keys())
TOPS = {"protected_environments", "security_setting", "push_rule"}
AT = "2024-05-01 10:00:00.123456"
OUT = "2024-05-01T10:00:00.123Z"
ROWS = (
    "INSERT INTO iterations_cadences (id, title) VALUES (3, 'two weeks')",
    "INSERT INTO sprints (id, iid, group_id, iterations_cadence_id, created_at, updated_at, start_date, description)"
    " VALUES (5, 7, 9, 3, '{at}', '{at}', '2024-05-01', 'first')",
    "UPDATE issues SET sprint_id = 5 WHERE id = {issue}",
    "INSERT INTO issuable_slas (id, issue_id, due_at) VALUES (1, {issue}, '{at}')",
    "INSERT INTO resource_iteration_events (id, issue_id, iteration_id, user_id, action, created_at)"
    " VALUES (2, {issue}, 5, 1, 2, '{at}'), (1, {issue}, 5, 1, 1, '{at}')",
    "INSERT INTO protected_branch_unprotect_access_levels (id, protected_branch_id, access_level, user_id)"
    " VALUES (1, {protected_branche}, 40, NULL), (2, {protected_branche}, NULL, 4)",
    "INSERT INTO projects_branch_rules_squash_options (id, protected_branch_id, project_id, squash_option)"
    " VALUES (1, {protected_branche}, 1, 2)",
    "UPDATE boards SET milestone_id = {milestone} WHERE id = {board}",
    "UPDATE lists SET milestone_id = {milestone} WHERE board_id = {board}",
    "INSERT INTO protected_environments (id, project_id, name, created_at, updated_at)"
    " VALUES (1, 1, 'production', '{at}', '{at}'), (2, 2, 'not ours', '{at}', '{at}')",
    "INSERT INTO protected_environment_deploy_access_levels"
    " (id, protected_environment_id, access_level, created_at, updated_at) VALUES (1, 1, 30, '{at}', '{at}')",
    "INSERT INTO project_security_settings (project_id, created_at, updated_at) VALUES (1, '{at}', '{at}')",
    "INSERT INTO push_rules (id, project_id, max_file_size, prevent_secrets, author_email_regex)"
    " VALUES (1, 2, 1, false, 'other'), (2, 1, 50, true, '@example')",
)


def table(name: str) -> Composable:
    """Return the statement that makes one of the paid edition's tables."""
    columns = [SQL("{} {}").format(Identifier(column), SQL(kind)) for column, kind in TREE.known[name].items()]
    return SQL("CREATE TABLE {} ({})").format(Identifier(name), SQL(", ").join(columns))


def fill(source: str) -> str:
    """Make the paid edition's tables in a generated sample, with something in each of them."""
    with psycopg.connect(source) as conn:
        for name in TABLES:
            conn.execute(table(name))
        first = {"at": AT}
        for name in ("issue", "protected_branche", "board", "milestone"):
            query = SQL("SELECT min(id)::text FROM {} WHERE project_id = 1").format(Identifier(f"{name}s"))
            (first[name],) = conn.execute(query).fetchone()
        for row in ROWS:
            conn.execute(row.format(**first))
    return source


@pytest.fixture(scope="module")
def paid(databases: Databases, generated_template: str) -> Iterator[str]:
    """The generated sample with the paid edition's tables, which no test may change."""
    with databases.new(generated_template) as uri:
        yield fill(uri)


@pytest.fixture
def paid_copy(generated_copy: str) -> str:
    """The same, for a test that changes it."""
    return fill(generated_copy)


def archived(source: str, ledger_dsn: str, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what an archive of the first project has, which has to be whole."""
    ctx = context(source, ledger_dsn, tmp_path, units=1, edition="ee")
    created = started(ctx)
    assert work(ctx, created) == []
    path = path_of(merge(ctx, created))
    assert verify(path, tree=TREE).problems == ()
    return read_archive(path)


def only(records: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the one record that has something under the key."""
    (found,) = (record for record in records if record.get(key))
    return found


def test_the_reference_schema_has_the_tables_and_the_sample_does_not():
    assert len(TABLES) == 10
    assert set(TABLES) <= TREE.known.keys()


def test_optional_relations_are_exported_if_their_tables_exist(paid, ledger_dsn, tmp_path):
    found = archived(paid, ledger_dsn, tmp_path)
    cadence = {"title": "two weeks"}
    iteration = {
        "created_at": OUT, "updated_at": OUT, "start_date": "2024-05-01", "due_date": None, "group_id": 9, "iid": 7,
        "description": "first", "iterations_cadence": cadence,
    }  # fmt: skip
    issue = only(found["issues"], "issuable_sla")
    assert list(issue)[-4:] == ["issuable_sla", "iteration", "resource_iteration_events", "work_item_type"]
    assert issue["issuable_sla"] == {"due_at": OUT}
    assert issue["iteration"] == iteration
    assert issue["resource_iteration_events"] == [
        {"user_id": 1, "created_at": OUT, "action": action, "iteration": iteration} for action in ("add", "remove")
    ]
    assert {len(other["resource_iteration_events"]) for other in found["issues"]} == {0, 2}
    branch = only(found["protected_branches"], "squash_option")
    assert branch["squash_option"] == {"project_id": 1, "squash_option": "default_on"}
    assert branch["unprotect_access_levels"] == [
        {"access_level": 40, "user_id": None, "group_id": None},
        {"access_level": None, "user_id": 4, "group_id": None},
    ]
    board = only(found["boards"], "milestone")
    assert board["milestone"]["project_id"] == 1
    assert {name for item in board["lists"] for name in item} >= {"milestone"}
    assert found["protected_environments"] == [
        {
            "project_id": 1, "created_at": OUT, "updated_at": OUT, "name": "production", "group_id": None,
            "deploy_access_levels": [
                {"created_at": OUT, "updated_at": OUT, "access_level": 30, "user_id": None, "group_id": None}
            ],
        }
    ]  # fmt: skip
    assert found["security_setting"] == [{"project_id": 1, "created_at": OUT, "updated_at": OUT}]
    (rule,) = found["push_rule"]
    assert list(rule) == [key.name for key in TREE.extended().relations[-1].keys]
    assert (rule["max_file_size"], rule["prevent_secrets"], rule["author_email_regex"]) == (50, True, "@example")


def test_beside_them_an_export_is_the_same(paid, generated):
    with_them, without = exported(paid, 1, "ee"), exported(generated, 1, "ee")
    assert with_them.keys() - without.keys() == TOPS
    names = {name: {option.relation.name for option in TREE.optional if option.parent == name} for name in without}
    for name in without.keys() - {"boards"}:
        assert [
            {key: value for key, value in record.items() if key not in names[name]} for record in with_them[name]
        ] == without[name]


@pytest.mark.parametrize("edition", ["ee", "ee-unlicensed"])
def test_they_are_what_the_second_reader_reads(paid, edition):
    with psycopg.connect(paid) as conn:
        expected = {name: records for name, records in read_project(conn, 1, edition=edition).items() if records}
    assert "project_feature.requirements_access_level" in dict(TREE.uncovered)
    del expected["project_feature"][0]["requirements_access_level"]
    assert_equal(exported(paid, 1, edition), expected)


def test_an_empty_optional_table_is_exported_like_any_empty_one(paid_copy):
    with psycopg.connect(paid_copy) as conn:
        for name in TABLES:
            conn.execute(SQL("TRUNCATE {}").format(Identifier(name)))
    found = exported(paid_copy, 1, "ee")
    assert not found.keys() & TOPS
    assert {len(issue["resource_iteration_events"]) for issue in found["issues"]} == {0}
    assert not [issue for issue in found["issues"] if "iteration" in issue or "issuable_sla" in issue]


def test_without_their_tables_there_is_one_line_and_no_row(generated, ledger_dsn, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    ctx = context(generated, ledger_dsn, tmp_path, edition="ee")
    created = started(ctx)
    assert [row.relation for row in ctx.ledger.queries.rows(created.job_id)] == list(TREE.exported)
    lines = [record.getMessage() for record in caplog.records if "push_rule" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("optional, and not in this source: issues.issuable_sla, issues.iteration, ")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_request_for_one_that_the_source_does_not_have_is_refused(generated, paid, ledger_dsn, tmp_path):
    with pytest.raises(BadRequest, match="relation push_rule is optional, and this source does not have it"):
        started(context(generated, ledger_dsn, tmp_path, edition="ee"), "push_rule")
    ctx = context(paid, ledger_dsn, tmp_path, edition="ee")
    assert {row.relation for row in ctx.ledger.queries.rows(started(ctx, "push_rule").job_id)} == {
        "project",
        "push_rule",
    }


def test_a_check_shows_them_or_names_them_as_absent(generated, paid, monkeypatch):
    monkeypatch.setenv("PROJECT_EXPORT_EDITION", "ee")
    check = CliRunner().invoke(app, ["tree", "check", "--source", paid]).stdout
    assert "push_rule: optional, bound, 14 keys, 0 nested relations" in check.splitlines()
    assert "    issues.iteration by sprints (id): NO INDEX" in check.splitlines()
    assert "not in this source" not in check
    check = CliRunner().invoke(app, ["tree", "check", "--source", generated]).stdout
    assert "push_rule: " not in check
    assert check.splitlines()[-1].startswith("optional, and not in this source: issues.issuable_sla, ")


def test_a_column_that_such_a_table_lacks_is_an_error_unless_its_version_explains_it(paid_copy, monkeypatch):
    monkeypatch.setenv("PROJECT_EXPORT_EDITION", "ee")
    with psycopg.connect(paid_copy) as conn:
        conn.execute("ALTER TABLE push_rules DROP reject_non_dco_commits")
        conn.execute("ALTER TABLE boards DROP milestone_id")
    found = CliRunner().invoke(app, ["tree", "check", "--source", paid_copy])
    assert found.exit_code == 1
    assert "push_rule.reject_non_dco_commits reads push_rules.reject_non_dco_commits, which the source" in found.stderr
    assert "boards.milestone reads boards.milestone_id, which the source does not have" in found.stderr
    bound = bind(TREE, catalogue(paid_copy), allowed=["boards.milestone_id", "push_rules.reject_non_dco_commits"])
    why = "left out, the source has no push_rules.reject_non_dco_commits"
    dated = "reject_non_dco_commits was added after 15.5, by 17.0"
    assert bound.omissions("push_rule") == (f"push_rule.reject_non_dco_commits: {why}; {dated}; this was allowed",)
    assert bind(TREE, old(paid_copy), "15.5").remarks("push_rule") == (
        f"push_rule.reject_non_dco_commits: {why}; {dated}",
    )
    assert bound.omissions("boards") == (
        "boards.milestone: left out, the source has no boards.milestone_id; this was allowed",
    )


def old(uri: str) -> Catalogue:
    """Return the catalogue with what a GitLab of 15.5 has, but for what was taken away."""
    later = {name.partition(".")[0]: name.partition(".")[2] for name in TREE.column_since}
    found = {
        table: {column: kind for column, kind in columns.items() if f"{table}.{column}" not in TREE.column_since}
        for table, columns in catalogue(uri).items()
        if later.get(table) != ""
    }
    boards = {"boards": {**found["boards"], "milestone_id": "int8"}}
    return {**found, **boards, "work_item_types": {"id": "int8", "base_type": "int2"}}


def catalogue(uri: str) -> Catalogue:
    with Session(lambda: psycopg.connect(uri), "test", Limits()) as session:
        return session.catalogue(tables(TREE))


# What a licence decides.


@pytest.mark.parametrize("edition", ["ce", "ee-unlicensed"])
def test_without_a_licence_there_are_no_push_rules_and_no_boards_of_milestones_though_their_tables_are_there(
    paid, edition
):
    found = exported(paid, 1, edition)
    assert found.keys() & TOPS == TOPS - {"push_rule"}
    assert not [board for board in found["boards"] if "milestone" in board]
    assert [item for board in found["boards"] for item in board["lists"] if "milestone" in item]
    assert only(found["protected_branches"], "squash_option")


def test_without_push_rules_it_is_not_the_paid_edition(paid_copy):
    with psycopg.connect(paid_copy) as conn:
        conn.execute("DROP TABLE push_rules")
    bound = bind(TREE, catalogue(paid_copy))
    assert bound.absent == ("boards.milestone", "boards.lists.milestone", "push_rule")
    assert bound.left_out == ()


def test_a_board_of_no_real_milestone_has_what_gitlab_makes_up(paid_copy):
    with psycopg.connect(paid_copy) as conn:
        conn.execute(
            "DELETE FROM boards WHERE project_id = 1 AND id NOT IN (SELECT min(id) FROM boards WHERE project_id = 1)"
        )
        for milestone in (0, -1, -2, -3, -4, 999_999, None):
            conn.execute(
                "INSERT INTO boards (id, project_id, name, created_at, updated_at, milestone_id)"
                " SELECT max(id) + 1, 1, 'made up', now(), now(), %s FROM boards",
                [milestone],
            )
    found = [board.get("milestone") for board in exported(paid_copy, 1, "ee")["boards"][1:]]
    assert found == [
        {"title": "No Milestone", "name": "No Milestone", "id": 0},
        {"title": "Any Milestone", "name": "", "id": -1},
        {"title": "Upcoming", "name": "#upcoming", "id": -2},
        {"title": "Started", "name": "#started", "id": -3},
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("own", "instance", "exported_as"),
    [(None, None, None), (None, True, True), (None, False, False), (False, True, False), (True, False, True)],
)
def test_a_push_rule_takes_from_the_instances_rule_what_it_does_not_set(paid_copy, own, instance, exported_as):
    names = ("reject_unsigned_commits", "commit_committer_check", "reject_non_dco_commits")
    with psycopg.connect(paid_copy) as conn:
        for name in names:
            conn.execute(SQL("UPDATE push_rules SET {} = %s WHERE project_id = 1").format(Identifier(name)), [own])
        conn.execute("INSERT INTO push_rules (id, is_sample) VALUES (9, true)")
        for name in names:
            conn.execute(SQL("UPDATE push_rules SET {} = %s WHERE id = 9").format(Identifier(name)), [instance])
    (rule,) = exported(paid_copy, 1, "ee")["push_rule"]
    assert [rule[name] for name in names] == [exported_as] * 3
    assert rule["regexp_uses_re2"] is True


def test_the_older_one_of_two_push_rules_counts(paid_copy):
    with psycopg.connect(paid_copy) as conn:
        conn.execute("INSERT INTO push_rules (id, project_id, max_file_size) VALUES (9, 1, 7)")
    (rule,) = exported(paid_copy, 1, "ee")["push_rule"]
    assert rule["max_file_size"] == 50


LICENSED = {
    "ce": (3, 2, None, 7, True),
    "ee-unlicensed": (None, "needs_attention", False, 0, False),
    "ee": (3, "needs_attention", False, 7, True),
}


@pytest.mark.parametrize("edition", LICENSED)
def test_values_differ_by_edition(generated_copy, edition):
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE issues SET weight = 3, health_status = 2, work_item_type_id = 1")
        conn.execute(
            "UPDATE projects SET require_password_to_approve = NULL, approvals_before_merge = 7,"
            " reset_approvals_on_push = true"
        )
        conn.execute("UPDATE protected_branches SET code_owner_approval_required = true")
        conn.execute("UPDATE project_ci_cd_settings SET restrict_pipeline_cancellation_role = 1")
    found = exported(generated_copy, 1, edition)
    (project,), (settings,) = found["project"], found["ci_cd_settings"]
    values = {(issue["weight"], issue["health_status"]) for issue in found["issues"]}
    approvals = (project["require_password_to_approve"], project["approvals_before_merge"])
    assert [(*value, *approvals, project["reset_approvals_on_push"]) for value in values] == [LICENSED[edition]]
    assert {branch["code_owner_approval_required"] for branch in found["protected_branches"]} == {
        edition != "ee-unlicensed"
    }
    assert settings["restrict_pipeline_cancellation_role"] == (1 if edition == "ce" else "maintainer")


def test_incidents_and_epics_have_no_weight_in_the_paid_edition(generated_copy):
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE issues SET weight = 3, work_item_type_id = 1 + id % 9")
    weights = {
        issue["work_item_type"]["base_type"]: issue["weight"] for issue in exported(generated_copy, 1, "ee")["issues"]
    }
    assert weights.keys() > {"incident", "epic"}
    assert {name for name, weight in weights.items() if weight is None} == {"incident", "epic"}
    assert {issue["weight"] for issue in exported(generated_copy, 1)["issues"]} == {3}
