"""A specimen: the smallest database in which every key of every relation of a tree has a value, written from the tree.

Each relation has a full row with all that nests in it; a top-level relation of many has a bare second one, with no more
than it needs. A text says where it stands ("issues.title 12" is of row 12), an integer is 100 times its row's number
plus its column's place, so that a record can be read without the database. What a relation does not name, and could
hold text, holds a CANARY instead.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from project_export.sample import schema
from project_export.source import Limits, Reader, Session
from project_export.tree import BoundTree, Enum, Key, Lookup, Relation, Tree, bind, load, tables

PROJECT = 1
PARTITION = 100
NASTY = " <é> & \u2028"
FIRST_DAY = datetime(2024, 1, 1, 9, 0, 0, 123_999, timezone.utc)
TEXTS: dict[str, Callable[[str], str]] = {
    "base64_text": lambda text: base64.b64encode(text.encode()).decode(),
    "json_or_yaml": lambda text: json.dumps({"text": text, "line": 3}),
    "text_colour": lambda _: "#428bca",
    "yaml": lambda text: f"---\n:text: {text}\n:symbol: :left\n",
}
"""Text that a transform can read, by its name."""

Row = dict[str, Any]


def write(uri: str, tree: Tree) -> None:
    """Write the specimen into an empty database that has the sample's schema."""
    with psycopg.connect(uri) as conn:
        conn.execute("SET session_replication_role = replica")  # ids are made up where nothing nests
        for table, row in _Writer().rows(tree):
            names, values = SQL(", ").join(map(Identifier, row)), SQL(", ").join(SQL("%s") for _ in row)
            conn.execute(
                SQL("INSERT INTO {} ({}) VALUES ({})").format(Identifier(table), names, values), list(row.values())
            )


def export(uri: str, tree: Tree | None = None) -> tuple[BoundTree, dict[str, bytes]]:
    """Return the bound tree and what the engine exports of the specimen, as bytes by relation."""
    tree = tree or load("gitlab")
    with Session(lambda: psycopg.connect(uri), "specimen", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        reader = Reader(session, bound, PROJECT)
        return bound, {name: b"".join(chunk.data for chunk in reader.read(name)) for name in tree.names}


class _Writer:
    def __init__(self) -> None:
        self.numbers = itertools.count(PROJECT)
        self.written: list[tuple[str, Row]] = []

    def rows(self, tree: Tree) -> list[tuple[str, Row]]:
        root = self.full(tree.root, {}, None)
        for relation in tree.relations:
            if relation.table:
                self.full(relation, root, tree.root)
                if not relation.one:
                    self.bare(relation, root)
        return self.written

    def full(self, relation: Relation, parent: Row, parents: Relation | None) -> Row:
        """Add a row with a value in every column, then all that is looked up for it or nests in it."""
        row = self.row(relation.table, set(_named(relation)))
        row.update(_special(relation, row))
        for own, other in relation.join:
            if own == "id":
                parent[_column(other, parents)] = row["id"]
            else:
                row[own] = parent[other]
        self.look_up(relation, row)
        for child in relation.children:
            self.full(child, row, relation)
        return row

    def look_up(self, relation: Relation, row: Row) -> None:
        """Add the rows in which the relation looks values up, but for those that nest in it anyway."""
        nested = {(child.table, child.join) for child in relation.children}
        lookups: dict[tuple[Any, ...], list[Key]] = {}
        for key in relation.keys:
            if key.lookup and (key.lookup.table, key.lookup.match) not in nested:
                lookups.setdefault((key.lookup.table, key.lookup.match), []).append(key)
        for (table, match), keys in lookups.items():
            found = self.row(table, {key.lookup.column for key in keys if key.lookup})
            found.update({key.lookup.column: _code(key.enum) for key in keys if key.lookup and key.enum})
            for other, own in match:
                if other == "id":
                    row[own] = found["id"]
                else:
                    found[other] = row[own]

    def bare(self, relation: Relation, parent: Row) -> None:
        """Add a row with nothing but what it must have."""
        row = self.row(relation.table, set(_named(relation)))
        special = {**row, **_special(relation, row), **{own: parent[other] for own, other in relation.join}}
        needed = {column for column, _ in relation.join} | {column for column, _ in relation.where}
        needed |= {c.name for c in schema.tables()[relation.table] if c.serial or (c.not_null and not c.default)}
        for column in row.keys() - needed:
            del row[column]
        row.update({column: special[column] for column in row})

    def row(self, table: str, named: set[str]) -> Row:
        """Add a row whose columns all have a value."""
        number = next(self.numbers)
        row = {
            column.name: _value(column, place, number, canary=column.name not in named)
            for place, column in enumerate(schema.tables()[table], 1)
        }
        self.written.append((table, row))
        return row


def _special(relation: Relation, row: Row) -> Row:
    """Return the columns whose value has to be one of some kind: a code, a text for a transform, what `where` asks."""
    codes = {key.column: _code(key.enum) for key in relation.keys if key.column and key.enum}
    texts = {
        key.column: TEXTS[key.transform](row[key.column])
        for key in relation.keys
        if key.column and key.transform in TEXTS
    }
    return {**codes, **texts, **{column: accepted[-1] for column, accepted in relation.where}}


def _code(enum: Enum) -> int | None:
    return enum.names[-1][0]


def _named(relation: Relation) -> Iterator[str]:
    """Yield the columns that a relation names."""
    for key in relation.keys:
        lookup = key.lookup
        yield from (name for name in (key.column, key.when, lookup and lookup.fallback) if name)
    yield from (order.column for order in relation.order)


def _column(name: str, relation: Relation | None) -> str:
    """Return the column behind a name that children join on: of a derived one, what stands where it finds nothing."""
    derived = dict(relation.derived) if relation else {}
    value = derived.get(name, name)
    return value.fallback or name if isinstance(value, Lookup) else value


def _value(column: schema.Column, place: int, number: int, *, canary: bool) -> Any:
    """Return a value of the column's type."""
    if column.name in ("id", "partition_id"):
        return number if column.name == "id" else PARTITION
    kind, _, limit = column.type.partition("(")
    text = f"{'CANARY ' * canary}{column.table}.{column.name} {number}{NASTY * (column.name == 'title')}"
    text = text[-int(limit.rstrip(")")) :] if limit else text
    integer = 100 * number + place
    at = FIRST_DAY + timedelta(days=number, minutes=place)
    values = {
        "bigint": integer,
        "bigint[]": [integer],
        "boolean": True,
        "bytea": text.encode() if canary else hashlib.sha1(text.encode()).digest(),
        "character varying": text,
        "character varying[]": [text],
        "date": at.date(),
        "double precision": number + 0.5,
        "integer": integer,
        "jsonb": Jsonb({"text": text}),
        "smallint": integer,
        "text": text,
        "text[]": [text],
        "timestamp with time zone": at,
        "timestamp without time zone": at.replace(tzinfo=None),
        "tsvector": "canary",
    }
    return values[kind]
