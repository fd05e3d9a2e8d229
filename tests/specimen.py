"""A specimen: the smallest database in which every key of every relation of a tree has a value, written from the tree.

Each relation has a full row with everything that nests in it, and the rows beside it. If a value depends on conditions,
a relation of many has another row for each of them, a twin. A top-level relation of many also has a bare row, with only
required values. Records can be read without the database: a text names its column and row ("issues.title 12" is in row
12), an integer is 100 times the number of its row plus the position of its column. A text column that the relation does
not name contains a CANARY.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from project_export.sample import schema
from project_export.source import Limits, Reader, Session
from project_export.tree import (
    Also,
    Beside,
    BoundTree,
    Climb,
    Condition,
    Enum,
    Form,
    Lookup,
    Ref,
    Relation,
    Tree,
    bind,
    load,
    tables,
)
from project_export.tree.refs import refs

PROJECT = 1
PARTITION = 100
NASTY = " <é> & \u2028"
FIRST_DAY = datetime(2024, 1, 1, 9, 0, 0, 123_999, timezone.utc)
POSITION = """\
--- !ruby/object:Gitlab::Diff::Position
attributes:
  :base_sha: {text}
  :start_sha: '2'
  :head_sha: '3'
  :old_path: old.rb
  :new_path: new.rb
  :position_type: text
  :old_line:
  :new_line: 3
  :line_range: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    start: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
      line_code: a_1_2
      type: new
  :ignore_whitespace_change: false
"""
YAML = "---\n:text: {text}\n:symbol: :left\n"
TEXTS: dict[str, Callable[[str], str]] = {
    "base64_text": lambda text: base64.b64encode(text.encode()).decode(),
    "position": lambda text: POSITION.format(text=text),
    "text_colour": lambda _: "#428bca",
    "yaml": lambda text: YAML.format(text=text),
    "yaml_hash": lambda text: YAML.format(text=text),
}
"""By the name of a transform: a text that it can read."""

Row = dict[str, Any]


def write(uri: str, tree: Tree) -> None:
    """Write the specimen into an empty database that has the sample's schema."""
    with psycopg.connect(uri) as conn:
        conn.execute("SET session_replication_role = replica")  # ids are made up if nothing nests
        for table, row in _Writer().rows(tree):
            names, values = SQL(", ").join(map(Identifier, row)), SQL(", ").join(SQL("%s") for _ in row)
            conn.execute(
                SQL("INSERT INTO {} ({}) VALUES ({})").format(Identifier(table), names, values), list(row.values())
            )


def export(
    uri: str, tree: Tree | None = None, version: str = "", allowed: Iterable[str] = ()
) -> tuple[BoundTree, dict[str, bytes]]:
    """Return the bound tree and what the engine exports of the specimen, as bytes by relation.

    version, allowed: as of `bind`.
    """
    tree = tree or load("gitlab")
    with Session(lambda: psycopg.connect(uri), "specimen", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)), version, allowed)
        reader = Reader(session, bound, PROJECT)
        return bound, {name: b"".join(chunk.data for chunk in reader.read(name)) for name in tree.names}


class _Writer:
    def __init__(self) -> None:
        self.numbers = itertools.count(PROJECT)
        self.written: list[tuple[str, Row]] = []
        self.elsewhere: dict[str, list[Condition]] = {}
        """By table, what its rows fulfil if a value is not in the database."""

    def rows(self, tree: Tree) -> list[tuple[str, Row]]:
        for _, relation in tree.walk():
            for place in (key.elsewhere for key in relation.keys):
                if place is not None and place.when:
                    self.elsewhere[place.table] = list(place.when)
        root = self.full(tree.root, {}, None, beside_others=tree.relations)
        for relation in tree.relations:
            if relation.table:
                self.full(relation, root, tree.root)
                if not relation.one:
                    self.bare(relation, root)
                for also in relation.also:
                    self.in_addition(relation, also, root, tree.root)
        return self.written

    def full(
        self, relation: Relation, parent: Row, parents: Relation | None, beside_others: Iterable[Relation] = ()
    ) -> Row:
        """Add a row with a value in every column, then everything that is looked up for it or nests in it."""
        row = self.row(relation.table, set(_named(relation)))
        row.update(_special(relation, row))
        _defeat(relation, row)
        for condition in self.elsewhere.get(relation.table, ()):
            _deny(condition, row)
        self.joined(relation, row, parent, parents)
        nested = [*relation.children, *beside_others]
        for beside in relation.beside:
            self.beside(beside, relation, row, nested)
        for form in [*(form for key in relation.keys for form in key.forms), *_derived(relation)]:
            for source in form.sources:
                self.look_up(source, form, relation, row, nested)
        for _, climb in relation.derived:
            if isinstance(climb, Climb):
                self.climb(climb, row)
        for child in relation.children:
            self.full(child, row, relation)
        if not relation.one and parents is not None:
            for conditions in _others(relation, row):
                self.twin(relation, row, conditions)
        return row

    def joined(self, relation: Relation, row: Row, parent: Row, parents: Relation | None) -> None:
        """Set the columns by which a row joins its parent's."""
        for own, other in relation.join:
            if own == "id":
                parent[_column(other, parents)] = row["id"]
            else:
                row[own] = parent[_column(other, parents)]

    def twin(self, relation: Relation, row: Row, conditions: tuple[Condition, ...]) -> None:
        """Add a second row that fulfils conditions which the full one does not fulfil."""
        twin = self.row(relation.table, set(_named(relation)))
        twin.update(_special(relation, twin, conditions))
        twin.update({own: row[own] for own, _ in relation.join if own != "id"})

    def beside(self, beside: Beside, relation: Relation, row: Row, nested: Iterable[Relation]) -> Row | None:
        """Add a row beside a full one, unless it nests in it anyway or its table does not exist."""
        its = {name for name, _ in beside.match}
        if beside.table not in schema.tables() or any(
            other.table == beside.table and its == {own for own, _ in other.join} for other in nested
        ):
            return None
        used = {ref.column for ref in refs(relation) if ref.row == beside.name} if beside.name else set()
        found = self.row(beside.table, {*used, *beside.columns})
        forms = [form for key in relation.keys for form in key.forms]
        read = [(form.sources[0], form) for form in forms if form.sources]
        found.update(
            {
                ref.column: _code(form.enum)
                for ref, form in read
                if isinstance(ref, Ref) and ref.row == beside.name and beside.name and form.enum
            }
        )
        found.update({condition.column: _fulfilled(condition, found) for condition in beside.where})
        for name, others in beside.match:
            other = others[0]
            if other.row:
                found[name] = self.written[0][1][other.column]
            elif name == "id":
                row[other.column] = found["id"]
            else:
                found[name] = row[other.column]
        return found

    def look_up(self, source: Any, form: Form, relation: Relation, row: Row, nested: Iterable[Relation]) -> None:
        """Add the rows in which a value is looked up, except those that nest in the row anyway."""
        if not isinstance(source, Lookup):
            return
        found = self.beside(source.row, relation, row, nested)
        if found is not None and isinstance(source.value, Ref) and form.enum:
            found[source.value.column] = _code(form.enum)

    def climb(self, climb: Climb, row: Row) -> None:
        """Add a row above the first one of a hierarchy, which is already beside the row."""
        (start,) = (it for table, it in self.written if table == climb.table and it[climb.key] == row[climb.start])
        above = self.row(climb.table, set())
        start[climb.parent] = above[climb.key]
        for group in (start, above):
            group.update({condition.column: _fulfilled(condition, group) for condition in climb.where})
            if climb.path is not None:
                group[climb.path] = [above[climb.key]]

    def in_addition(self, relation: Relation, also: Also, root: Row, tree_root: Relation) -> None:
        """Add an additional row for each row of the hierarchy that the root climbs, and one that is not the best."""
        (climb,) = (value for name, value in tree_root.derived if name == also.join[0][1])
        assert isinstance(climb, Climb)
        groups = [root[climb.start], *(it["id"] for table, it in self.written[-1:] if table == climb.table)]
        start = next(it for table, it in self.written if table == climb.table and it["id"] == root[climb.start])
        groups = [start["id"], start[climb.parent]]
        rows = [self.row(relation.table, set(_named(relation))) for _ in groups]
        for row, group in zip(rows, groups, strict=True):
            row.update(_special(relation, row, (*also.where, *(c for one in also.either[:1] for c in one))))
            row[also.join[0][0]] = group
            for child in relation.children:
                self.full(child, row, relation)
        worse = self.row(relation.table, set(_named(relation)))
        number = worse["id"]
        worse.update(rows[0] | {"id": number, also.best[0].column: 10})

    def bare(self, relation: Relation, parent: Row) -> None:
        """Add a row with only required values."""
        row = self.row(relation.table, set(_named(relation)))
        special = {**row, **_special(relation, row), **{own: parent[other] for own, other in relation.join}}
        needed = {column for column, _ in relation.join} | {condition.column for condition in relation.where}
        needed |= {c.name for c in schema.tables()[relation.table] if c.serial or (c.not_null and not c.default)}
        for column in row.keys() - needed:
            del row[column]
        row.update({column: special[column] for column in row})

    def row(self, table: str, named: set[str]) -> Row:
        """Add a row with a value in every column."""
        number = next(self.numbers)
        row = {
            column.name: _value(column, place, number, canary=column.name not in named)
            for place, column in enumerate(schema.tables()[table], 1)
        }
        self.written.append((table, row))
        return row


def _special(relation: Relation, row: Row, conditions: tuple[Condition, ...] | None = None) -> Row:
    """Return the columns that need a special value: a code, a text for a transform, one that fulfils a condition.

    conditions: further conditions to fulfil; if None, those of the first transform of each column.
    """
    forms = [form for key in relation.keys for form in key.forms]
    special = {form.column: _code(form.enum) for form in forms if form.column and form.enum}
    asked = [*relation.where, *(one for either in relation.either[:1] for one in either)]
    asked += _asked(relation) if conditions is None else conditions
    for condition in asked:
        if not condition.ref.row:
            special[condition.column] = _fulfilled(condition, row | special)
    now = row | special
    for form in forms:
        if form.column and form.transform in TEXTS and all(c.accepts(now[c.column]) for c in form.when):
            text = now[form.column]
            special[form.column] = None if text is None else TEXTS[form.transform](text)
    return special


def _conditional(relation: Relation) -> Iterator[tuple[Condition, ...]]:
    """Yield the conditions on own columns that determine which value is exported, or what is made of it."""
    found = [form.when for key in relation.keys for form in key.forms if form.when]
    found += [when for key in relation.keys for when, _ in key.cases]
    yield from dict.fromkeys(when for when in found if not any(condition.ref.row for condition in when))


def _asked(relation: Relation) -> list[Condition]:
    """Return what the full row must fulfil: as many of the transforms' conditions as are compatible."""
    asked: dict[str, Condition] = {}
    counts = [form.when for key in relation.keys for form in key.forms if form.when]
    for when in sorted(dict.fromkeys(counts), key=counts.count, reverse=True):
        if not any(condition.column in asked for condition in when):
            asked |= {condition.column: condition for condition in when}
    return list(asked.values())


def _others(relation: Relation, row: Row) -> Iterator[tuple[Condition, ...]]:
    """Yield the conditions that a full row does not fulfil."""
    for when in _conditional(relation):
        if not all(condition.accepts(row[condition.column]) for condition in when):
            yield when


def _defeat(relation: Relation, row: Row) -> None:
    """Change a full row so that no case applies to it and its values are its own columns'."""
    for key in relation.keys:
        for when, _ in key.cases:
            own = [condition for condition in when if not condition.ref.row]
            if own and all(condition.accepts(row[condition.column]) for condition in own):
                _deny(own[0], row)


def _deny(condition: Condition, row: Row) -> None:
    """Change a row so that it does not fulfil a condition."""
    others = (None, False, True)
    row[condition.column] = next(value for value in others if not condition.accepts(value))


def _fulfilled(condition: Condition, row: Row) -> Any:
    """Return a value that fulfils a condition: the row's own value if it does."""
    value = row[condition.column]
    if condition.accepts(value):
        return value
    return condition.values[-1] if condition.test == "in" else int(condition.values[0] or 0) + 1


def _derived(relation: Relation) -> Iterator[Form]:
    yield from (value for _, value in relation.derived if isinstance(value, Form))


def _code(enum: Enum) -> int | None:
    return enum.names[-1][0]


def _named(relation: Relation) -> Iterator[str]:
    """Yield the columns that a relation names."""
    yield from (ref.column for ref in refs(relation) if not ref.row)
    yield from (order.column for order in relation.order)


def _column(name: str, relation: Relation | None) -> str:
    """Return the column that a join of children refers to; a derived value is replaced by its column."""
    derived = dict(relation.derived) if relation else {}
    value = derived.get(name)
    return value.column or name if isinstance(value, Form) else name


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
        "smallint": integer % 30_000,
        "text": text,
        "text[]": [text],
        "timestamp with time zone": at,
        "timestamp without time zone": at.replace(tzinfo=None),
        "tsvector": "canary",
    }
    return values[kind]
