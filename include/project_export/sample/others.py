"""Rows for the relations of the tree whose tables no other module writes, made from the schema and the tree alone.

So a relation that is new in the tree has records in the sample immediately: one below each record of the relation above
it, or three if it is a relation of many. The last of three has only required values. Text columns that are not exported
contain a canary. If GitLab's models reject such rows although the schema allows them, the relation needs a module here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from project_export.sample import hostile, schema
from project_export.sample.schema import Column
from project_export.sample.values import FIRST_DAY, Values
from project_export.sample.world import ORGANIZATION, Project
from project_export.sample.writer import Writer
from project_export.tree import Condition, Form, Relation, Tree
from project_export.tree.refs import refs

MANY = 3
"""How many records of a relation of many each record above gets."""
ABOVE = 20
"""How many records of a relation get nested ones."""
USERS = ("user_id", "author_id", "owner_id")

Row = Mapping[str, Any]


def add_others(conn: Connection[Any], writer: Writer, tree: Tree, projects: Sequence[Project], seed: int) -> None:
    """Add rows to each table that has none, and count the top-level records; all other rows must be written already.

    Empty projects get none, and neither do relations that hostile.yaml fills, since GitLab would not write their rows.
    """
    written = writer.written | {name.removeprefix("every ") for kind in hostile.kinds() for name in kind.fills}
    full = {project.id: project for project in projects if not project.empty}
    for relation, above in _walk(tree):
        if not relation.table or not writer.has(relation.table) or {relation.table, relation.name} & written:
            continue
        made = _Rows(conn, writer, relation, seed)
        for row in _rows_above(conn, above, None if above is not tree.root else list(full)):
            made.below(row, above)
            if above is tree.root:
                full[row["id"]].records[relation.name] += made.each
        writer.finish()
        made.join_above(above)


def _walk(tree: Tree) -> Iterator[tuple[Relation, Relation]]:
    """Yield each relation with the one above it, parents first."""

    def below(above: Relation, relations: Sequence[Relation]) -> Iterator[tuple[Relation, Relation]]:
        for relation in relations:
            yield relation, above
            yield from below(relation, relation.children)

    yield from below(tree.root, tree.relations)


def _rows_above(conn: Connection[Any], above: Relation, ids: list[int] | None) -> list[dict[str, Any]]:
    """Return the rows with these ids, or the first records of a relation."""
    key = SQL(", ").join(map(Identifier, above.key))
    query = SQL("SELECT * FROM {} {} ORDER BY {} LIMIT 1000").format(
        Identifier("public", above.table), SQL("WHERE id = ANY(%s)") if ids is not None else SQL(""), key
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, [ids] if ids is not None else []).fetchall()
    own = [condition for condition in above.where if not condition.ref.row]
    fit = [row for row in rows if all(condition.accepts(row[condition.column]) for condition in own)]
    return fit if ids is not None else fit[:ABOVE]


class _Rows:
    """The rows of one relation."""

    def __init__(self, conn: Connection[Any], writer: Writer, relation: Relation, seed: int) -> None:
        self.each = 1 if relation.one else MANY
        self._conn = conn
        self._writer = writer
        self._relation = relation
        self._values = Values(seed)
        self._columns = [c for c in schema.tables()[relation.table] if writer.has(relation.table, c.name)]
        self._exported = {ref.column for ref in refs(relation) if not ref.row} | {o.column for o in relation.order}
        self._asked = {
            condition.column: condition
            for condition in (*relation.where, *(one for some in relation.either[:1] for one in some))
            if not condition.ref.row
        }
        forms = [form for key in relation.keys for form in key.forms if form.column]
        self._codes = {form.column: [code for code, _ in form.enum.names] for form in forms if form.enum}
        self._read = {form.column for form in forms if form.transform}
        self._targets = {
            key.columns: key.target for key in schema.all_keys() if key.kind == "fk" and key.table == relation.table
        }
        self._number = 0
        self._joining: list[tuple[Row, int]] = []

    def below(self, above: Row, parent: Relation) -> None:
        """Add the rows below a row."""
        for place in range(self.each):
            self._number += 1
            row = self._row(above, parent)
            if place == MANY - 1:
                needed = {*(own for own, _ in self._relation.join), *self._asked}
                row = {c.name: row[c.name] for c in self._columns if c.name in row and (c.name in needed or _must(c))}
            if any(column.serial for column in self._columns):
                number = self._writer.add(self._relation.table, **row)
                self._joining.append((above, number))
            else:
                self._writer.attach(self._relation.table, **row)

    def join_above(self, parent: Relation) -> None:
        """Set the columns of the rows above that refer to these rows, if that is how they join."""
        for own, other in self._relation.join:
            if own != "id":
                continue
            query = SQL("UPDATE {} SET {} = %s WHERE {}").format(
                Identifier("public", parent.table),
                Identifier(_column(other, parent)),
                SQL(" AND ").join(SQL("{} = %s").format(Identifier(key)) for key in parent.key),
            )
            for above, number in self._joining:
                self._conn.execute(query, [number, *(above[key] for key in parent.key)])

    def _row(self, above: Row, parent: Relation) -> dict[str, Any]:
        joined = {own: above[_column(other, parent)] for own, other in self._relation.join if own != "id"}
        found = {column.name: self._value(column, above) for column in self._columns if not column.serial}
        return {name: value for name, value in {**found, **joined}.items() if value is not None}

    def _value(self, column: Column, above: Row) -> object:
        """Return a value for a column; None if its default will do."""
        made = self._made_up(column)
        if column.name in self._asked:
            return _fulfilling(self._asked[column.name], made)
        if column.name in self._codes:
            return self._turn(self._codes[column.name])
        if column.name in (shared := _shared(above)):
            return shared[column.name]
        target = "users" if column.name in USERS else self._targets.get(column.name)
        if target and (ids := self._ids(target)):
            return self._turn(ids)
        if column.name in self._exported:
            return made if _must(column) or column.name not in self._read else None
        return _canary(column) or (made if _must(column) else None)

    def _turn(self, options: Sequence[Any]) -> Any:
        return options[self._number % len(options)]

    def _ids(self, target: str) -> list[int]:
        """Return the first ids of a table."""
        query = SQL("SELECT id FROM {} ORDER BY id LIMIT 20").format(Identifier("public", target))
        return [number for (number,) in self._conn.execute(query)]

    def _made_up(self, column: Column) -> Any:
        """Return a value of the column's type, a different one for each row; None for an unknown type."""
        kind, limit = _kind(column)
        made = _MADE_UP[kind](self._values, self._number) if kind in _MADE_UP else None
        made = made[-limit:] if limit and isinstance(made, str) else made
        return [made] if column.type.endswith("[]") else made


_MADE_UP: Mapping[str, Callable[[Values, int], object]] = {
    "bigint": lambda _, number: number,
    "boolean": lambda _, number: number % 2 == 1,
    "bytea": lambda values, _: values.sha_bytes(),
    "character varying": lambda values, number: f"{values.title()} {number}",
    "date": lambda values, _: values.day_after(FIRST_DAY),
    "double precision": lambda _, number: number + 0.5,
    "integer": lambda _, number: number,
    "jsonb": lambda values, _: json.dumps({"text": values.title()}),
    "smallint": lambda _, number: number % 30_000,
    "text": lambda values, number: f"{values.title()} {number}",
    "timestamp with time zone": lambda values, _: values.after(FIRST_DAY),
    "timestamp without time zone": lambda values, _: values.after(FIRST_DAY),
    "uuid": lambda _, number: UUID(int=number),
}
"""By type: a value of a column in the row with this number."""


def _kind(column: Column) -> tuple[str, int]:
    """Return a column's type without brackets, and its maximum number of characters (0: any)."""
    kind, _, limit = column.type.removesuffix("[]").partition("(")
    return kind, int(limit.rstrip(")") or 0)


def _must(column: Column) -> bool:
    """Whether a row must have a value for the column."""
    return bool(column.not_null) and not column.default


def _canary(column: Column) -> str | bytes | None:
    """Return a text that must never be exported, or None if the column cannot hold one."""
    kind, limit = _kind(column)
    text = f"CANARY {column.table}.{column.name}"[: limit or None]
    if column.type.endswith("[]") or kind not in ("text", "character varying", "bytea"):
        return None
    return text.encode() if kind == "bytea" else text


def _shared(above: Row) -> dict[str, object]:
    """Return the columns that a row below has in common with the row above, by name."""
    found: dict[str, object] = {
        "project_id": above.get("target_project_id", above.get("project_id")),
        "namespace_id": above.get("namespace_id"),
        "partition_id": above.get("partition_id"),
    }
    if "project_namespace_id" in above:
        found = {"project_id": above["id"], "namespace_id": above["project_namespace_id"]}
    found["organization_id"] = ORGANIZATION
    return {name: value for name, value in found.items() if value is not None}


def _fulfilling(condition: Condition, value: object) -> object:
    """Return a value that fulfils a condition: this one if it does."""
    if condition.accepts(value):
        return value
    return condition.only if condition.test == "in" else int(condition.values[0] or 0) + 1


def _column(name: str, relation: Relation) -> str:
    """Return the column that a join refers to; a derived value is replaced by its column."""
    derived = dict(relation.derived).get(name)
    return derived.column or name if isinstance(derived, Form) else name
