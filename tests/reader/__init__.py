"""A second reader: what an export of a project has to hold, read from the database in plain Python.

It shares nothing with the package. Each table is read once, whole, and put together row by row, after GitLab's
lib/gitlab/import_export/project/import_export.yml and its models. Slow and simple on purpose: it is the oracle that the
engine is held against.

A relation is a Shape (shapes.py): its columns, what the model's getters make of them, and what nests in it. What needs
the Git repository is left out: the project's default_branch, a merge request's source_branch_sha and target_branch_sha.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from psycopg import Connection

from tests.reader.database import Database, Edition, Record
from tests.reader.issues import ISSUE
from tests.reader.members import project_members
from tests.reader.merge_requests import EXTERNAL_PULL_REQUEST, MERGE_REQUEST
from tests.reader.notes import COMMIT_NOTE
from tests.reader.pipelines import ci_pipelines
from tests.reader.planning import BOARD, MILESTONE_WITH_EVENTS, RELEASE, SNIPPET, TOP_LABEL
from tests.reader.settings import (
    AUTO_DEVOPS,
    BADGE,
    CI_CD_SETTINGS,
    CONTAINER_EXPIRATION_POLICY,
    CUSTOM_ATTRIBUTE,
    ERROR_TRACKING_SETTING,
    PIPELINE_SCHEDULE,
    PROJECT,
    PROJECT_FEATURE,
    PROTECTED_BRANCH,
    PROTECTED_TAG,
    SERVICE_DESK_SETTING,
)
from tests.reader.shapes import Shape, null_last, record

__all__ = ["read_project"]


def read_project(
    conn: Connection[Any],
    project_id: int,
    inherited_members: bool = True,
    *,
    edition: Edition = "ce",
    external_diffs: dict[int, bytes] | None = None,
    relations: Collection[str] = (),
) -> dict[str, list[Record]]:
    """Return the records of every relation in export order, and of `project`; a one-to-one relation has none or one.

    relations: only these of them, when any are named.
    inherited_members: whether project_members holds, after the direct ones, the members of the project's group and of
    the groups above it, as it does when the exporting user may administer the group.
    edition: whose models read the rows. external_diffs: contents of files by the ids of merge_request_diffs.
    """
    db = Database(conn, edition, external_diffs)
    (project,) = db.where("projects", id=project_id)

    def rows(table: str, shape: Shape, **equal: Any) -> list[Record]:
        return [record(db, row, shape) for row in db.where(table, **(equal or {"project_id": project_id}))]

    def ordered(table: str, shape: Shape, by: str, **equal: Any) -> list[Record]:
        return [record(db, row, shape) for row in sorted(db.where(table, **equal), key=null_last(by))]

    found: dict[str, Callable[[], list[Record]]] = {
        "project": lambda: [record(db, project, PROJECT)],
        "labels": lambda: rows("labels", TOP_LABEL, project_id=project_id, type="ProjectLabel"),
        "milestones": lambda: rows("milestones", MILESTONE_WITH_EVENTS),
        "issues": lambda: ordered("issues", ISSUE, "relative_position", project_id=project_id),
        "snippets": lambda: rows("snippets", SNIPPET, project_id=project_id, type="ProjectSnippet"),
        "releases": lambda: rows("releases", RELEASE),
        "project_members": lambda: project_members(db, project, inherited_members),
        "merge_requests": lambda: ordered("merge_requests", MERGE_REQUEST, "created_at", target_project_id=project_id),
        "external_pull_requests": lambda: rows("external_pull_requests", EXTERNAL_PULL_REQUEST),
        "commit_notes": lambda: rows("notes", COMMIT_NOTE, project_id=project_id, noteable_type="Commit"),
        "ci_pipelines": lambda: ci_pipelines(db, project),
        "auto_devops": lambda: rows("project_auto_devops", AUTO_DEVOPS),
        "pipeline_schedules": lambda: rows("ci_pipeline_schedules", PIPELINE_SCHEDULE),
        "container_expiration_policy": lambda: rows("container_expiration_policies", CONTAINER_EXPIRATION_POLICY),
        "protected_branches": lambda: rows("protected_branches", PROTECTED_BRANCH),
        "protected_tags": lambda: rows("protected_tags", PROTECTED_TAG),
        "project_feature": lambda: rows("project_features", PROJECT_FEATURE),
        "custom_attributes": lambda: rows("project_custom_attributes", CUSTOM_ATTRIBUTE),
        "project_badges": lambda: rows("badges", BADGE, project_id=project_id, type="ProjectBadge"),
        "ci_cd_settings": lambda: rows("project_ci_cd_settings", CI_CD_SETTINGS),
        "error_tracking_setting": lambda: rows("project_error_tracking_settings", ERROR_TRACKING_SETTING),
        "boards": lambda: rows("boards", BOARD),
        "service_desk_setting": lambda: rows("service_desk_settings", SERVICE_DESK_SETTING),
        "user_contributions": lambda: [],
    }
    return {name: read() for name, read in found.items() if not relations or name in relations}
