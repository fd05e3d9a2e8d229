"""A second reader: what an export of a project has to hold, read from the database in plain Python.

It shares nothing with the package. Each table is read once, whole, and put together here row by row, after GitLab's
lib/gitlab/import_export/project/import_export.yml and its models. Slow and simple on purpose: it is the oracle that the
engine is held against.

Keys come in GitLab's order: columns as in the table, then what a model's method returns, then nested records (a label's
textColor is last: its model adds it to the finished record). What needs the Git repository is left out: the project's
default_branch, a merge request's source_branch_sha and target_branch_sha.
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from datetime import date, datetime, timezone
from typing import Any

import yaml
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

Row = dict[str, Any]
Record = dict[str, Any]


def read_project(conn: Connection, project_id: int, inherited_members: bool = True) -> dict[str, list[Record]]:
    """Return the records of every relation in export order, and of `project`; a one-to-one relation has none or one.

    inherited_members: whether project_members holds, after the direct ones, the members of the project's group and of
    the groups above it, as it does when the exporting user may administer the group.
    """
    db = Database(conn)
    (project,) = db.where("projects", id=project_id)
    own = {"project_id": project_id}
    return {
        "project": [project_record(db, project)],
        "labels": [top_label(db, row) for row in db.where("labels", type="ProjectLabel", **own)],
        "milestones": [milestone_with_events(db, row) for row in db.where("milestones", **own)],
        "issues": [issue(db, row) for row in sorted(db.where("issues", **own), key=by_relative_position)],
        "snippets": [snippet(db, row) for row in db.where("snippets", type="ProjectSnippet", **own)],
        "releases": [release(db, row) for row in db.where("releases", **own)],
        "project_members": project_members(db, project, inherited_members),
        "merge_requests": [
            merge_request(db, row)
            for row in sorted(db.where("merge_requests", target_project_id=project_id), key=by_created_at)
        ],
        "external_pull_requests": [external_pull_request(row) for row in db.where("external_pull_requests", **own)],
        "commit_notes": [commit_note(db, row) for row in db.where("notes", noteable_type="Commit", **own)],
        "ci_pipelines": [
            pipeline(db, row) for row in db.where("p_ci_pipelines", **own) if row["source"] not in DANGLING_SOURCES
        ],
        "auto_devops": [auto_devops(row) for row in db.where("project_auto_devops", **own)],
        "pipeline_schedules": [pipeline_schedule(row) for row in db.where("ci_pipeline_schedules", **own)],
        "container_expiration_policy": [
            container_expiration_policy(row) for row in db.where("container_expiration_policies", **own)
        ],
        "protected_branches": [protected_branch(db, row) for row in db.where("protected_branches", **own)],
        "protected_tags": [protected_tag(db, row) for row in db.where("protected_tags", **own)],
        "project_feature": [project_feature(row) for row in db.where("project_features", **own)],
        "custom_attributes": [
            pick(row, "created_at updated_at project_id key value")
            for row in db.where("project_custom_attributes", **own)
        ],
        "project_badges": [badge(row) for row in db.where("badges", type="ProjectBadge", **own)],
        "ci_cd_settings": [ci_cd_setting(row) for row in db.where("project_ci_cd_settings", **own)],
        "error_tracking_setting": [
            pick(row, "project_id api_url project_name organization_name")
            for row in db.where("project_error_tracking_settings", **own)
        ],
        "boards": [board(db, row) for row in db.where("boards", **own)],
        "service_desk_setting": [
            pick(row, "project_id issue_template_key project_key") for row in db.where("service_desk_settings", **own)
        ],
        "user_contributions": [],
    }


class Database:
    """All rows of each table that is asked for, in the order of their ids."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._tables: dict[str, list[Row]] = {}
        self._indexes: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], list[Row]]] = {}

    def where(self, table: str, **equal: Any) -> list[Row]:
        columns = tuple(equal)
        if (table, columns) not in self._indexes:
            index = self._indexes[table, columns] = defaultdict(list)
            for row in self._rows(table):
                index[tuple(row[column] for column in columns)].append(row)
        return self._indexes[table, columns].get(tuple(equal.values()), [])

    def one(self, table: str, **equal: Any) -> Row | None:
        rows = self.where(table, **equal)
        assert len(rows) <= 1, f"{len(rows)} rows of {table} where {equal}"
        return rows[0] if rows else None

    def _rows(self, table: str) -> list[Row]:
        if table not in self._tables:
            with self._conn.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(SQL("SELECT * FROM {}").format(Identifier(table))).fetchall()
            self._tables[table] = sorted(rows, key=lambda row: row["id"]) if rows and "id" in rows[0] else rows
        return self._tables[table]


# Values


def pick(row: Row, columns: str) -> Record:
    return {column: NIL.get(column) if row[column] is None else value(row[column]) for column in columns.split()}


NIL = {"lock_version": 0, "time_estimate": 0}
"""What Rails (of the column by which it locks) and the concern TimeTrackable return for NULL."""


def value(raw: Any) -> Any:
    if isinstance(raw, datetime):
        moment = raw.astimezone(timezone.utc) if raw.tzinfo else raw
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, bytes):
        return raw.hex()
    return raw


def by_relative_position(row: Row) -> tuple[Any, ...]:
    return row["relative_position"] is None, row["relative_position"] or 0, row["id"]


def by_created_at(row: Row) -> tuple[Any, ...]:
    return row["created_at"] is None, row["created_at"] or datetime.min, row["id"]


class RubyLoader(yaml.SafeLoader):
    """YAML as Ruby writes hashes: a class name as the tag, symbols with a colon in front."""


RubyLoader.add_multi_constructor("!ruby/hash", lambda loader, _, node: loader.construct_mapping(node, deep=True))


def ruby_hash(text: str | None) -> Record | None:
    parsed = yaml.load(text, RubyLoader) if text is not None else None
    return parsed and {str(key).removeprefix(":"): content for key, content in parsed.items()}


def json_object(text: str | None) -> Record | None:
    return None if text is None else json.loads(text)


# Enums: from GitLab's models

DANGLING_SOURCES = {9, 12, 13, 14, 15, 16, 17, 18, 19}


def names(first: int, text: str) -> dict[int | None, str]:
    return dict(enumerate(text.split(), first))


EVENT_ACTION = names(
    1, "created updated closed reopened pushed commented merged joined left destroyed expired approved transferred"
)
PUSH_ACTION = names(0, "created removed pushed")
REF_TYPE = names(0, "branch tag")
ISSUE_STATE = names(1, "opened closed")
WORK_ITEM_TYPE = names(1, "issue incident test_case requirement task objective key_result epic ticket")
MERGE_REQUEST_STATE = names(1, "opened closed merged locked")
RESOURCE_STATE = names(1, "opened closed merged locked reopened")
ADD_OR_REMOVE = names(1, "add remove")
ZOOM_STATUS = names(1, "added removed")
DESIGN_EVENT = names(0, "creation modification deletion")
LINK_TYPE = names(0, "other runbook package image")
REVIEWER_STATE = names(0, "unreviewed reviewed requested_changes approved unapproved review_started")
PULL_REQUEST_STATUS = names(1, "open closed")
SQUASH_OPTION = names(0, "never always default_on default_off")
DEPLOY_STRATEGY = names(0, "continuous manual timed_incremental")
LIST_TYPE = names(0, "backlog label closed assignee milestone iteration status")
VARIABLES_ROLE = names(1, "no_one_allowed developer maintainer owner")
PROCESS_MODE = names(0, "unordered oldest_first newest_first newest_ready_first")
IMPORT_SOURCE = names(
    0,
    "none gitlab_migration gitlab_project gitlab_group github bitbucket bitbucket_server fogbugz gitea git manifest"
    " custom_template",
)
SCHEDULING_TYPE = names(0, "stage dag")
STAGE_STATUS = names(
    0,
    "created pending running success failed canceled skipped manual scheduled preparing waiting_for_resource"
    " waiting_for_callback canceling",
)
SOURCE = {
    None: "unknown",
    **names(1, "push web trigger schedule api external pipeline chat"),
    10: "merge_request_event",
    11: "external_pull_request_event",
}
CONFIG_SOURCE = {
    None: "unknown_source",
    **names(
        1,
        "repository_source auto_devops_source webide_source remote_source external_project_source bridge_source"
        " parameter_source compliance_source security_policies_default_source pipeline_execution_policy_forced"
        " security_scan_profiles_source",
    ),
}
PIPELINE_FAILURE = {
    None: None,
    **names(0, "unknown_failure config_error external_validation_failure user_not_verified"),
    **names(21, "size_limit_exceeded job_activity_limit_exceeded deployments_limit_exceeded"),
    **names(
        25,
        "project_deleted filtered_by_rules filtered_by_workflow_rules composite_identity_forbidden"
        " pipeline_ref_creation_failure filtered_by_no_pipeline gitaly_unavailable",
    ),
}
JOB_FAILURE = {
    None: "unknown_failure",
    **names(
        1,
        "script_failure api_failure stuck_or_timeout_failure runner_system_failure missing_dependency_failure"
        " runner_unsupported stale_schedule job_execution_timeout archived_failure unmet_prerequisites"
        " scheduler_failure data_integrity_failure forward_deployment_failure user_blocked project_deleted"
        " ci_quota_exceeded pipeline_loop_detected no_matching_runner trace_size_exceeded builds_disabled"
        " environment_creation_failure deployment_rejected failed_outdated_deployment_job"
        " job_execution_server_timeout stuck_pending_with_matching_runners stuck_pending_no_matching_runners"
        " no_updates_running no_updates_canceling server_timeout_running server_timeout_canceling",
    ),
    **names(
        1000,
        "protected_environment_failure insufficient_bridge_permissions downstream_bridge_project_not_found"
        " invalid_bridge_trigger upstream_bridge_project_not_found insufficient_upstream_permissions"
        " bridge_pipeline_is_child_pipeline downstream_pipeline_creation_failed secrets_provider_not_found"
        " reached_max_descendant_pipelines_depth ip_restriction_failure reached_max_pipeline_hierarchy_size"
        " reached_downstream_pipeline_trigger_rate_limit duo_workflow_not_allowed job_router_failure"
        " job_token_expired",
    ),
}


def enum(table: dict[Any, Any], code: int | None) -> str | None:
    return None if code is None and None not in table else table[code]


# Project


def project_record(db: Database, row: Row) -> Record:
    settings = db.one("project_settings", project_id=row["id"]) or {}
    record = pick(
        row,
        """
        name description visibility_level archived merge_requests_template merge_requests_rebase_enabled
        approvals_before_merge reset_approvals_on_push merge_requests_ff_only_enabled issues_template
        shared_runners_enabled build_allow_git_fetch build_timeout pending_delete public_builds
        last_repository_check_failed only_allow_merge_if_pipeline_succeeds request_access_enabled has_external_wiki
        only_allow_merge_if_all_discussions_are_resolved printing_merge_request_link_enabled
        auto_cancel_pending_pipelines service_desk_enabled disable_overriding_approvers_per_merge_request
        resolve_outdated_diff_discussions jobs_cache_index external_authorization_classification_label
        pages_https_only merge_requests_author_approval merge_requests_disable_committers_approval
        require_password_to_approve max_artifacts_size remove_source_branch_after_merge
        autoclose_referenced_issues suggestion_commit_message
        """,
    )
    record["autoclose_referenced_issues"] = row["autoclose_referenced_issues"] is not False
    record["auto_cancel_pending_pipelines"] = ("disabled", "enabled")[row["auto_cancel_pending_pipelines"]]
    record["allow_merge_on_skipped_pipeline"] = settings.get("allow_merge_on_skipped_pipeline")
    record["squash_option"] = enum(SQUASH_OPTION, settings.get("squash_option"))
    record["merge_commit_template"] = settings.get("merge_commit_template")
    record["squash_commit_template"] = settings.get("squash_commit_template")
    return record


def auto_devops(row: Row) -> Record:
    record = pick(row, "project_id created_at updated_at enabled deploy_strategy")
    return record | {"deploy_strategy": enum(DEPLOY_STRATEGY, row["deploy_strategy"])}


def pipeline_schedule(row: Row) -> Record:
    return pick(row, "description ref cron cron_timezone next_run_at project_id owner_id active created_at updated_at")


def container_expiration_policy(row: Row) -> Record:
    return pick(
        row,
        "project_id created_at updated_at next_run_at name_regex cadence older_than keep_n enabled name_regex_keep",
    )


def project_feature(row: Row) -> Record:
    return pick(
        row,
        """
        project_id merge_requests_access_level issues_access_level wiki_access_level snippets_access_level
        builds_access_level created_at updated_at repository_access_level pages_access_level forking_access_level
        metrics_dashboard_access_level operations_access_level analytics_access_level
        security_and_compliance_access_level container_registry_access_level package_registry_access_level
        monitor_access_level infrastructure_access_level feature_flags_access_level environments_access_level
        releases_access_level model_experiments_access_level model_registry_access_level
        """,
    )


def ci_cd_setting(row: Row) -> Record:
    record = pick(
        row,
        """
        group_runners_enabled merge_pipelines_enabled default_git_depth forward_deployment_enabled
        merge_trains_enabled auto_rollback_enabled keep_latest_artifact job_token_scope_enabled
        runner_token_expiration_interval separated_caches allow_fork_pipelines_to_run_in_parent_project
        inbound_job_token_scope_enabled forward_deployment_rollback_allowed merge_trains_skip_train_allowed
        restrict_pipeline_cancellation_role pipeline_variables_minimum_override_role
        push_repository_for_job_token_allowed id_token_sub_claim_components delete_pipelines_in_seconds
        allow_composite_identities_to_run_pipelines display_pipeline_variables resource_group_default_process_mode
        """,
    )
    role = enum(VARIABLES_ROLE, row["pipeline_variables_minimum_override_role"])
    mode = enum(PROCESS_MODE, row["resource_group_default_process_mode"])
    return record | {"pipeline_variables_minimum_override_role": role, "resource_group_default_process_mode": mode}


def protected_branch(db: Database, row: Row) -> Record:
    record = pick(row, "project_id name created_at updated_at code_owner_approval_required allow_force_push")
    level = "access_level created_at updated_at user_id group_id"
    merge = db.where("protected_branch_merge_access_levels", protected_branch_id=row["id"])
    push = db.where("protected_branch_push_access_levels", protected_branch_id=row["id"], deploy_key_id=None)
    record["merge_access_levels"] = [pick(child, level) for child in merge]
    record["push_access_levels"] = [pick(child, level) for child in push]
    return record


def protected_tag(db: Database, row: Row) -> Record:
    record = pick(row, "project_id name created_at updated_at")
    record["create_access_levels"] = [
        pick(child, "access_level user_id group_id created_at updated_at")
        for child in db.where("protected_tag_create_access_levels", protected_tag_id=row["id"])
    ]
    return record


def badge(row: Row) -> Record:
    return pick(row, "link_url image_url project_id name created_at updated_at type")


def project_members(db: Database, project: Row, inherited_members: bool) -> list[Record]:
    """Direct members; then of each other user in the project's group and above it the one row that says most.

    That is the row with the highest access level; of equal ones the nearest group's, then the one that expires last.
    """
    direct = db.where(
        "members", source_id=project["id"], source_type="Project", type="ProjectMember", requested_at=None
    )
    best: dict[int, Row] = {}
    if inherited_members:
        users = {row["user_id"] for row in direct}
        for group in groups_above(db, project["namespace_id"]):
            members = db.where(
                "members", source_id=group, source_type="Namespace", type="GroupMember", requested_at=None
            )
            for row in members:
                user = row["user_id"]
                if user is None or user in users:
                    continue
                if user not in best or row["access_level"] > best[user]["access_level"]:
                    best[user] = row | {"source_type": "Project"}
    rows = [*direct, *sorted(best.values(), key=lambda row: row["id"])]
    return [member(db, row) for row in rows]


def groups_above(db: Database, namespace_id: int | None) -> list[int]:
    found = []
    while namespace := db.one("namespaces", id=namespace_id):
        if namespace["type"] == "Group":
            found.append(namespace["id"])
        namespace_id = namespace["parent_id"]
    return found


def member(db: Database, row: Row) -> Record:
    record = pick(
        row,
        """
        access_level source_type user_id notification_level created_at updated_at created_by_id invite_email
        invite_accepted_at requested_at expires_at ldap override
        """,
    )
    if user := db.one("users", id=row["user_id"]):
        record["user"] = pick(user, "id username public_email")
    return record


# Labels, milestones, boards


def top_label(db: Database, row: Row) -> Record:
    return label(db, row) | {"textColor": text_color(row["color"])}


def label(db: Database, row: Row) -> Record:
    record = pick(row, "title color project_id created_at updated_at template description group_id type")
    record["priorities"] = [
        pick(priority, "project_id priority created_at updated_at")
        for priority in db.where("label_priorities", label_id=row["id"])
    ]
    return record


def text_color(color: str) -> str:
    """lib/gitlab/color.rb: light text unless dark text has much more contrast on this colour."""
    if not re.fullmatch(r"#([0-9A-Fa-f]{3}){1,2}", color):
        return "#FFFFFF"
    light, dark = contrast(color, "#FFFFFF"), contrast(color, "#1F1E24")
    return "#FFFFFF" if light >= 2.4 or light > dark else "#1F1E24"


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    channels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def milestone(row: Row) -> Record:
    return pick(row, "title project_id description due_date created_at updated_at state iid start_date group_id")


def milestone_with_events(db: Database, row: Row) -> Record:
    return milestone(row) | {"events": events(db, "Milestone", row["id"])}


def board(db: Database, row: Row) -> Record:
    record = pick(row, "project_id created_at updated_at name group_id weight hide_backlog_list hide_closed_list")
    record["lists"] = []
    rows = db.where("lists", board_id=row["id"])
    for child in sorted(rows, key=lambda c: (c["list_type"], c["position"] is None, c["position"] or 0, c["id"])):
        nested = pick(
            child,
            "list_type position created_at updated_at user_id max_issue_count max_issue_weight limit_metric",
        )
        nested["list_type"] = enum(LIST_TYPE, child["list_type"])
        if found := db.one("labels", id=child["label_id"]):
            nested["label"] = label(db, found)
        record["lists"].append(nested)
    return record


def release(db: Database, row: Row) -> Record:
    record = pick(row, "tag description project_id created_at updated_at author_id name sha released_at")
    record["name"] = row["tag"] if row["name"] is None else row["name"]
    record["links"] = [
        pick(link, "url name created_at updated_at filepath link_type")
        | {"link_type": enum(LINK_TYPE, link["link_type"])}
        for link in db.where("release_links", release_id=row["id"])
    ]
    record["milestone_releases"] = []
    for child in sorted(db.where("milestone_releases", release_id=row["id"]), key=lambda c: c["milestone_id"]):
        nested = pick(child, "project_id")
        if found := db.one("milestones", id=child["milestone_id"]):
            nested["milestone"] = milestone(found)
        record["milestone_releases"].append(nested)
    return record


def snippet(db: Database, row: Row) -> Record:
    record = pick(
        row, "title content author_id project_id created_at updated_at file_name visibility_level description"
    )
    record["file_name"] = row["file_name"] or ""
    record["award_emoji"] = awards(db, "Snippet", row["id"])
    record["notes"] = notes(db, "Snippet", row["id"], "author award_emoji")
    return record


# What issues, merge requests and notes share


def events(db: Database, target_type: str, target_id: int) -> list[Record]:
    found = []
    for row in db.where("events", target_type=target_type, target_id=target_id):
        record = pick(row, "project_id author_id created_at updated_at action target_type fingerprint")
        record["action"] = enum(EVENT_ACTION, row["action"])
        if payload := db.one("push_event_payloads", event_id=row["id"]):
            nested = pick(payload, "commit_count action ref_type commit_from commit_to ref commit_title ref_count")
            nested["action"] = enum(PUSH_ACTION, payload["action"])
            nested["ref_type"] = enum(REF_TYPE, payload["ref_type"])
            record["push_event_payload"] = nested
        found.append(record)
    return found


def awards(db: Database, awardable_type: str, awardable_id: int) -> list[Record]:
    return [
        pick(row, "name user_id awardable_type created_at updated_at")
        for row in db.where("award_emoji", awardable_type=awardable_type, awardable_id=awardable_id)
    ]


def notes(db: Database, noteable_type: str, noteable_id: int, nested: str) -> list[Record]:
    return [
        note(
            db,
            row,
            """
            note noteable_type author_id created_at updated_at project_id line_code commit_id system st_diff
            updated_by_id type position original_position resolved_at resolved_by_id discussion_id change_position
            resolved_by_push confidential last_edited_at
            """,
            nested,
        )
        for row in db.where("notes", noteable_type=noteable_type, noteable_id=noteable_id)
    ]


def commit_note(db: Database, row: Row) -> Record:
    return note(
        db,
        row,
        """
        note noteable_type author_id created_at updated_at project_id line_code commit_id system st_diff updated_by_id
        position original_position resolved_at resolved_by_id discussion_id change_position resolved_by_push
        confidential last_edited_at internal id imported_from type
        """,
        "author events",
    )


def note(db: Database, row: Row, columns: str, nested: str) -> Record:
    record = pick(row, columns)
    record["st_diff"] = ruby_hash(row["st_diff"])
    for column in ("position", "original_position", "change_position"):
        record[column] = json_object(row[column])
    if "imported_from" in record:
        record["imported_from"] = enum(IMPORT_SOURCE, row["imported_from"])
    for name in nested.split():
        if name == "author":
            if author := db.one("users", id=row["author_id"]):
                record["author"] = pick(author, "name")
        elif name == "award_emoji":
            record["award_emoji"] = awards(db, "Note", row["id"])
        elif name == "system_note_metadata":
            if metadata := db.one("system_note_metadata", note_id=row["id"]):
                record["system_note_metadata"] = pick(metadata, "commit_count action created_at updated_at")
        elif name == "events":
            record["events"] = events(db, "Note", row["id"])
        elif name == "suggestions":
            record["suggestions"] = suggestions(db, row["id"])
        elif name == "note_diff_file":
            if file := db.one("note_diff_files", diff_note_id=row["id"]):
                columns = "new_file renamed_file deleted_file a_mode b_mode new_path old_path"
                record["note_diff_file"] = pick(file, columns) | {"diff_export": file["diff"]}
        else:
            raise AssertionError(name)
    return record


def suggestions(db: Database, note_id: int) -> list[Record]:
    return [
        pick(row, "relative_order applied commit_id from_content to_content lines_above lines_below outdated")
        for row in sorted(db.where("suggestions", note_id=note_id), key=lambda row: row["relative_order"])
    ]


def label_links(db: Database, target_type: str, target_id: int) -> list[Record]:
    found = []
    for row in db.where("label_links", target_type=target_type, target_id=target_id):
        record = pick(row, "target_type created_at updated_at")
        if linked := db.one("labels", id=row["label_id"]):
            record["label"] = label(db, linked)
        found.append(record)
    return found


def timelogs(db: Database, **owner: int) -> list[Record]:
    return [
        pick(row, "time_spent user_id created_at updated_at spent_at project_id summary")
        for row in db.where("timelogs", **owner)
    ]


def resource_label_events(db: Database, **owner: int) -> list[Record]:
    found = []
    for row in db.where("resource_label_events", **owner):
        record = pick(row, "action user_id created_at") | {"action": enum(ADD_OR_REMOVE, row["action"])}
        if changed := db.one("labels", id=row["label_id"]):
            record["label"] = label(db, changed)
        found.append(record)
    return found


def resource_milestone_events(db: Database, **owner: int) -> list[Record]:
    found = []
    for row in db.where("resource_milestone_events", **owner):
        record = pick(row, "user_id action state created_at")
        record["action"] = enum(ADD_OR_REMOVE, row["action"])
        record["state"] = enum(MERGE_REQUEST_STATE, row["state"])
        if changed := db.one("milestones", id=row["milestone_id"]):
            record["milestone"] = milestone(changed)
        found.append(record)
    return found


def resource_state_events(db: Database, **owner: int) -> list[Record]:
    return [
        pick(
            row,
            "user_id created_at state source_commit close_after_error_tracking_resolve"
            " close_auto_resolve_prometheus_alert",
        )
        | {"state": enum(RESOURCE_STATE, row["state"])}
        for row in db.where("resource_state_events", **owner)
    ]


# Issues


def issue(db: Database, row: Row) -> Record:
    own = {"issue_id": row["id"]}
    record = pick(
        row,
        """
        title author_id project_id created_at updated_at description iid updated_by_id weight confidential due_date
        lock_version time_estimate relative_position last_edited_at last_edited_by_id discussion_locked closed_at
        closed_by_id health_status
        """,
    )
    record["state"] = enum(ISSUE_STATE, row["state_id"])
    record["exported_work_item_type"] = {"base_type": WORK_ITEM_TYPE.get(row["work_item_type_id"], "issue")}
    record["events"] = events(db, "Issue", row["id"])
    record["timelogs"] = timelogs(db, **own)
    record["notes"] = notes(db, "Issue", row["id"], "author award_emoji system_note_metadata events")
    record["label_links"] = label_links(db, "Issue", row["id"])
    if found := db.one("milestones", id=row["milestone_id"]):
        record["milestone"] = milestone_with_events(db, found)
    record["resource_label_events"] = resource_label_events(db, **own)
    record["resource_milestone_events"] = resource_milestone_events(db, **own)
    record["resource_state_events"] = resource_state_events(db, **own)
    record["designs"] = [
        design(child) | {"notes": notes(db, "DesignManagement::Design", child["id"], "author events")}
        for child in db.where("design_management_designs", **own)
    ]
    record["design_versions"] = [design_version(db, child) for child in db.where("design_management_versions", **own)]
    assignees = sorted(db.where("issue_assignees", **own), key=lambda child: child["user_id"])
    record["issue_assignees"] = [pick(child, "user_id") for child in assignees]
    record["zoom_meetings"] = [
        pick(child, "project_id created_at updated_at issue_status url")
        | {"issue_status": enum(ZOOM_STATUS, child["issue_status"])}
        for child in db.where("zoom_meetings", **own)
    ]
    if sentry := db.one("sentry_issues", **own):
        record["sentry_issue"] = pick(sentry, "sentry_issue_identifier")
    record["award_emoji"] = awards(db, "Issue", row["id"])
    return record


def design(row: Row) -> Record:
    return pick(row, "project_id filename relative_position iid")


def design_version(db: Database, row: Row) -> Record:
    record = pick(row, "sha created_at author_id namespace_id")
    record["actions"] = []
    for child in db.where("design_management_designs_versions", version_id=row["id"]):
        action = {"event": enum(DESIGN_EVENT, child["event"])}
        if changed := db.one("design_management_designs", id=child["design_id"]):
            action["design"] = design(changed)
        record["actions"].append(action)
    return record


# Merge requests


def merge_request_columns(row: Row) -> Record:
    record = pick(
        row,
        """
        target_branch source_branch source_project_id author_id title created_at updated_at merge_status
        target_project_id iid description updated_by_id merge_error merge_params merge_user_id merge_commit_sha
        approvals_before_merge rebase_commit_sha in_progress_merge_commit_sha lock_version time_estimate squash
        last_edited_at last_edited_by_id discussion_locked allow_maintainer_to_push squash_commit_sha merge_ref_sha
        draft
        """,
    )
    return record | {"merge_params": ruby_hash(row["merge_params"]) or {}}


def merge_request(db: Database, row: Row) -> Record:
    own = {"merge_request_id": row["id"]}
    record = merge_request_columns(row)
    diffs = db.where("merge_request_diffs", **own, diff_type=1)
    record["diff_head_sha"] = diffs[-1]["head_commit_sha"] if diffs else None
    record["state"] = enum(MERGE_REQUEST_STATE, row["state_id"])
    record["approvals"] = [pick(child, "user_id created_at updated_at") for child in db.where("approvals", **own)]
    if metrics := db.where("merge_request_metrics", **own):
        record["metrics"] = merge_request_metrics(metrics[-1])
    record["award_emoji"] = awards(db, "MergeRequest", row["id"])
    record["merge_request_assignees"] = [
        pick(child, "user_id created_at") for child in db.where("merge_request_assignees", **own)
    ]
    record["merge_request_reviewers"] = [
        pick(child, "user_id created_at state") | {"state": enum(REVIEWER_STATE, child["state"])}
        for child in db.where("merge_request_reviewers", **own)
    ]
    nested = "author award_emoji system_note_metadata events suggestions note_diff_file"
    record["notes"] = notes(db, "MergeRequest", row["id"], nested)
    record["merge_request_diff"] = merge_request_diff(db, diffs[-1]) if diffs else UNSAVED_DIFF
    record["events"] = events(db, "MergeRequest", row["id"])
    record["timelogs"] = timelogs(db, **own)
    record["label_links"] = label_links(db, "MergeRequest", row["id"])
    if found := db.one("milestones", id=row["milestone_id"]):
        record["milestone"] = milestone_with_events(db, found)
    record["resource_label_events"] = resource_label_events(db, **own)
    record["resource_milestone_events"] = resource_milestone_events(db, **own)
    record["resource_state_events"] = resource_state_events(db, **own)
    return record


UNSAVED_DIFF = {
    "state": "empty",
    "created_at": None,
    "updated_at": None,
    "base_commit_sha": None,
    "real_size": None,
    "head_commit_sha": None,
    "start_commit_sha": None,
    "commits_count": None,
    "files_count": 0,
    "sorted": False,
    "diff_type": "regular",
    "merge_request_diff_commits": [],
    "merge_request_diff_files": [],
}
"""MergeRequestDiff.new, which merge_request.rb#merge_request_diff returns where there is none."""


def merge_request_metrics(row: Row) -> Record:
    return pick(
        row,
        """
        latest_build_started_at latest_build_finished_at first_deployed_to_production_at merged_at created_at
        updated_at merged_by_id latest_closed_by_id latest_closed_at first_comment_at first_commit_at last_commit_at
        diff_size modified_paths_size commits_count first_approved_at first_reassigned_at added_lines removed_lines
        target_project_id
        """,
    )


def merge_request_diff(db: Database, row: Row) -> Record:
    record = pick(
        row,
        """
        state created_at updated_at base_commit_sha real_size head_commit_sha start_commit_sha commits_count
        files_count sorted diff_type
        """,
    )
    record["diff_type"] = "regular"
    commits = db.where("merge_request_diff_commits", merge_request_diff_id=row["id"])
    record["merge_request_diff_commits"] = [
        diff_commit(db, child) for child in sorted(commits, key=lambda child: child["relative_order"])
    ]
    files = db.where("merge_request_diff_files", merge_request_diff_id=row["id"])
    record["merge_request_diff_files"] = [
        diff_file(child) for child in sorted(files, key=lambda child: child["relative_order"])
    ]
    return record


def diff_commit(db: Database, row: Row) -> Record:
    """What a commit does not say in its own columns is in the project's metadata of that commit."""
    metadata = db.one(
        "merge_request_commits_metadata",
        id=row["merge_request_commits_metadata_id"],
        project_id=row["project_id"],
    )
    merged = dict(row)
    if metadata:
        for column in ("authored_date", "committed_date", "sha", "message"):
            if metadata[column] is not None:
                merged[column] = metadata[column]
    record = pick(merged, "authored_date committed_date relative_order sha message trailers")
    record["trailers"] = record["trailers"] or {}
    add_commit_people(db, metadata or row, record)
    if metadata:
        nested = pick(metadata, "authored_date committed_date sha message")
        add_commit_people(db, metadata, nested)
        record["merge_request_commits_metadata"] = nested
    return record


def add_commit_people(db: Database, row: Row, record: Record) -> None:
    for name, column in (("commit_author", "commit_author_id"), ("committer", "committer_id")):
        if person := db.one("merge_request_diff_commit_users", id=row[column]):
            record[name] = pick(person, "name email")


def diff_file(row: Row) -> Record:
    record = pick(
        row,
        """
        relative_order new_file renamed_file deleted_file too_large a_mode b_mode new_path old_path binary
        encoded_file_path
        """,
    )
    diff = row["diff"] or ""
    if row["binary"]:
        diff = base64.b64decode(diff, validate=True).decode("utf-8", errors="replace")
    return record | {"utf8_diff": diff if diff.strip() else ""}


# Pipelines


def external_pull_request(row: Row) -> Record:
    record = pick(
        row,
        """
        created_at updated_at project_id pull_request_iid status source_branch target_branch source_repository
        target_repository source_sha target_sha
        """,
    )
    return record | {"status": enum(PULL_REQUEST_STATUS, row["status"])}


def pipeline(db: Database, row: Row) -> Record:
    record = pick(
        row,
        """
        ref sha before_sha created_at updated_at tag yaml_errors committed_at project_id status started_at finished_at
        duration user_id lock_version source config_source protected failure_reason iid source_sha target_sha
        """,
    )
    record["source"] = enum(SOURCE, row["source"])
    record["config_source"] = enum(CONFIG_SOURCE, row["config_source"])
    record["failure_reason"] = enum(PIPELINE_FAILURE, row["failure_reason"])
    own = {"pipeline_id": row["id"], "partition_id": row["partition_id"]}
    stages = sorted(db.where("p_ci_stages", **own), key=lambda child: child["position"])
    record["stages"] = [stage(db, child) for child in stages]
    if external := db.one("external_pull_requests", id=row["external_pull_request_id"]):
        record["external_pull_request"] = external_pull_request(external)
    if request := db.one("merge_requests", id=row["merge_request_id"]):
        record["merge_request"] = merge_request_columns(request)
    if metadata := db.one("ci_pipeline_metadata", **own):
        record["pipeline_metadata"] = pick(metadata, "project_id name")
    return record


def stage(db: Database, row: Row) -> Record:
    record = pick(row, "project_id created_at updated_at name status lock_version position")
    record["status"] = enum(STAGE_STATUS, row["status"])
    own = {"stage_id": row["id"], "partition_id": row["partition_id"]}
    for name, kind in (
        ("builds", "Ci::Build"),
        ("generic_commit_statuses", "GenericCommitStatus"),
        ("bridges", "Ci::Bridge"),
    ):
        record[name] = [job(child) for child in db.where("p_ci_builds", **own, type=kind)]
    return record


def job(row: Row) -> Record:
    record = pick(
        row,
        """
        status finished_at created_at updated_at started_at coverage name allow_failure stage_idx tag ref type
        target_url description erased_at artifacts_expire_at environment queued_at lock_version coverage_regex retried
        protected failure_reason scheduled_at scheduling_type commit_id project_id user_id
        """,
    )
    record["failure_reason"] = enum(JOB_FAILURE, row["failure_reason"])
    record["scheduling_type"] = enum(SCHEDULING_TYPE, row["scheduling_type"])
    return record
