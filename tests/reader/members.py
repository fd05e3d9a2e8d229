"""Who is a member of a project (member.rb, group_members_finder.rb, project_export_presenter.rb)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.reader.database import Database, Row

MINIMAL_ACCESS = 5


def of_project(db: Database, project: Row) -> list[Row]:
    """Return the direct members, then those of groups if the exporting user may administer the group."""
    direct = db.where(
        "members", source_id=project["id"], source_type="Project", type="ProjectMember", requested_at=None
    )
    return [*direct, *(of_groups(db, project, direct) if db.inherited_members else [])]


def of_groups(db: Database, project: Row, direct: list[Row]) -> list[Row]:
    """Return the best row of each user and invitation, without the direct members' users.

    Invitations to groups, whose user_id is NULL, are left out if any direct member has a user (NOT IN with NULL).
    """
    own = group(db, project["namespace_id"])
    if own is None:
        return []
    best: dict[tuple[Any, Any], Row] = {}
    for group_id in {own["id"], *ancestors(db, own)}:
        for row in db.where(
            "members", source_id=group_id, source_type="Namespace", type="GroupMember", requested_at=None
        ):
            person = row["user_id"], row["invite_email"]
            if row["access_level"] <= MINIMAL_ACCESS and db.edition != "ee":
                continue
            if person not in best or rank(row, own) < rank(best[person], own):
                best[person] = row
    users = {row["user_id"] for row in direct} - {None}
    rows = [row for row in best.values() if row["user_id"] not in users and not (row["user_id"] is None and users)]
    return sorted(rows, key=lambda row: row["id"])


def rank(row: Row, own: Row) -> tuple[Any, ...]:
    """Return the rank of a row among those of a person; the lowest is the best."""
    role, expires, created = row.get("member_role_id"), row["expires_at"], row["created_at"]
    return (
        -(row["access_level"] + (row["source_id"] == own["id"])),
        (role is None, role or 0),
        (expires is not None, -expires.toordinal() if expires else 0),
        (created is None, created or datetime.min),
        row["id"],
    )


def group(db: Database, namespace_id: int | None) -> Row | None:
    """Return a namespace if it is a group."""
    return db.one("namespaces", id=namespace_id, type="Group")


def ancestors(db: Database, own: Row) -> list[int]:
    """Return the ids of the groups above one: by the parent's path, or by parents if the group's path is empty."""
    found: list[int] = []
    if own["traversal_ids"]:
        parent = db.one("namespaces", id=own["parent_id"])
        found = parent["traversal_ids"] if parent else []
        return [group_id for group_id in found if group(db, group_id)]
    above = group(db, own["parent_id"])
    while above and above["id"] not in found:
        found.append(above["id"])
        above = group(db, above["parent_id"])
    return found
