"""A second reader: what an export of a project must contain, read from the database in plain Python.

It shares nothing with the package and is written from GitLab alone. relations.yaml describes what is exported, in the
words of GitLab's models, and how that is known; names.yaml has the names of codes. Functions in the modules here do
what data cannot describe (diffs, positions, members). Each table is read once, completely, and records are built row by
row. It is slow and simple on purpose, because the engine is tested against it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg import Connection

from tests.reader import shapes
from tests.reader.database import Database, Edition, Record

__all__ = ["Record", "read_project"]


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

    relations: only these, if any are named.
    inherited_members: whether project_members contains, after the direct ones, the members of the project's group and
    of the groups above it, as it does if the exporting user may administer the group.
    edition: whose models read the rows. external_diffs: contents of files by the ids of merge_request_diffs.
    """
    db = Database(conn, edition, external_diffs, inherited_members)
    (project,) = db.where("projects", id=project_id)
    found: dict[str, list[Record]] = {}
    if not relations or "project" in relations:
        found["project"] = [shapes.record(db, project, shapes.project())]
    for name, getter in shapes.relations().items():
        if (not relations or name in relations) and shapes.there(db, name):
            its = getter(db, project, name)
            found[name] = its if isinstance(its, list) else [its] if its is not shapes.ABSENT else []
    return found
