"""Everything else that a GitLab database may contain: what GitLab would not write today, as hostile.yaml lists it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml
from psycopg import Connection
from psycopg.sql import SQL

from project_export.sample import facts
from project_export.sample.writer import Writer


@dataclass(frozen=True)
class Form:
    """One kind of such rows: what it is, the SQL that makes it, the table.column that it needs, the keys it fills."""

    what: str
    sql: str
    needs: str = ""
    fills: tuple[str, ...] = ()


@cache
def forms() -> tuple[Form, ...]:
    """Return all kinds, in the order in which they have to be made."""
    entries = yaml.safe_load(facts.text("hostile.yaml"))
    return tuple(Form(**{**entry, "fills": tuple(entry.get("fills", ()))}) for entry in entries)


def make(conn: Connection[tuple[object, ...]], writer: Writer, only_filling: bool = False) -> None:
    """Change generated rows and add some, as far as the database's layout has what they need.

    only_filling: only what gives a value to a key that would have none.
    """
    for form in forms():
        there = all(writer.has(*name.split(".")) for name in form.needs.split())
        if there and (form.fills or not only_filling):
            conn.execute(SQL(form.sql))
