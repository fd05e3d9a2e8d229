"""The project itself and its settings (project.rb, project_setting.rb, project_feature.rb and others)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tests.reader.database import Database, Record, Row
from tests.reader.enums import (
    AUTO_CANCEL,
    CANCELLATION_ROLE,
    DEPLOY_STRATEGY,
    PROCESS_MODE,
    SQUASH_OPTION,
    VARIABLES_ROLE,
)
from tests.reader.ruby import titleize
from tests.reader.shapes import ABSENT, Getter, Shape, many, named, null_is, record
from tests.reader.values import stored

DELETION_SCHEDULED = 2
"""namespaces.state"""

UNLICENSED = "ee-unlicensed"


def archived(db: Database, row: Row, key: str) -> bool:
    """A project whose deletion is scheduled does not count as archived (concerns/adjourned_deletable.rb)."""
    own = db.one("namespaces", id=row.get("project_namespace_id"))
    scheduled = bool(own) and own.get("state") == DELETION_SCHEDULED
    return row[key] and row.get("marked_for_deletion_at") is None and not scheduled


def classification_label(db: Database, row: Row, key: str) -> str | None:
    """NULL is the instance's default, of its newest settings; '' stays."""
    if row[key] is not None or not db.has("application_settings"):
        return row[key]
    settings = db.where("application_settings")
    return settings[-1].get("external_authorization_service_default_label") if settings else None


def setting(db: Database, row: Row, key: str) -> Any:
    """A value of project_settings; null without a row."""
    return stored((db.one("project_settings", project_id=row["id"]) or {}).get(key))


def squash_option(db: Database, row: Row, key: str) -> str | None:
    """Without a row of project_settings an unsaved one is built, with the column's default; NULL in a row is null."""
    found = db.one("project_settings", project_id=row["id"])
    return SQUASH_OPTION.get(found[key]) if found else "default_off"


def licensed(without: Any) -> Getter:
    """Return a getter that gives a value where the EE code runs without a licence."""
    return lambda db, row, key: without if db.edition == UNLICENSED else row[key]


def resolved(db: Database, row: Row, key: str) -> bool | None:
    """ee/app/models/ee/project.rb: resolved from several settings, never null."""
    return row[key] if db.edition == "ce" else bool(row[key])


PROJECT = Shape(
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
    {
        "archived": archived,
        "approvals_before_merge": licensed(0),
        "reset_approvals_on_push": licensed(False),
        "disable_overriding_approvers_per_merge_request": resolved,
        "merge_requests_author_approval": resolved,
        "merge_requests_disable_committers_approval": resolved,
        "require_password_to_approve": resolved,
        "external_authorization_classification_label": classification_label,
        "pages_https_only": null_is(False),  # whether the instance serves Pages by HTTPS is not in the database
        "autoclose_referenced_issues": null_is(True),
        "auto_cancel_pending_pipelines": named(AUTO_CANCEL),
        "allow_merge_on_skipped_pipeline": setting,
        "squash_option": squash_option,
        "merge_commit_template": setting,
        "squash_commit_template": setting,
    },
)


def requirements(db: Database, row: Row, key: str) -> Any:
    """A key of the EE code alone."""
    return ABSENT if db.edition == "ce" else row[key]


# after_initialize writes an attribute's default into every NULL of a stored row
PROJECT_FEATURE = Shape(
    """
    project_id merge_requests_access_level issues_access_level wiki_access_level snippets_access_level
    builds_access_level created_at updated_at repository_access_level pages_access_level forking_access_level
    metrics_dashboard_access_level requirements_access_level operations_access_level analytics_access_level
    security_and_compliance_access_level container_registry_access_level package_registry_access_level
    monitor_access_level infrastructure_access_level feature_flags_access_level environments_access_level
    releases_access_level model_experiments_access_level model_registry_access_level
    """,
    {
        **{f"{name}_access_level": null_is(20) for name in ("merge_requests", "issues", "wiki", "builds", "forking")},
        "metrics_dashboard_access_level": null_is(10),
        "requirements_access_level": requirements,
    },
)

CI_CD_SETTINGS = Shape(
    """
    group_runners_enabled merge_pipelines_enabled default_git_depth forward_deployment_enabled merge_trains_enabled
    auto_rollback_enabled keep_latest_artifact job_token_scope_enabled runner_token_expiration_interval
    separated_caches allow_fork_pipelines_to_run_in_parent_project inbound_job_token_scope_enabled
    forward_deployment_rollback_allowed merge_trains_skip_train_allowed restrict_pipeline_cancellation_role
    pipeline_variables_minimum_override_role push_repository_for_job_token_allowed id_token_sub_claim_components
    delete_pipelines_in_seconds allow_composite_identities_to_run_pipelines display_pipeline_variables
    resource_group_default_process_mode
    """,
    {
        "restrict_pipeline_cancellation_role": lambda db, row, key: (
            row[key] if db.edition == "ce" else CANCELLATION_ROLE.get(row[key])
        ),
        "pipeline_variables_minimum_override_role": named(VARIABLES_ROLE),
        "resource_group_default_process_mode": named(PROCESS_MODE),
    },
)
AUTO_DEVOPS = Shape(
    "project_id created_at updated_at enabled deploy_strategy", {"deploy_strategy": named(DEPLOY_STRATEGY)}
)
CONTAINER_EXPIRATION_POLICY = Shape(
    "project_id created_at updated_at next_run_at name_regex cadence older_than keep_n enabled name_regex_keep"
)
PIPELINE_SCHEDULE = Shape(
    "description ref cron cron_timezone next_run_at project_id owner_id active created_at updated_at"
)
SERVICE_DESK_SETTING = Shape("project_id issue_template_key project_key")
CUSTOM_ATTRIBUTE = Shape("created_at updated_at project_id key value")
BADGE = Shape("link_url image_url project_id name created_at updated_at", {"type": lambda _, row, __: row["type"]})

API_PATH = re.compile(r"/api/0/projects/+(?P<organization_name>[^/]+)/+(?P<project_name>[^/]+)/*")
"""API_URL_PATH_REGEXP of error_tracking/project_error_tracking_setting.rb"""


def name_in_api_url(_: Database, row: Row, key: str) -> str | None:
    """NULL is made of the slug in the address of the API; '' stays."""
    if row[key] is not None:
        return row[key]
    found = API_PATH.fullmatch(urlsplit(row["api_url"] or "").path)
    return titleize(found[key]) if found else None


ERROR_TRACKING_SETTING = Shape(
    "project_id api_url project_name organization_name",
    {"project_name": name_in_api_url, "organization_name": name_in_api_url},
)

# protected_branch.rb, protected_ref_access.rb: levels stay numbers
LEVEL = Shape("access_level created_at updated_at user_id group_id")


def push_access_levels(db: Database, row: Row, _: str) -> list[Record]:
    """exported_protected_branch.rb: without the rows of deploy keys."""
    rows = db.where("protected_branch_push_access_levels", protected_branch_id=row["id"], deploy_key_id=None)
    return [record(db, child, LEVEL) for child in rows]


PROTECTED_BRANCH = Shape(
    "project_id name created_at updated_at code_owner_approval_required allow_force_push",
    {"code_owner_approval_required": licensed(False)},
    {
        "merge_access_levels": many("protected_branch_merge_access_levels", LEVEL, protected_branch_id="id"),
        "push_access_levels": push_access_levels,
    },
)
# rows of deploy keys appear, without the key
PROTECTED_TAG = Shape(
    "project_id name created_at updated_at",
    nested={
        "create_access_levels": many(
            "protected_tag_create_access_levels",
            Shape("access_level user_id group_id created_at updated_at"),
            protected_tag_id="id",
        )
    },
)
