"""What a record is made of: a shape names its columns, the getters of its model, and what nests in it.

Shapes are data. A relation is one shape; `record` makes the record of a row of it. Keys come in GitLab's order: columns
as in the table, then what a model's methods return, then nested records, then what a model adds to the finished record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.reader.database import Database, Record, Row
from tests.reader.values import stored

Getter = Callable[[Database, Row, str], Any]
"""What a model's method of a key's name returns for a row."""

ABSENT = object()
"""Returned by a getter whose key does not appear in the record."""


@dataclass(frozen=True)
class Shape:
    """The keys of a relation's records.

    columns: names of columns that are exported as they are stored, unless `values` says otherwise.
    values: getters, of columns (whose place they keep) and of methods (which follow the columns).
    nested: getters of nested records.
    last: getters of what serializable_hash or as_json of the model adds at the end.
    """

    columns: str
    values: Mapping[str, Getter] = field(default_factory=dict)
    nested: Mapping[str, Getter] = field(default_factory=dict)
    last: Mapping[str, Getter] = field(default_factory=dict)


def record(db: Database, row: Row, shape: Shape) -> Record:
    """Return the record of a row; a column that the database does not have has no key, as in its version."""
    ordered: Record = dict.fromkeys([*shape.columns.split(), *shape.values])
    for key in ordered:
        ordered[key] = shape.values.get(key, as_stored)(db, row, key)
    for getters in (shape.nested, shape.last):
        ordered.update({key: getter(db, row, key) for key, getter in getters.items()})
    return {key: value for key, value in ordered.items() if value is not ABSENT}


# Nested records


def many(table: str, shape: Shape, order: Callable[[Row], Any] | None = None, /, **match: str) -> Getter:
    """Return a getter of the rows of a table that belong to a row, by id unless an order is given.

    match: columns of the table with the row's column they equal, or with a constant in quotation marks ('Issue').
    """

    def getter(db: Database, row: Row, _: str) -> list[Record]:
        rows = _matching(db, table, row, match)
        return [record(db, child, shape) for child in (sorted(rows, key=order) if order else rows)]

    return getter


def one(table: str, shape: Shape, /, **match: str) -> Getter:
    """Return a getter of the one row of a table that belongs to a row; its key is absent where there is none."""

    def getter(db: Database, row: Row, _: str) -> Record | object:
        rows = _matching(db, table, row, match)
        assert len(rows) <= 1, f"{len(rows)} rows of {table} for {row}"
        return record(db, rows[0], shape) if rows else ABSENT

    return getter


def newest(table: str, shape: Shape, /, **match: str) -> Getter:
    """Return a getter of the row with the highest id of those that belong to a row."""

    def getter(db: Database, row: Row, _: str) -> Record | object:
        rows = _matching(db, table, row, match)
        return record(db, rows[-1], shape) if rows else ABSENT

    return getter


def _matching(db: Database, table: str, row: Row, match: Mapping[str, str]) -> list[Row]:
    equal = {column: other[1:-1] if other[0] == "'" else row[other] for column, other in match.items()}
    return [] if None in equal.values() else db.where(table, **equal)


# Getters that several models have


def as_stored(_: Database, row: Row, key: str) -> Any:
    """Return a column as it is stored."""
    return stored(row[key]) if key in row else ABSENT


def column(name: str) -> Getter:
    """Return a getter of a column as it is stored."""
    return lambda _, row, __: stored(row[name])


def named(names: Mapping[int | None, str], name: str = "") -> Getter:
    """Return a getter of an enum: the name of a code; None for a code without a name (Rails' enum)."""
    return lambda _, row, key: names.get(row[name or key]) if (name or key) in row else ABSENT


def null_is(value: Any) -> Getter:
    """Return a getter that gives a value for NULL."""
    return lambda _, row, key: value if row[key] is None else stored(row[key])


def null_is_column(other: str) -> Getter:
    """Return a getter that gives another column's value for NULL."""
    return lambda _, row, key: stored(row[other] if row[key] is None else row[key])


def null_last(*columns: str) -> Callable[[Row], Any]:
    """Return an order by columns, NULLs last, then by id where the table has one."""
    return lambda row: (*((row[name] is None, row[name] or 0) for name in columns), row.get("id"))
