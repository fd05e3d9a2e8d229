"""Rows into tables: their ids, and what NOT NULL and foreign keys require beyond what an archive contains.

Neutral values are made up, and so are users, namespaces and forks that rows refer to but no record describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row, tuple_row
from psycopg.sql import SQL, Composed, Identifier

from project_export.errors import BadRequest
from project_export.sample.schema import Column, all_keys, sequence_name, tables

Row = dict[str, Any]

_MADE_UP_NAMESPACES = 10**12
"""Above every id that GitLab assigns, since records name groups by their ids."""

_NEUTRAL: dict[str, Any] = {
    "timestamp": "now",
    "date": "now",
    "boolean": False,
    "bytea": b"",
    "jsonb": "{}",
    "character": "",
    "text": "",
}
"""By the first word of a type; the others are numbers."""


class Rows:
    """Writes rows through one connection, inside the caller's transaction.

    known: by name, the value of a NOT NULL column of any table whose row does not provide one.
    """

    def __init__(self, conn: Connection[Any]) -> None:
        self.known: Row = {"organization_id": 1, "partition_id": 100, "projects_limit": 100_000}
        self._conn = conn
        self._last: dict[str, int] = {}
        self._highest: dict[str, int] = {"namespaces": _MADE_UP_NAMESPACES}
        self._met: set[tuple[str, int]] = set()
        self._users: dict[int, Row] = {}

    def next_id(self, table: str) -> int:
        """Return an id above all others of the table, so that ids follow the order of insertion."""
        self._last[table] = self._highest[table] = self._top(table) + 1
        return self._last[table]

    def take_id(self, table: str, number: int) -> int:
        """Return the id that an archive names; raise BadRequest if rows would not be in the order of their ids."""
        last = self._last.get(table, 0)
        if number <= last:
            message = f"{table} {number} comes after {table} {last}, so the archive's order would be lost"
            raise BadRequest(f"{message}. Load into an empty database: ids of its rows are in the way.")
        self._highest[table] = max(number, self._top(table))
        self._last[table] = number
        return number

    def insert(self, table: str, row: Row) -> None:
        """Add values that NOT NULL requires, create the rows that this one refers to, and write it."""
        for column in tables()[table]:
            if column.not_null and row.get(column.name) is None:
                if column.default or column.serial:
                    row.pop(column.name, None)
                else:
                    row[column.name] = self._missing(column)
        for name, target in _references().get(table, ()):
            if row.get(name) is not None:
                self._meet(target, row[name])
        self._conn.execute(_insert(table, tuple(row)), list(row.values()))
        if table in _MADE:
            self._met.add((table, row["id"]))

    def update(self, table: str, number: int, values: Mapping[str, Any]) -> None:
        """Change columns of the row with this id."""
        assignments = SQL(", ").join(SQL("{} = %s").format(Identifier(name)) for name in values)
        statement = SQL("UPDATE {} SET {} WHERE id = %s").format(Identifier(table), assignments)
        self._conn.execute(statement, [*values.values(), number])

    def find(self, table: str, values: Mapping[str, Any]) -> int | None:
        """Return the id of a row with these values, None if there is none."""
        same = SQL(" AND ").join(SQL("{} IS NOT DISTINCT FROM %s").format(Identifier(name)) for name in values)
        return self._number(SQL("SELECT min(id) FROM {} WHERE {}").format(Identifier(table), same), *values.values())

    def user(self, number: int, facts: Row) -> None:
        """Create a user with these values; raise BadRequest if the database has a different user with this id."""
        self._meet("users", number)
        known = self._users[number]
        for name, value in facts.items():
            if known.get(name, value) != value:
                message = f"user {number} has the {name} {value!r} in the archive and {known[name]!r} in the database"
                raise BadRequest(f"{message}. Load into an empty database.")
        new = {name: value for name, value in facts.items() if name not in known}
        if new:
            self.update("users", number, new)
            known.update(new)

    def finish(self) -> None:
        """Advance the sequences past the assigned ids."""
        for table in sorted({*self._highest, *(table for table, _ in self._met)}):
            sequence = Identifier("public", sequence_name(table))
            self._conn.execute(
                SQL("SELECT setval(%s::regclass, greatest(max(id), (SELECT last_value FROM {}))) FROM {}").format(
                    sequence, Identifier(table)
                ),
                [f"public.{sequence_name(table)}"],
            )

    def _top(self, table: str) -> int:
        if table not in self._last:
            highest = self._number(SQL("SELECT max(id) FROM {}").format(Identifier(table))) or 0
            self._highest[table] = max(highest, self._highest.get(table, 0))
        return self._highest[table]

    def _missing(self, column: Column) -> Any:
        return self.known.get(column.name, _NEUTRAL.get(column.type.split()[0], 0))

    def _meet(self, table: str, number: int) -> None:
        """Create a row that others refer to, unless it exists."""
        if (table, number) in self._met:
            return
        self._met.add((table, number))
        if table == "users":
            with self._conn.cursor(row_factory=dict_row) as cursor:
                self._users[number] = cursor.execute("SELECT * FROM users WHERE id = %s", [number]).fetchone() or {}
        if not self.find(table, {"id": number}):
            self.insert(table, _MADE[table](number))

    def _number(self, query: Composed, *values: Any) -> int | None:
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            found = cursor.execute(query, values).fetchone()
            return None if found is None else found[0]


def _user(number: int) -> Row:
    name = f"user-{number}"
    return {"id": number, "name": name, "username": name, "email": f"{name}@example.com", "state": "active"}


def _namespace(number: int) -> Row:
    return {
        "id": number,
        "name": f"Group {number}",
        "path": f"group-{number}",
        "type": "Group",
        "traversal_ids": [number],
    }


def _project(number: int) -> Row:
    row = {"id": number, "name": f"Project {number}", "path": f"project-{number}"}
    return {**row, "namespace_id": _MADE_UP_NAMESPACES}


_MADE = {"users": _user, "namespaces": _namespace, "projects": _project}
"""The tables that records refer to by ids of the instance that wrote the archive, and their made-up rows."""


@cache
def _references() -> dict[str, list[tuple[str, str]]]:
    """Return by table its references to tables whose rows can be made up: (column, other table)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for key in all_keys():
        target = key.detail.partition("(")[0]
        if key.kind == "fk" and target in _MADE:
            found.setdefault(key.table, []).append((key.columns, target))
    return found


@cache
def _insert(table: str, names: tuple[str, ...]) -> Composed:
    types = {column.name: column.type for column in tables()[table]}
    # A timestamp without time zone is UTC; PostgreSQL would silently drop the archive's offset.
    utc = SQL("(%s::timestamptz AT TIME ZONE 'UTC')")
    values = [utc if types[name] == "timestamp without time zone" else SQL("%s") for name in names]
    return SQL("INSERT INTO {} ({}) VALUES ({})").format(
        Identifier(table), SQL(", ").join(map(Identifier, names)), SQL(", ").join(values)
    )
