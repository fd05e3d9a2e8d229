"""Issues, and what they share with merge requests (issue.rb, concerns/issuable.rb, concerns/work_items/has_type.rb)."""

from __future__ import annotations

from typing import Any

from tests.reader.database import Database, Row
from tests.reader.enums import (
    ADD_OR_REMOVE,
    BASE_TYPE,
    DESIGN_EVENT,
    HEALTH_STATUS,
    ISSUE_STATE,
    MERGE_REQUEST_STATE,
    RESOURCE_STATE,
    WORK_ITEM_TYPE,
    ZOOM_STATUS,
)
from tests.reader.notes import awards, events, notes
from tests.reader.planning import LABEL, MILESTONE, MILESTONE_WITH_EVENTS, label_links
from tests.reader.shapes import Getter, Shape, many, named, null_is, one


def base_type(db: Database, row: Row) -> str:
    """Return the name of an issue's type; one that is unknown or NULL is an issue.

    Before 19.0 the id is of a row of work_item_types, since then it is one of the nine fixed ones.
    """
    if not db.has("work_item_types"):
        return WORK_ITEM_TYPE.get(row["work_item_type_id"], "issue")
    found = db.one("work_item_types", id=row["work_item_type_id"])
    return BASE_TYPE.get(found["base_type"], "issue") if found else "issue"


def work_item_type(db: Database, row: Row, _: str) -> dict[str, str]:
    """Issue#as_json moves what exported_work_item_type gives to this key, at the end of the record."""
    return {"base_type": base_type(db, row)}


def weight(db: Database, row: Row, key: str) -> int | None:
    """ee/app/models/ee/issue.rb: only where the feature is licensed, and neither of an incident nor of an epic."""
    if db.edition == "ce":
        return row[key]
    return row[key] if db.edition == "ee" and base_type(db, row) not in ("incident", "epic") else None


def health_status(db: Database, row: Row, key: str) -> Any:
    """An enum of the EE code alone."""
    return row[key] if db.edition == "ce" else HEALTH_STATUS.get(row[key])


# timelog.rb, label_link.rb, resource_*_event.rb: no getters but enums
TIMELOG = Shape("time_spent user_id created_at updated_at spent_at project_id summary")
RESOURCE_LABEL_EVENT = Shape(
    "action user_id created_at", {"action": named(ADD_OR_REMOVE)}, {"label": one("labels", LABEL, id="label_id")}
)
RESOURCE_MILESTONE_EVENT = Shape(
    "user_id action state created_at",
    {"action": named(ADD_OR_REMOVE), "state": named(MERGE_REQUEST_STATE)},
    {"milestone": one("milestones", MILESTONE, id="milestone_id")},
)
RESOURCE_STATE_EVENT = Shape(
    "user_id created_at state source_commit close_after_error_tracking_resolve close_auto_resolve_prometheus_alert",
    {"state": named(RESOURCE_STATE)},
)


def resource_events(owner: str) -> dict[str, Getter]:
    """Return the getters of the events of labels, milestones and states."""
    return {
        "resource_label_events": many("resource_label_events", RESOURCE_LABEL_EVENT, **{owner: "id"}),
        "resource_milestone_events": many("resource_milestone_events", RESOURCE_MILESTONE_EVENT, **{owner: "id"}),
        "resource_state_events": many("resource_state_events", RESOURCE_STATE_EVENT, **{owner: "id"}),
    }


# design_management/*.rb: no getters; deleted designs appear too; sha is a sha attribute
DESIGN_COLUMNS = "project_id filename relative_position iid"
DESIGN = Shape(DESIGN_COLUMNS, nested={"notes": notes("DesignManagement::Design", "author events")})
ACTION = Shape(
    "event",
    {"event": named(DESIGN_EVENT)},
    {"design": one("design_management_designs", Shape(DESIGN_COLUMNS), id="design_id")},
)
DESIGN_VERSION = Shape(
    "sha created_at author_id namespace_id",
    nested={"actions": many("design_management_designs_versions", ACTION, version_id="id")},
)
ZOOM_MEETING = Shape("project_id created_at updated_at issue_status url", {"issue_status": named(ZOOM_STATUS)})

ISSUE = Shape(
    """
    title author_id project_id created_at updated_at description iid updated_by_id weight confidential due_date
    lock_version time_estimate relative_position last_edited_at last_edited_by_id discussion_locked closed_at
    closed_by_id health_status
    """,
    {
        "weight": weight,
        "lock_version": null_is(0),  # Rails' locking
        "time_estimate": null_is(0),  # concerns/time_trackable.rb
        "health_status": health_status,
        "state": named(ISSUE_STATE, "state_id"),
    },
    {
        "events": events("Issue"),
        "timelogs": many("timelogs", TIMELOG, issue_id="id"),
        "notes": notes("Issue", "author award_emoji system_note_metadata events"),
        "label_links": label_links("Issue"),
        "milestone": one("milestones", MILESTONE_WITH_EVENTS, id="milestone_id"),
        **resource_events("issue_id"),
        "designs": many("design_management_designs", DESIGN, issue_id="id"),
        "design_versions": many("design_management_versions", DESIGN_VERSION, issue_id="id"),
        "issue_assignees": many("issue_assignees", Shape("user_id"), lambda row: row["user_id"], issue_id="id"),
        "zoom_meetings": many("zoom_meetings", ZOOM_MEETING, issue_id="id"),
        "sentry_issue": one("sentry_issues", Shape("sentry_issue_identifier"), issue_id="id"),
        "award_emoji": awards("Issue"),
    },
    {"work_item_type": work_item_type},
)
