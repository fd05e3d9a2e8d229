"""Functions that read records, built from relations.yaml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any

from tests.reader.data import ASSOCIATIONS, Entry, file, names, whole
from tests.reader.database import Database, Record, Row
from tests.reader.values import stored

Getter = Callable[[Database, Row, str], Any]
"""Returns the value of a key for a row, as the model does."""
Shape = Mapping[str, Getter]
"""The keys of a relation's records, in their order."""

ABSENT = object()
"""Returned by a getter whose key is not in the record."""


def record(db: Database, row: Row, shape: Shape) -> Record:
    """Return the record of a row."""
    found = {key: getter(db, row, key) for key, getter in shape.items()}
    return {key: value for key, value in found.items() if value is not ABSENT}


def null_last(*columns: str) -> Callable[[Row], Any]:
    """Return an order by columns, NULLs last, then by id where the table has one."""
    return lambda row: (*((row[name] is None, row[name] or 0) for name in columns), row.get("id"))


def function(name: str) -> Callable[..., Any]:
    """Return a function of this package, by its module's name and its own."""
    module, _, own = name.partition(".")
    return getattr(import_module(f"{__package__}.{module}"), own)


# Records


def shape_of(entry: Entry) -> Shape:
    """Return the keys of a relation's records: columns, values behind them, nested relations, and what comes last."""
    model = entry.get("model", "")
    columns: dict[str, Getter] = dict.fromkeys(entry["keys"].split(), as_stored)
    values = {key: value_of(value) for key, value in entry.get("values", {}).items()}
    nested = {name: association(name, child, model) for name, child in entry.get("nested", {}).items()}
    last = {key: value_of(value) for key, value in entry.get("last", {}).items()}
    return {**columns, **values, **nested, **last}


def as_stored(_: Database, row: Row, key: str) -> Any:
    """Return a column as it is stored; if the database lacks it, there is no key, as in its version."""
    return stored(row[key]) if key in row else ABSENT


def value_of(value: Any) -> Getter:
    """Return the getter for a value in relations.yaml."""
    match value:
        case str():
            return (lambda _, row, __: stored(constant(value, row))) if is_column(value) else function(value)
        case {"is": content}:
            return lambda *_: content
        case {None: content}:
            return lambda db, row, key: (
                stored(constant(content, row)) if row.get(key, 0) is None else as_stored(db, row, key)
            )
        case {"name": of, **rest}:
            return name_of(names()[of], rest.get("of", ""))
        case {"paid": other}:
            paid = value_of(other)
            return lambda db, row, key: (paid if reads(db, "paid") else as_stored)(db, row, key)
        case {"unlicensed": content}:
            return lambda db, row, key: (
                content if reads(db, "paid") and not reads(db, "licensed") else as_stored(db, row, key)
            )
        case {"only": code}:
            return lambda db, row, key: as_stored(db, row, key) if reads(db, code) else ABSENT
    raise AssertionError(f"relations.yaml: {value} does not describe a value")


def name_of(known: Mapping[int | None, str], column: str = "") -> Getter:
    """Return the getter of an enum: the name of the code in a column, None if it has no name."""
    return lambda _, row, key: known.get(row[column or key]) if (column or key) in row else ABSENT


def is_column(value: Any) -> bool:
    """Return whether a value in the file names a column."""
    return isinstance(value, str) and value.startswith("$")


def constant(value: Any, row: Row) -> Any:
    """Return a value in the file, or the column's if it names one."""
    return row[value[1:]] if is_column(value) else value


def reads(db: Database, code: str) -> bool:
    """Return whether the code that reads the database is that of the paid edition, or that with a licence."""
    return db.edition == "ee" or (code == "paid" and db.edition != "ce")


# Associations


def association(name: str, entry: Entry | str, model: str) -> Getter:
    """Return the getter of a relation below records of a model: a list, a record, or ABSENT if there is none."""
    found = whole(entry)
    word, table = next((word, found[word]) for word in ASSOCIATIONS if word in found)
    if table is None:
        return lambda *_: ABSENT
    rows = function(found["rows"]) if "rows" in found else partial(matching, table, match_of(name, found, model))
    key = found.get("by", f"{name}_id")
    shape, order = shape_of(found), found.get("order", "").split()

    def getter(db: Database, row: Row, _: str) -> Any:
        if not exported(db, found):
            return ABSENT
        if row.get(key) in found.get("instead", {}):
            return found["instead"][row[key]]
        its = rows(db, row)
        if word == "has_many":
            return [record(db, child, shape) for child in (sorted(its, key=null_last(*order)) if order else its)]
        assert "pick" in found or len(its) <= 1, f"{len(its)} rows of {table} for {row}"
        if its:
            return record(db, its[0 if found.get("pick") == "first" else -1], shape)
        return unsaved(found, shape) if "absent" in found else ABSENT

    return getter


def exported(db: Database, entry: Entry) -> bool:
    """Return whether a database and its edition have a relation."""
    return ("needs" not in entry or db.has(entry["needs"])) and ("only" not in entry or reads(db, entry["only"]))


def match_of(name: str, entry: Entry, model: str) -> Mapping[str, Any]:
    """Return the conditions of an association: by column a constant, or $column of the row above."""
    where = entry.get("where", {})
    if "belongs_to" in entry:
        return {"id": f"${entry.get('by', f'{name}_id')}", **where}
    if "as" in entry:
        return {f"{entry['as']}_id": "$id", f"{entry['as']}_type": model, **where}
    above = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.rpartition("::")[2]).lower()
    return {entry.get("by", f"{above}_id"): "$id", **where}


def matching(table: str, match: Mapping[str, Any], db: Database, row: Row) -> list[Row]:
    """Return the rows of a table that belong to a row, by their ids; NULL joins nothing."""
    equal = {column: constant(value, row) for column, value in match.items()}
    joined = [equal[column] for column, value in match.items() if is_column(value)]
    return [] if None in joined else db.where(table, **equal)


def unsaved(entry: Entry, shape: Shape) -> Record:
    """Return the record of a new object of a model: its defaults, nulls and empty lists."""
    lists = {name: [] for name in entry.get("nested", {})}
    return {**dict.fromkeys(shape), **lists, **entry["absent"]}


@cache
def project() -> Shape:
    """Return the keys of the project itself."""
    return shape_of(file()["project"])


@cache
def relations() -> Shape:
    """Return the relations of a project, in the order of an export."""
    return {name: association(name, entry, file()["project"]["model"]) for name, entry in file()["relations"].items()}


def there(db: Database, name: str) -> bool:
    """Return whether a database and its edition have one of a project's relations."""
    return exported(db, whole(file()["relations"][name]))
