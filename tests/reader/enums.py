"""Names of stored codes, by GitLab's models (app/models unless another folder is named)."""

from __future__ import annotations

Names = dict[int | None, str]


def numbered(first: int, text: str) -> Names:
    """Return names by code, counted from the first."""
    return dict(enumerate(text.split(), first))


# event.rb
EVENT_ACTION = numbered(
    1, "created updated closed reopened pushed commented merged joined left destroyed expired approved transferred"
)
# push_event_payload.rb
PUSH_ACTION = numbered(0, "created removed pushed")
REF_TYPE = numbered(0, "branch tag")
# concerns/issuable.rb
ISSUE_STATE = numbered(1, "opened closed")
MERGE_REQUEST_STATE = numbered(1, "opened closed merged locked")
# work_items/types_framework/system_defined/definitions: ids since 19.0, when table work_item_types was dropped
WORK_ITEM_TYPE = numbered(1, "issue incident test_case requirement task objective key_result epic ticket")
# work_items/type.rb before 19.0: work_item_types.base_type
BASE_TYPE = numbered(0, "issue incident test_case requirement task objective key_result epic ticket")
# ee/app/models/concerns/ee/issue.rb
HEALTH_STATUS = numbered(1, "on_track needs_attention at_risk")
# resource_label_event.rb, resource_milestone_event.rb
ADD_OR_REMOVE = numbered(1, "add remove")
# resource_state_event.rb
RESOURCE_STATE = numbered(1, "opened closed merged locked reopened")
# zoom_meeting.rb
ZOOM_STATUS = numbered(1, "added removed")
# design_management/action.rb
DESIGN_EVENT = numbered(0, "creation modification deletion")
# releases/link.rb
LINK_TYPE = numbered(0, "other runbook package image")
# concerns/merge_request_reviewer_state.rb
REVIEWER_STATE = numbered(0, "unreviewed reviewed requested_changes approved unapproved review_started")
# merge_request_diff.rb
DIFF_TYPE = numbered(1, "regular merge_head")
# ci/external_pull_request.rb
PULL_REQUEST_STATUS = numbered(1, "open closed")
# concerns/has_import_source.rb; jira is in the newest version
IMPORT_SOURCE = numbered(
    0,
    "none gitlab_migration gitlab_project gitlab_group github bitbucket bitbucket_server fogbugz gitea git manifest"
    " custom_template jira",
)
# project.rb
AUTO_CANCEL = numbered(0, "disabled enabled")
# project_setting.rb, concerns/projects/squash_option.rb
SQUASH_OPTION = numbered(0, "never always default_on default_off")
# project_auto_devops.rb
DEPLOY_STRATEGY = numbered(0, "continuous manual timed_incremental")
# ee/app/models/ee/list.rb
LIST_TYPE = numbered(0, "backlog label closed assignee milestone iteration status")
# project_ci_cd_setting.rb
VARIABLES_ROLE = numbered(1, "no_one_allowed developer maintainer owner")
PROCESS_MODE = numbered(0, "unordered oldest_first newest_first newest_ready_first")
# ee/app/models/ee/project_ci_cd_setting.rb
CANCELLATION_ROLE = numbered(0, "developer maintainer no_one")
# commit_status.rb
SCHEDULING_TYPE = numbered(0, "stage dag")
# concerns/ci/has_status.rb
STAGE_STATUS = numbered(
    0,
    "created pending running success failed canceled skipped manual scheduled preparing waiting_for_resource"
    " waiting_for_callback canceling",
)
# enums/ci/pipeline.rb
SOURCE = {None: "unknown"} | numbered(
    1,
    "push web trigger schedule api external pipeline chat webide merge_request_event external_pull_request_event"
    " parent_pipeline ondemand_dast_scan ondemand_dast_validation security_orchestration_policy"
    " container_registry_push duo_workflow pipeline_execution_policy_schedule dependency_management_security_update",
)
DANGLING_SOURCES = {9, *range(12, 20)}
EXTERNAL = 6
CONFIG_SOURCE = {None: "unknown_source"} | numbered(
    1,
    "repository_source auto_devops_source webide_source remote_source external_project_source bridge_source"
    " parameter_source compliance_source security_policies_default_source pipeline_execution_policy_forced"
    " security_scan_profiles_source",
)
PIPELINE_FAILURE = (
    numbered(0, "unknown_failure config_error external_validation_failure user_not_verified")
    | numbered(21, "size_limit_exceeded job_activity_limit_exceeded deployments_limit_exceeded")
    | numbered(
        25,
        "project_deleted filtered_by_rules filtered_by_workflow_rules composite_identity_forbidden"
        " pipeline_ref_creation_failure filtered_by_no_pipeline gitaly_unavailable",
    )
)
# enums/ci/commit_status.rb
JOB_FAILURE = (
    {None: "unknown_failure"}
    | numbered(
        1,
        "script_failure api_failure stuck_or_timeout_failure runner_system_failure missing_dependency_failure"
        " runner_unsupported stale_schedule job_execution_timeout archived_failure unmet_prerequisites"
        " scheduler_failure data_integrity_failure forward_deployment_failure user_blocked project_deleted"
        " ci_quota_exceeded pipeline_loop_detected no_matching_runner trace_size_exceeded builds_disabled"
        " environment_creation_failure deployment_rejected failed_outdated_deployment_job"
        " job_execution_server_timeout stuck_pending_with_matching_runners stuck_pending_no_matching_runners"
        " no_updates_running no_updates_canceling server_timeout_running server_timeout_canceling"
        " runner_configuration_error runner_external_dependency_failure runner_interrupted",
    )
    | numbered(
        1000,
        "protected_environment_failure insufficient_bridge_permissions downstream_bridge_project_not_found"
        " invalid_bridge_trigger upstream_bridge_project_not_found insufficient_upstream_permissions"
        " bridge_pipeline_is_child_pipeline downstream_pipeline_creation_failed secrets_provider_not_found"
        " reached_max_descendant_pipelines_depth ip_restriction_failure reached_max_pipeline_hierarchy_size"
        " reached_downstream_pipeline_trigger_rate_limit duo_workflow_not_allowed job_router_failure"
        " job_token_expired id_token_burned_project_path downstream_project_trigger_resolved_to_empty",
    )
)
