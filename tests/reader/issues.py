"""Issues (issue.rb, concerns/work_items/has_type.rb)."""

from __future__ import annotations

from tests.reader.data import names
from tests.reader.database import Database, Row


def base_type(db: Database, row: Row) -> str:
    """Return the name of an issue's type; one that is unknown or NULL is an issue.

    Before 19.0 the id refers to a row of work_item_types; since then it is one of nine fixed ids.
    """
    if not db.has("work_item_types"):
        return names()["work_item_type"].get(row["work_item_type_id"], "issue")
    found = db.one("work_item_types", id=row["work_item_type_id"])
    return names()["work_item_base_type"].get(found["base_type"], "issue") if found else "issue"


def work_item_type(db: Database, row: Row, _: str) -> dict[str, str]:
    """Issue#as_json moves what exported_work_item_type returns to this key, at the end of the record."""
    return {"base_type": base_type(db, row)}


def weight(db: Database, row: Row, key: str) -> int | None:
    """ee/app/models/ee/issue.rb: only if the feature is licensed, and not for incidents and epics."""
    if db.edition == "ce":
        return row[key]
    return row[key] if db.edition == "ee" and base_type(db, row) not in ("incident", "epic") else None
