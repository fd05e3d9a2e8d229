"""Ways to break records for GitLab's models, each with the code that verify gives it, and what they take."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.archive_breaks import ISSUES, MEMBERS, PIPELINES, REQUESTS, SETTINGS, Break, changed, updated
from tests.unit.archive_files import POSITION

PROJECT = "tree/project.json"
FEATURES = "tree/project/project_feature.ndjson"
LABELS = "tree/project/labels.ndjson"
SNIPPETS = "tree/project/snippets.ndjson"
RELEASES = "tree/project/releases.ndjson"
COMMIT_NOTES = "tree/project/commit_notes.ndjson"
JOB = "stages.builds"
NO_POSITION = {**dict.fromkeys(POSITION), "position_type": "text"}
IMAGE = {key: POSITION[key] for key in list(POSITION)[:6]} | {
    "position_type": "image",
    "width": 1,
    "height": 1,
    "x": 0.5,
    "y": 0,
}
NO_POSITIONS = {"original_position": None, "change_position": None}
RANGE_END = {"line_code": "a_1_1", "type": None, "old_line": None, "new_line": 1}


def _position(name: str, code: str | None, value: Any, key: str = "position", **more: Any) -> Break:
    return updated(name, code, REQUESTS, "notes", **{key: value}, **more)


# What GitLab's models refuse, whatever the columns hold. The other checker asks the columns, and sees none of these.
MODELS = [
    changed("a work item type without a known name", "enum", ISSUES, "work_item_type", {"base_type": "Issue"}),
    changed("an unknown state", "enum", ISSUES, "state", "merged"),
    changed("an unknown state of a request", "enum", REQUESTS, "state", "open"),
    changed("an unknown merge status", "enum", REQUESTS, "merge_status", "mergeable"),
    changed("an unknown state of a diff", "enum", REQUESTS, "merge_request_diff.state", "clean"),
    changed("an unknown type of a diff", "enum", REQUESTS, "merge_request_diff.diff_type", "head"),
    changed("an unknown state of a reviewer", "enum", REQUESTS, "merge_request_reviewers.state", "seen"),
    changed("an unknown action", "enum", ISSUES, "events.action", "deleted"),
    changed("an unknown label action", "enum", ISSUES, "resource_label_events.action", "added"),
    changed("an unknown milestone event's state", "enum", ISSUES, "resource_milestone_events.state", "reopened"),
    changed("an unknown state event", "enum", ISSUES, "resource_state_events.state", "active"),
    changed("an unknown status of a meeting", "enum", ISSUES, "zoom_meetings.issue_status", "gone"),
    changed("an unknown event of a design", "enum", ISSUES, "design_versions.actions.event", "created"),
    _position("an unknown class of a note", "enum", None, **NO_POSITIONS, type="DiscussionNotes"),
    changed("an unknown source of an import", "enum", COMMIT_NOTES, "imported_from", "svn"),
    changed("an unknown pipeline status", "enum", PIPELINES, "status", "passed"),
    changed("an unknown pipeline source", "enum", PIPELINES, "source", "pushed"),
    changed("an unknown config source", "enum", PIPELINES, "config_source", "repository"),
    changed("an unknown failure of a pipeline", "enum", PIPELINES, "failure_reason", "unknown"),
    changed("an unknown stage status", "enum", PIPELINES, "stages.status", "passed"),
    changed("an unknown job status", "enum", PIPELINES, f"{JOB}.status", "passed"),
    changed("an unknown failure of a job", "enum", PIPELINES, f"{JOB}.failure_reason", "runner_crashed"),
    changed("an unknown scheduling of a job", "enum", PIPELINES, f"{JOB}.scheduling_type", "needs"),
    changed("a job of another class", "enum", PIPELINES, f"{JOB}.type", "Ci::Bridge"),
    changed("a bridge without a ref", "lost", PIPELINES, "stages.bridges.ref", ...),
    changed("an unknown deploy strategy", "enum", "tree/project/auto_devops.ndjson", "deploy_strategy", "canary"),
    changed("an unknown mode", "enum", SETTINGS, "resource_group_default_process_mode", "newest"),
    changed("an unknown role", "enum", SETTINGS, "pipeline_variables_minimum_override_role", "guest"),
    changed("a role's unknown code", "enum", SETTINGS, "restrict_pipeline_cancellation_role", 7),
    changed("an unknown type of a list", "enum", "tree/project/boards.ndjson", "lists.list_type", "open"),
    changed("an unknown type of a link", "enum", RELEASES, "links.link_type", "archive"),
    changed("an unknown class of a label", "enum", LABELS, "type", "Label"),
    changed("an unknown class of a badge", "enum", "tree/project/project_badges.ndjson", "type", "Badge"),
    changed("an unknown state of a milestone", "enum", "tree/project/milestones.ndjson", "state", "opened"),
    changed("an unknown status elsewhere", "enum", "tree/project/external_pull_requests.ndjson", "status", "merged"),
    changed("an unknown source of a member", "enum", MEMBERS, "source_type", "Group"),
    changed("a long description of the project", "refused", PROJECT, "description", "x" * 2001),
    changed("a long template of the project", "refused", PROJECT, "merge_commit_template", "x" * 501),
    changed("a long suggestion message", "refused", PROJECT, "suggestion_commit_message", "x" * 256),
    changed("a short timeout", "refused", PROJECT, "build_timeout", 599),
    changed("a long timeout", "refused", PROJECT, "build_timeout", 2629746),
    changed("artifacts of no size", "refused", PROJECT, "max_artifacts_size", 0),
    changed("an unknown squash option", "refused", PROJECT, "squash_option", "sometimes"),
    changed("an unknown switch", "refused", PROJECT, "auto_cancel_pending_pipelines", "on"),
    _position("a position as GitLab stores it", "position", {"attributes": POSITION}),
    _position("a position as text", "position", json.dumps(POSITION)),
    _position("a position as array", "position", [POSITION]),
    _position("a position that lacks a key", "position", {k: v for k, v in POSITION.items() if k != "head_sha"}),
    _position("a position of symbols", "position", {f":{key}": value for key, value in POSITION.items()}),
    _position("a position of an unknown type", "position", {**POSITION, "position_type": "line"}),
    _position("a range of lines as array", "position", {**POSITION, "line_range": [1, 2]}),
    _position("a range without an end", "position", {**POSITION, "line_range": {"start": RANGE_END}}),
    _position("an old range without an end", "position", {**POSITION, "line_range": {"start_line_code": "a_1_1"}}),
    _position("an original position as GitLab stores it", "position", {"attributes": POSITION}, "original_position"),
    _position("a changed position as text", "position", "--- {}", "change_position"),
    _position("an object in a note that is on no diff", "position", POSITION, type="DiscussionNote"),
    _position("an old diff in another note", "position", [{"diff": "x"}], "st_diff"),
]

# What GitLab itself may write of old or odd rows, and its importer drops or cuts. Named, but no problem.
WARNED = [
    changed("a reviewer without a state", "unfit", REQUESTS, "merge_request_reviewers.state", None),
    changed("an approval of nobody", "unfit", REQUESTS, "approvals.user_id", None),
    changed("an event of nobody", "unfit", ISSUES, "events.author_id", None),
    changed("a commit note without its commit", "unfit", COMMIT_NOTES, "commit_id", None),
    changed("a job without a ref", "unfit", PIPELINES, f"{JOB}.ref", None),
    changed("a release without a tag", "unfit", RELEASES, "tag", ""),
    changed("a release's link without an address", "unfit", RELEASES, "links.url", None),
    changed("a snippet without content", "unfit", SNIPPETS, "content", " "),
    changed("an unknown visibility of a snippet", "unfit", SNIPPETS, "visibility_level", 30),
    changed("a schedule without a description", "unfit", "tree/project/pipeline_schedules.ndjson", "description", ""),
    changed("an unknown access level", "unfit", MEMBERS, "access_level", 60),
    changed("a public feature", "unfit", FEATURES, "issues_access_level", 30),
    changed("a feature's unknown level", "unfit", FEATURES, "wiki_access_level", 15),
    changed("builds above the repository", "unfit", FEATURES, "repository_access_level", 10),
    _position("a position without a head", "unfit", {**POSITION, "head_sha": None}),
    _position("a position without a path", "unfit", {**POSITION, "old_path": None, "new_path": ""}),
    _position("a position on no line", "unfit", {**POSITION, "new_line": None}),
    _position("a position on a line as text", "unfit", {**POSITION, "new_line": "7"}),
    _position("an image's position without its size", "unfit", {**IMAGE, "width": None}),
    _position("a note on a line without the line's code", "unfit", POSITION, line_code=None),
    _position("a note on the diff of an issue", "unfit", POSITION, noteable_type="Issue"),
    _position("a position of nulls", "unfit", NO_POSITION),
    _position("a null position", "unfit", None),
    _position("an original position of nulls", "unfit", NO_POSITION, "original_position"),
    _position("a position with another key", "dropped", {**POSITION, "a_key": 1}),
    changed("a colour's name", "unfit", LABELS, "color", "red"),
    changed("a nested colour's name", "unfit", ISSUES, "label_links.label.color", ""),
    changed("a level of minimal access", "unfit", MEMBERS, "access_level", 5),
    changed("a failure of an older GitLab", "unfit", PIPELINES, "failure_reason", "activity_limit_exceeded"),
    changed("a work item type of neither kind", "unfit", ISSUES, "work_item_type", {}),
    changed("a description that is cut off", "cut", ISSUES, "description", "x" * ((1 << 20) + 1)),
    changed("a long title", "long", ISSUES, "title", "x" * 256),
    changed("a long title of a request", "long", REQUESTS, "title", "x" * 256),
    changed("a long title of a label", "long", LABELS, "title", "x" * 256),
    changed("a long title of a snippet", "long", SNIPPETS, "title", "x" * 256),
    changed("a long note", "long", ISSUES, "notes.note", "x" * 1_000_001),
    changed("a long summary", "long", ISSUES, "timelogs.summary", "x" * 256),
    changed("a long release", "long", RELEASES, "description", "x" * 1_000_001),
    changed("a long path of a link", "long", RELEASES, "links.filepath", "/" + "x" * 128),
    changed("a long ref", "long", PIPELINES, f"{JOB}.ref", "x" * 256),
    changed("a long target of a job", "long", PIPELINES, f"{JOB}.target_url", "x" * 256),
    changed("a long description of a job", "long", PIPELINES, f"{JOB}.description", "x" * 256),
    changed("a long address of errors", "long", "tree/project/error_tracking_setting.ndjson", "api_url", "x" * 256),
]

# The other checker calls these errors. GitLab's importer drops such a key without a word, and an archive of a newer
# GitLab has its keys by right.
DROPPED = [
    changed("a key that is in no tree", "dropped", ISSUES, "a_new_key", 1),
    changed("a relation where there is none", "dropped", LABELS, "milestone", {"title": "v1"}),
]

TAKEN = [
    changed("a work item type's name", None, ISSUES, "work_item_type", {"name": "Customer's own"}),
    changed("no work item type", None, ISSUES, "work_item_type", ...),
    changed("an attachment of an older GitLab", None, ISSUES, "notes.attachment", {"url": None}),
    _position("a position of an image", None, IMAGE),
    _position(
        "a position of a file", None, {key: IMAGE[key] for key in list(POSITION)[:6]} | {"position_type": "file"}
    ),
    _position("a position without a base", None, {**POSITION, "base_sha": None}),
    _position("a range of lines", None, {**POSITION, "line_range": {"start": RANGE_END, "end": RANGE_END}}),
    _position("a position with a key of older GitLabs", None, {**POSITION, "ignore_whitespace_change": False}),
    _position("no changed position", None, None, "change_position"),
    _position("texts in a note that is on no diff", None, "--- {}", **NO_POSITIONS, st_diff="--- []", type=None),
    _position("an old diff", None, [{"diff": "x\0"}], "st_diff", position=None, **NO_POSITIONS, type="LegacyDiffNote"),
    _position("a NUL in a position", None, {**POSITION, "new_path": "a\0"}),
    changed("a NUL in parameters", None, REQUESTS, "merge_params", {"a": "\0"}),
    changed("a colour in white space", None, LABELS, "color", " #F0F "),
]
