"""What GitLab's models make of a project, its settings and its pipelines: variants of the cases, on a generated sample.

Expected values follow GitLab's models, not code; both the engine and the second reader are compared with them.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests import reader
from tests.archives import Records
from tests.producers import PRODUCERS, Producer, walk


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


def change(database: str, *statements: str) -> None:
    """Run statements on a database; their rows may refer to missing ones."""
    with psycopg.connect(database) as conn:
        conn.execute("SET session_replication_role = replica")
        for statement in statements:
            conn.execute(statement.encode())


def root(found: Records) -> dict[str, Any]:
    return found["project"][0]


ARCHIVED = "UPDATE projects SET archived = true, marked_for_deletion_at = NULL WHERE id = 1"
OWN_NAMESPACE = "UPDATE namespaces SET state = {} WHERE id = (SELECT project_namespace_id FROM projects WHERE id = 1)"
GROUP = "UPDATE namespaces SET state = 2 WHERE id = (SELECT namespace_id FROM projects WHERE id = 1)"


@pytest.mark.parametrize(
    ("statement", "archived"),
    [
        ("SELECT 1", True),
        ("UPDATE projects SET marked_for_deletion_at = '2026-11-01' WHERE id = 1", False),
        (OWN_NAMESPACE.format(2), False),
        (OWN_NAMESPACE.format(1), True),
        (OWN_NAMESPACE.format(4), True),
        (OWN_NAMESPACE.format("NULL"), True),
        (GROUP, True),
        ("UPDATE projects SET project_namespace_id = NULL WHERE id = 1", True),
    ],
)
def test_a_project_is_archived_unless_its_own_deletion_is_scheduled(generated_copy, produce, statement, archived):
    change(generated_copy, ARCHIVED, statement)
    assert root(produce(generated_copy))["archived"] is archived


def test_a_project_without_a_row_of_settings_has_those_of_an_unsaved_one(generated_copy, produce):
    change(generated_copy, "DELETE FROM project_settings")
    found = root(produce(generated_copy))
    assert found["squash_option"] == "default_off"
    assert found["allow_merge_on_skipped_pipeline"] is None
    assert found["merge_commit_template"] is found["squash_commit_template"] is None


@pytest.mark.parametrize(("code", "name"), [("NULL", None), ("0", "never"), ("3", "default_off"), ("7", None)])
def test_the_squash_option_of_a_row_is_a_name(generated_copy, produce, code, name):
    change(
        generated_copy,
        "ALTER TABLE project_settings ALTER squash_option DROP NOT NULL",
        "UPDATE project_settings SET squash_option = :code".replace(":code", code),
    )
    assert root(produce(generated_copy))["squash_option"] == name


LABEL = "UPDATE projects SET external_authorization_classification_label = {} WHERE id = 1"
INSTANCE = (
    "CREATE TABLE application_settings (id bigint PRIMARY KEY, external_authorization_service_default_label text,"
    " default_branch_name text)",
    "INSERT INTO application_settings VALUES (2, 'newest', NULL), (1, 'oldest', NULL)",
)


@pytest.mark.parametrize(
    ("statements", "label"),
    [
        ((LABEL.format("NULL"),), None),
        ((LABEL.format("NULL"), *INSTANCE), "newest"),
        ((LABEL.format("NULL"), *INSTANCE, "UPDATE application_settings SET"
          " external_authorization_service_default_label = NULL WHERE id = 2"), None),
        ((LABEL.format("NULL"), *INSTANCE, "DELETE FROM application_settings"), None),
        ((LABEL.format("''"), *INSTANCE), ""),
        ((LABEL.format("'own'"), *INSTANCE), "own"),
    ],
)  # fmt: skip
def test_a_classification_label_that_is_null_is_the_instances(generated_copy, produce, statements, label):
    change(generated_copy, "DROP TABLE IF EXISTS application_settings", *statements)
    assert root(produce(generated_copy))["external_authorization_classification_label"] == label


def test_nulls_of_the_project_are_what_its_getters_return(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE projects SET pages_https_only = NULL, autoclose_referenced_issues = NULL, service_desk_enabled = NULL,"
        " auto_cancel_pending_pipelines = 5 WHERE id = 1",
    )
    found = root(produce(generated_copy))
    assert found["pages_https_only"] is False
    assert found["autoclose_referenced_issues"] is True
    assert found["service_desk_enabled"] is None
    assert found["auto_cancel_pending_pipelines"] is None


def test_nulls_of_the_feature_are_its_defaults_and_levels_are_numbers(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE project_features SET merge_requests_access_level = NULL, issues_access_level = NULL,"
        " wiki_access_level = NULL, builds_access_level = NULL, forking_access_level = NULL,"
        " metrics_dashboard_access_level = NULL, pages_access_level = 30, created_at = NULL",
    )
    (feature,) = produce(generated_copy)["project_feature"]
    levels = {
        name: feature[f"{name}_access_level"] for name in ("merge_requests", "issues", "wiki", "builds", "forking")
    }
    assert levels == dict.fromkeys(levels, 20)
    assert feature["metrics_dashboard_access_level"] == 10
    assert feature["pages_access_level"] == 30
    assert feature["created_at"] is None
    assert "requirements_access_level" not in feature


SOURCES = {
    "NULL": "unknown", "1": "push", "2": "web", "6": "external", "8": "chat", "9": None, "10": "merge_request_event",
    "11": "external_pull_request_event", "12": None, "19": None, "99": None,
}  # fmt: skip


def with_sources(database: str, *statements: str) -> None:
    """Replace all pipelines by one of each source, which is its ref."""
    rows = ", ".join(f"({90000 + n}, 100, 1, {code}, '{code}', 1)" for n, code in enumerate(SOURCES))
    change(
        database,
        "DELETE FROM p_ci_pipelines",
        "INSERT INTO p_ci_pipelines (id, partition_id, project_id, source, ref, locked) VALUES :rows".replace(
            ":rows", rows
        ),
        *statements,
    )


@pytest.mark.parametrize("level", ["NULL", "10", "20"])
def test_if_builds_are_enabled_all_pipelines_except_dangling_ones_are_exported(generated_copy, produce, level):
    with_sources(generated_copy, "UPDATE project_features SET builds_access_level = :level".replace(":level", level))
    found = {pipeline["ref"]: pipeline["source"] for pipeline in produce(generated_copy)["ci_pipelines"]}
    assert found == {code: name for code, name in SOURCES.items() if name}


@pytest.mark.parametrize(
    "statement", ["UPDATE project_features SET builds_access_level = 0", "DELETE FROM project_features"]
)
def test_if_builds_are_disabled_only_external_pipelines_are_exported(generated_copy, produce, statement):
    with_sources(generated_copy, statement)
    assert [pipeline["source"] for pipeline in produce(generated_copy)["ci_pipelines"]] == ["external"]


def test_before_sha_has_64_zeros_in_a_repository_of_sha_256(generated_copy, produce):
    with_sources(
        generated_copy,
        "UPDATE p_ci_pipelines SET before_sha = 'abc' WHERE ref = '1'",
        "UPDATE p_ci_pipelines SET before_sha = '' WHERE ref = '2'",
        "DELETE FROM project_repositories",
        "INSERT INTO project_repositories (id, project_id, disk_path, object_format)"
        " VALUES (1, 1, 'a', 1), (2, 2, 'b', 0)",
    )
    shas = {pipeline["ref"]: pipeline["before_sha"] for pipeline in produce(generated_copy)["ci_pipelines"]}
    assert (shas["NULL"], shas["1"], shas["2"]) == ("0" * 64, "abc", "")
    change(generated_copy, "UPDATE project_repositories SET object_format = 1 - object_format")
    assert produce(generated_copy)["ci_pipelines"][0]["before_sha"] == "0" * 40
    change(generated_copy, "DELETE FROM project_repositories")
    assert produce(generated_copy)["ci_pipelines"][0]["before_sha"] == "0" * 40


def test_codes_of_pipelines_are_names(generated_copy, produce):
    with_sources(
        generated_copy,
        "UPDATE p_ci_pipelines SET config_source = 11, failure_reason = 31 WHERE ref = '1'",
        "UPDATE p_ci_pipelines SET config_source = 12, failure_reason = 24 WHERE ref = '2'",
        "UPDATE p_ci_pipelines SET failure_reason = 0, source_sha = '\\x00ff' WHERE ref = '6'",
    )
    found = {pipeline["ref"]: pipeline for pipeline in produce(generated_copy)["ci_pipelines"]}
    names = {ref: (found[ref]["config_source"], found[ref]["failure_reason"]) for ref in ("1", "2", "6")}
    assert names == {
        "1": ("security_scan_profiles_source", "gitaly_unavailable"),
        "2": (None, None),
        "6": ("unknown_source", "unknown_failure"),
    }
    assert found["6"]["source_sha"] == "00ff"
    assert {pipeline["lock_version"] for pipeline in found.values()} == {0}


STAGES = (
    "INSERT INTO p_ci_stages (id, partition_id, pipeline_id, project_id, name, status, position, lock_version) VALUES"
    " (1, 100, 90001, 1, 'third', NULL, NULL, NULL), (2, 100, 90001, 1, 'second', 77, 2, 1),"
    " (3, 100, 90001, 1, 'first', 12, 1, 0), (4, 101, 90001, 1, 'of another partition', 3, 0, 0)"
)
JOBS = (
    'INSERT INTO p_ci_builds (id, partition_id, stage_id, project_id, commit_id, name, type, "when", failure_reason,'
    " artifacts_expire_at, scheduling_type, lock_version, coverage) VALUES"
    " (1, 100, 3, 1, 90001, 'a', 'Ci::Build', 'delayed', 33, '2024-01-01', 1, NULL, 98),"
    " (2, 100, 3, 1, 90001, 'b', 'Ci::Build', NULL, NULL, NULL, 0, 1, 'NaN'),"
    " (3, 100, 3, 1, 90001, 'c', 'Ci::Bridge', 'manual', 1017, '2024-01-01', NULL, 1, NULL),"
    " (4, 100, 3, 1, 90001, 'd', 'GenericCommitStatus', 'always', 5000, '2024-01-01', 7, 1, NULL),"
    " (5, 100, NULL, 1, 90001, 'e', 'Ci::Build', 'manual', 1, NULL, 0, 1, NULL)"
)


def test_stages_and_jobs_are_what_their_models_return(generated_copy, produce):
    with_sources(generated_copy, "DELETE FROM p_ci_stages", "DELETE FROM p_ci_builds", STAGES, JOBS)
    (pipeline,) = (one for one in produce(generated_copy)["ci_pipelines"] if one["ref"] == "1")
    stages = [(stage["name"], stage["status"], stage["lock_version"]) for stage in pipeline["stages"]]
    assert stages == [("first", "canceling", 0), ("second", "created", 1), ("third", "created", 0)]
    first = pipeline["stages"][0]
    jobs = [*first["builds"], *first["bridges"], *first["generic_commit_statuses"]]
    assert [
        (
            job["name"],
            job.get("when", "no key"),
            job["failure_reason"],
            job["artifacts_expire_at"],
            job["scheduling_type"],
        )
        for job in jobs
    ] == [
        ("a", "delayed", "runner_interrupted", "2024-01-01T00:00:00.000Z", "dag"),
        ("b", None, "unknown_failure", None, "stage"),
        ("c", "no key", "downstream_project_trigger_resolved_to_empty", None, None),
        ("d", "no key", None, "2024-01-01T00:00:00.000Z", None),
    ]
    assert [(job["lock_version"], job["coverage"]) for job in jobs] == [(0, 98.0), (1, None), (1, None), (1, None)]
    assert [list(job)[-1] for job in jobs] == ["when", "when", "user_id", "user_id"]


SETTING = (
    "DELETE FROM project_error_tracking_settings",
    "INSERT INTO project_error_tracking_settings (project_id, api_url) VALUES (1, {})",
)


@pytest.mark.parametrize(
    ("url", "organization", "project"),
    [
        ("'https://sentry.example.com/api/0/projects/acme-corp/web_front-end/'", "Acme Corp", "Web Front End"),
        ("'https://sentry.example.com/api/0/projects//csp//my_ee_id//'", "CSP", "My EE"),
        ("'https://sentry.example.com/api/0/projects/acme'", None, None),
        ("'https://sentry.example.com/x/api/0/projects/acme/app'", None, None),
        ("NULL", None, None),
    ],
)
def test_names_of_error_tracking_are_made_from_the_address(generated_copy, produce, url, organization, project):
    change(generated_copy, SETTING[0], SETTING[1].format(url))
    (found,) = produce(generated_copy)["error_tracking_setting"]
    assert (found["organization_name"], found["project_name"]) == (organization, project)
    change(generated_copy, "UPDATE project_error_tracking_settings SET project_name = '', organization_name = 'Own'")
    (found,) = produce(generated_copy)["error_tracking_setting"]
    assert (found["organization_name"], found["project_name"]) == ("Own", "")


def test_access_levels_of_deploy_keys_are_not_exported_for_pushes_and_are_for_tags(generated_copy, produce):
    change(
        generated_copy,
        "DELETE FROM protected_branch_push_access_levels",
        "DELETE FROM protected_tag_create_access_levels",
        "INSERT INTO protected_branch_push_access_levels"
        " (id, protected_branch_id, access_level, created_at, updated_at, deploy_key_id)"
        " SELECT n, (SELECT min(id) FROM protected_branches WHERE project_id = 1), 30 + n, now(), now(), nullif(n, 1)"
        " FROM generate_series(1, 2) n",
        "INSERT INTO protected_tag_create_access_levels"
        " (id, protected_tag_id, access_level, created_at, updated_at, deploy_key_id)"
        " SELECT n, (SELECT min(id) FROM protected_tags WHERE project_id = 1), 30 + n, now(), now(), nullif(n, 1)"
        " FROM generate_series(1, 2) n",
    )
    found = produce(generated_copy)
    assert [level["access_level"] for level in found["protected_branches"][0]["push_access_levels"]] == [31]
    assert [level["access_level"] for level in found["protected_tags"][0]["create_access_levels"]] == [31, 32]


def test_names_that_are_null_have_a_default_and_empty_ones_stay(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE snippets SET file_name = NULL",
        "UPDATE releases SET name = CASE WHEN id = (SELECT min(id) FROM releases WHERE project_id = 1) THEN '' END",
    )
    found = produce(generated_copy)
    assert {snippet["file_name"] for snippet in found["snippets"]} == {""}
    assert [release["name"] for release in found["releases"]] == ["", *(one["tag"] for one in found["releases"][1:])]


def test_the_second_reader_knows_what_the_paid_code_changes(generated_copy):
    change(
        generated_copy,
        "UPDATE projects SET approvals_before_merge = 3, reset_approvals_on_push = true,"
        " require_password_to_approve = NULL",
        "UPDATE issues SET weight = 4, health_status = 2, work_item_type_id = 1 + id % 2",
        "UPDATE protected_branches SET code_owner_approval_required = true",
        "UPDATE project_ci_cd_settings SET restrict_pipeline_cancellation_role = 1",
    )
    with psycopg.connect(generated_copy) as conn:
        ce, unlicensed, licensed = (
            reader.read_project(conn, 1, edition=edition) for edition in ("ce", "ee-unlicensed", "ee")
        )

    def facts(found: Records) -> tuple[Any, ...]:
        issues = {(one["work_item_type"]["base_type"], one["weight"], one["health_status"]) for one in found["issues"]}
        return (
            root(found)["approvals_before_merge"],
            root(found)["reset_approvals_on_push"],
            root(found)["require_password_to_approve"],
            sorted(issues, key=str),
            {branch["code_owner_approval_required"] for branch in found["protected_branches"]},
            found["ci_cd_settings"][0]["restrict_pipeline_cancellation_role"],
            "requirements_access_level" in found["project_feature"][0],
        )

    assert facts(ce) == (3, True, None, [("incident", 4, 2), ("issue", 4, 2)], {True}, 1, False)
    assert facts(unlicensed) == (
        0, False, False, [("incident", None, "needs_attention"), ("issue", None, "needs_attention")], {False},
        "maintainer", True,
    )  # fmt: skip
    assert facts(licensed) == (
        3, True, False, [("incident", None, "needs_attention"), ("issue", 4, "needs_attention")], {True},
        "maintainer", True,
    )  # fmt: skip


def test_a_milestone_that_is_not_nested_in_an_issue_or_merge_request_has_no_events(generated_copy, produce):
    found = produce(generated_copy)
    with_events = [item for item in walk([found["issues"], found["merge_requests"]]) if "milestone" in item]
    assert {"events" in item["milestone"] for item in with_events if "iid" in item} == {True}
    assert {"events" in item["milestone"] for item in with_events if "iid" not in item} <= {False}
    assert {"events" in one["milestone"] for release in found["releases"] for one in release["milestone_releases"]} == {
        False
    }
