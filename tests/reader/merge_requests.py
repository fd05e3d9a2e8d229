"""Merge requests (merge_request.rb); merge_requests_merge_data is only written to at 19.4."""

from __future__ import annotations

from typing import Any

import yaml

from tests.reader.database import Database, Record, Row
from tests.reader.diffs import diff_head_sha, merge_request_diff
from tests.reader.enums import MERGE_REQUEST_STATE, PULL_REQUEST_STATUS, REVIEWER_STATE
from tests.reader.issues import TIMELOG, resource_events
from tests.reader.notes import awards, events, notes
from tests.reader.planning import MILESTONE_WITH_EVENTS, label_links
from tests.reader.ruby import as_json, read_yaml
from tests.reader.shapes import Getter, Shape, many, named, newest, null_is, one


def merge_params(_: Database, row: Row, key: str) -> Record:
    """A coder of class Hash: NULL, '' and nil are {}. Of another text GitLab loses the batch; here it is {} too."""
    try:
        parsed: Any = read_yaml(row[key] or "")
    except yaml.YAMLError:
        parsed = None
    return as_json(parsed) if isinstance(parsed, dict) else {}


COLUMNS = """
    target_branch source_branch source_project_id author_id title created_at updated_at merge_status target_project_id
    iid description updated_by_id merge_error merge_params merge_user_id merge_commit_sha approvals_before_merge
    rebase_commit_sha in_progress_merge_commit_sha lock_version time_estimate squash last_edited_at last_edited_by_id
    discussion_locked allow_maintainer_to_push squash_commit_sha merge_ref_sha draft
"""
VALUES: dict[str, Getter] = {"merge_params": merge_params, "lock_version": null_is(0), "time_estimate": null_is(0)}
# nested in a pipeline: columns alone, for the tree's methods belong to the relation merge_requests
MERGE_REQUEST_COLUMNS = Shape(COLUMNS, VALUES)

# approval.rb, merge_request_assignee.rb, merge_request/metrics.rb: no getters
METRICS = Shape(
    """
    latest_build_started_at latest_build_finished_at first_deployed_to_production_at merged_at created_at updated_at
    merged_by_id latest_closed_by_id latest_closed_at first_comment_at first_commit_at last_commit_at diff_size
    modified_paths_size commits_count first_approved_at first_reassigned_at added_lines removed_lines
    target_project_id
    """
)
REVIEWER = Shape("user_id created_at state", {"state": named(REVIEWER_STATE)})

MERGE_REQUEST = Shape(
    COLUMNS,
    {**VALUES, "diff_head_sha": diff_head_sha, "state": named(MERGE_REQUEST_STATE, "state_id")},
    {
        "approvals": many("approvals", Shape("user_id created_at updated_at"), merge_request_id="id"),
        "metrics": newest("merge_request_metrics", METRICS, merge_request_id="id"),
        "award_emoji": awards("MergeRequest"),
        "merge_request_assignees": many("merge_request_assignees", Shape("user_id created_at"), merge_request_id="id"),
        "merge_request_reviewers": many("merge_request_reviewers", REVIEWER, merge_request_id="id"),
        "notes": notes("MergeRequest", "author award_emoji system_note_metadata events suggestions note_diff_file"),
        "merge_request_diff": merge_request_diff,
        "events": events("MergeRequest"),
        "timelogs": many("timelogs", TIMELOG, merge_request_id="id"),
        "label_links": label_links("MergeRequest"),
        "milestone": one("milestones", MILESTONE_WITH_EVENTS, id="milestone_id"),
        **resource_events("merge_request_id"),
    },
)

# ci/external_pull_request.rb: the shas are sha attributes
EXTERNAL_PULL_REQUEST = Shape(
    """
    created_at updated_at project_id pull_request_iid status source_branch target_branch source_repository
    target_repository source_sha target_sha
    """,
    {"status": named(PULL_REQUEST_STATUS)},
)
