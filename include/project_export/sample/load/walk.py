"""Records → rows, driven by the tree: each relation is stored as the inverse of how it is read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from project_export.errors import ArchiveBroken
from project_export.sample.load.repairs import REPAIRS
from project_export.sample.load.rows import Row, Rows
from project_export.sample.load.unpack import Record
from project_export.sample.load.values import INVERSES, stored
from project_export.sample.schema import tables
from project_export.tree import Form, Key, Lookup, Ref, Relation

_IDENTITY: dict[str, tuple[str, ...]] = {
    "labels": ("title", "type", "project_id", "group_id", "created_at"),
    "milestones": ("title", "iid", "project_id", "group_id", "created_at"),
    "design_management_designs": ("project_id", "iid", "filename"),
    "external_pull_requests": ("project_id", "source_branch", "target_branch"),
    "merge_requests": ("target_project_id", "iid"),
    "merge_request_commits_metadata": ("sha",),
    "merge_request_diff_commit_users": ("name", "email"),
}
"""By table: the keys that identify the row of a record which is nested in several places, named as their columns."""

Identity = tuple[str, ...]

_ID_NAMED_BY = {"p_ci_pipelines": "commit_id"}
"""By table: the key of a nested record with the row's own id, which an export must return."""

_IN_ALL_PROJECTS = ("merge_request_diff_commit_users",)
"""Tables whose rows projects share, by a unique index over their identity."""


@dataclass
class _Shared:
    """A row that appears in several places: values that others join on, and the nested relations that are stored."""

    row: Row
    done: set[str]


class Walk:
    """Stores records with everything nested in them.

    left_out: counts by dotted path what cannot be stored. kept_ids: ids of rows that must not get the next one.
    """

    def __init__(self, rows: Rows) -> None:
        self.left_out: Counter[str] = Counter()
        self.kept_ids: dict[Identity, int] = {}
        self._rows = rows
        self._shared: dict[Identity, _Shared] = {}

    def put(self, relation: Relation, record: Record, fixed: Row, path: str, *, shared: bool = False) -> Row:
        """Store a record with everything that it refers to or that is nested in it; return its row.

        fixed: columns that the record's place determines. shared: the record may appear in several places and is one
        row; only the values that others join on are returned. Raises ArchiveBroken, with the key.
        """
        for repair in REPAIRS.get(relation.table, ()):
            repair(record)
        row = {**self._columns(relation, record, path), **fixed}
        if relation.table == "users":
            return self._user(row)
        identity = identify(relation, record)
        known = self._shared.get(identity) if shared else None
        if known:
            self._nest(relation, record, known, path)
            return known.row
        if relation.table in _IN_ALL_PROJECTS:
            row["id"] = self._rows.find(relation.table, {name: row.get(name) for name in _IDENTITY[relation.table]})
        inserted = _Shared(row, set())
        if row.get("id") is None or relation.table not in _IN_ALL_PROJECTS:
            self._insert(relation, record, inserted, path)
        if relation.table in _IDENTITY:
            joined = {name: row.get(name) for name in ("id", "project_id")}
            self._shared.setdefault(identity, _Shared(joined, inserted.done))
        return row

    def _insert(self, relation: Relation, record: Record, new: _Shared, path: str) -> None:
        """Write a row after the rows that it refers to, and before those that refer to it."""
        row = new.row
        self._refer(relation, record, row, path)
        for condition in relation.where:
            column = condition.column
            if not condition.accepts(row.setdefault(column, condition.only)):
                self.left_out[f"{path} (stored, but {column} {row[column]!r} is not exported here)"] += 1
        self._number(relation, record, row)
        self._rows.insert(relation.table, row)
        self._nest(relation, record, new, path)
        self._put_aside(relation, record, row, path)

    def _columns(self, relation: Relation, record: Record, path: str) -> Row:
        """Return the values of the relation's columns from the record's keys, and count keys that cannot be stored."""
        names = {*(key.name for key in relation.keys), *(child.name for child in relation.children)}
        self.left_out.update(f"{path}.{name}" for name in record if name not in names)
        row: Row = {}
        for key in relation.keys:
            if key.name not in record:
                continue
            value = record[key.name]
            if key.constant is not None:
                if value != json.loads(key.constant):
                    self.left_out[f"{path}.{key.name} ({key.why or 'always the same'})"] += 1
            elif key.form.of and _told(relation, record, key.form.of, value):
                continue  # it is stored in the row beside
            elif key.column and (key.form.transform is None or key.form.transform in INVERSES):
                row[key.column] = _stored(key, relation.table, key.column, record, path)
        return row

    def _user(self, row: Row) -> Row:
        number = row.pop("id", None) or self._rows.next_id("users")
        self._rows.user(number, row)
        return {"id": number}

    def _refer(self, relation: Relation, record: Record, row: Row, path: str) -> None:
        """Store the rows that this one refers to, and set the columns that refer to them."""
        derived = dict(relation.derived)
        for child in relation.children:
            if not is_above(child):
                continue
            for nested in nested_records(child, record, path):
                fixed = {own: row[parent] for own, parent in child.join if row.get(parent) is not None}
                target = self.put(child, nested, fixed, f"{path}.{child.name}", shared=True)
                for own, parent in child.join:
                    value = derived.get(parent)
                    if value is None:
                        row[parent] = target[own]
                    elif not isinstance(value, Form) or (value.of and _told(relation, record, value.of, nested)):
                        continue  # it is stored in the row beside
                    elif value.column:
                        row[value.column] = target[own]

    def _number(self, relation: Relation, record: Record, row: Row) -> None:
        """Assign the row its id: the one kept for it, the one that the record names, or the next one."""
        table = relation.table
        if all(column.name != "id" for column in tables()[table]):
            return
        named = row.get("id") or (table in _ID_NAMED_BY and _find(record, _ID_NAMED_BY[table]))
        row["id"] = (
            self.kept_ids.pop(identify(relation, record), None)
            or (named and self._rows.take_id(table, named))
            or self._rows.next_id(table)
        )

    def _nest(self, relation: Relation, record: Record, known: _Shared, path: str) -> None:
        """Store the rows that refer to this one, each nested relation once."""
        for child in relation.children:
            if is_above(child) or child.name not in record or child.name in known.done:
                continue
            known.done.add(child.name)
            fixed = {own: known.row[parent] for own, parent in child.join}
            for nested in nested_records(child, record, path):
                self.put(child, nested, fixed, f"{path}.{child.name}")

    def _put_aside(self, relation: Relation, record: Record, row: Row, path: str) -> None:
        """Store values that are looked up in rows of other tables and are stored only there."""
        nested = {child.table for child in relation.children}
        beside = {row.name: row for row in relation.beside}
        aside: dict[str, Row] = {}
        for key in relation.keys:
            first = key.form.sources[0] if key.form.sources and key.name in record else None
            if isinstance(first, Lookup) and isinstance(first.value, Ref) and first.row.table in nested:
                told = _told(relation, record, Ref(first.value.column, first.row.table), record[key.name])
                if record[key.name] is not None and not told:
                    self.left_out[f"{path}.{key.name} (not that of the nested record)"] += 1
            elif isinstance(first, Ref) and first.row and first.row in beside:
                table = beside[first.row].table
                aside.setdefault(first.row, {})[first.column] = _stored(key, table, first.column, record, path)
        for name, values in aside.items():
            match = {its: row[refs[0].column] for its, refs in beside[name].match}
            self._rows.insert(beside[name].table, {**match, **values})


def identify(relation: Relation, record: Record) -> Identity:
    """Return what identifies the row of a record that may appear in several places."""
    return (relation.table, *(repr(record.get(name)) for name in _IDENTITY.get(relation.table, ())))


def is_above(child: Relation) -> bool:
    """Whether the parent's row refers to this one, not the other way round."""
    return any(own == "id" for own, _ in child.join)


def _told(relation: Relation, record: Record, ref: Ref, value: Any) -> bool:
    """Whether the record of the row beside is nested here and has this value too.

    ref: its column; its row by the name of a row beside, or by its table.
    """
    table = next((row.table for row in relation.beside if row.name == ref.row), ref.row)
    for child in relation.children:
        nested = record.get(child.name)
        if child.table == table and isinstance(nested, dict):
            names = [key.name for key in child.keys if key.column == ref.column]
            names += [below.name for below in child.children for _, parent in below.join if parent == ref.column]
            return any(nested.get(name) == value for name in names)
    return False


def nested_records(child: Relation, record: Record, path: str) -> list[Record]:
    """Return the records of a nested relation: none, one or many. Raises ArchiveBroken if they are not objects."""
    value = record.get(child.name)
    records = [] if value is None else [value] if child.one else value
    if not isinstance(records, list) or not all(isinstance(item, dict) for item in records):
        raise ArchiveBroken(f"{path}.{child.name} is not {'an object' if child.one else 'an array of objects'}")
    return records


def _find(value: Any, key: str) -> int | None:
    """Return the first value of this key in nested records, None if there is none."""
    if isinstance(value, list):
        return next((found for found in (_find(item, key) for item in value) if found), None)
    if not isinstance(value, dict):
        return None
    return value[key] if isinstance(value.get(key), int) else _find(list(value.values()), key)


def _stored(key: Key, table: str, column: str, record: Record, path: str) -> Any:
    """Return the column's value for the record's value of this key."""
    found = next(candidate for candidate in tables()[table] if candidate.name == column)
    try:
        transformed = all(condition.accepts(record.get(condition.column)) for condition in key.form.when)
        return stored(key, found, record[key.name], transformed=transformed)
    except (TypeError, ValueError) as error:
        raise ArchiveBroken(f"{path}.{key.name}: {error}") from error
