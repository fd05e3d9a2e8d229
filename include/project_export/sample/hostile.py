"""Everything else that a GitLab database may contain although GitLab would not write it today (hostile.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml
from psycopg import Connection
from psycopg.sql import SQL

from project_export.sample import facts
from project_export.sample.writer import Writer


@dataclass(frozen=True)
class Kind:
    """One kind of such rows, as hostile.yaml has it.

    what: a description. sql: statements that make it. needs: each table.column that must exist. fills: keys that get a
    value by it.
    """

    what: str
    sql: str
    needs: str = ""
    fills: tuple[str, ...] = ()


@cache
def kinds() -> tuple[Kind, ...]:
    """Return all kinds, in the order in which they must be made."""
    entries = yaml.safe_load(facts.text("hostile.yaml"))
    return tuple(Kind(**{**entry, "fills": tuple(entry.get("fills", ()))}) for entry in entries)


def make(conn: Connection[tuple[object, ...]], writer: Writer, only_filling: bool = False) -> None:
    """Change generated rows and add others, if the database's layout has what they need.

    only_filling: only make what gives a value to a key that would not have one otherwise.
    """
    for kind in kinds():
        there = all(writer.has(*name.split(".")) for name in kind.needs.split())
        if there and (kind.fills or not only_filling):
            conn.execute(SQL(kind.sql))
