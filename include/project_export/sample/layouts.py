"""The schema of different GitLab versions: the facts, changed by layouts.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from project_export.errors import BadRequest, nearest
from project_export.sample import facts
from project_export.sample.facts import Column, Key, Partition

DEFAULT = "19.5"


@dataclass(frozen=True)
class Layout:
    """The tables with their columns in GitLab's order, the keys and the partitions of one version."""

    name: str
    tables: dict[str, tuple[Column, ...]]
    keys: tuple[Key, ...]
    partitions: tuple[Partition, ...]


def names() -> tuple[str, ...]:
    """Return the names of the layouts, the oldest first."""
    return tuple(_differences())


@cache
def layout(name: str = DEFAULT) -> Layout:
    """Return a layout by name; raise BadRequest for an unknown name."""
    if name not in names():
        raise BadRequest(f"The sample has no layout {name!r}; {nearest(name, names())}.")
    built = _Building()
    for difference in _differences()[name]:
        built.apply(difference)
    return Layout(name, built.tables(), tuple(built.keys), tuple(built.partitions))


@cache
def known_columns() -> dict[str, frozenset[str]]:
    """Return the columns that a table has in at least one layout, by table."""
    found: dict[str, set[str]] = {}
    for name in names():
        for table, columns in layout(name).tables.items():
            found.setdefault(table, set()).update(column.name for column in columns)
    return {table: frozenset(columns) for table, columns in found.items()}


def _differences() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(facts.text("layouts.yaml"))
    return found


class _Building:
    """The facts while they become a layout."""

    def __init__(self) -> None:
        self.columns = list(facts.columns())
        self.keys = list(facts.keys())
        self.partitions = list(facts.partitions())

    def tables(self) -> dict[str, tuple[Column, ...]]:
        found: dict[str, list[Column]] = {}
        for column in self.columns:
            found.setdefault(column.table, []).append(column)
        return {table: tuple(columns) for table, columns in found.items()}

    def apply(self, difference: dict[str, Any]) -> None:
        """Apply one entry: each of its attributes except `source` is the name of a change below."""
        for change, content in difference.items():
            if change != "source":
                getattr(self, f"_{change}")(content)

    def _rename_tables(self, new: dict[str, str]) -> None:
        """Rename tables, all at once, so that two can swap names; keys and partitions keep theirs, as in PostgreSQL."""
        self.columns = [column._replace(table=new.get(column.table, column.table)) for column in self.columns]
        self.partitions = [part._replace(table=new.get(part.table, part.table)) for part in self.partitions]
        self.keys = [
            key._replace(
                table=new.get(key.table, key.table),
                detail=key.detail.replace(key.target, new.get(key.target, key.target), 1) if key.target else key.detail,
            )
            for key in self.keys
        ]

    def _drop_tables(self, tables: list[str]) -> None:
        """Drop tables with their keys, their partitions and the foreign keys to them."""
        self._must_exist(tables, {column.table for column in self.columns})
        parts = {part.name for part in self.partitions if part.table in tables}
        gone = {*tables, *parts}
        self.columns = [column for column in self.columns if column.table not in gone]
        self.partitions = [part for part in self.partitions if part.table not in gone]
        self.keys = [key for key in self.keys if key.table not in gone and key.target not in gone]

    def _drop_columns(self, dropped: dict[str, list[str]]) -> None:
        """Drop columns and the keys on them."""
        gone = {(table, name) for table, names in dropped.items() for name in names}
        self._must_exist(gone, {(column.table, column.name) for column in self.columns})
        self.columns = [column for column in self.columns if (column.table, column.name) not in gone]
        self.keys = [
            key
            for key in self.keys
            if not any((key.table, word) in gone for word in re.findall(r"\w+", f"{key.columns} {_condition(key)}"))
        ]

    def _add_tables(self, added: dict[str, dict[str, list[list[str]]]]) -> None:
        """Add tables: `columns` as in gitlab-columns.tsv without the table, `keys` as [kind, name, columns, detail]."""
        for table, content in added.items():
            self.columns += (Column(table, *column) for column in content["columns"])
            self.keys += (Key(kind, table, *rest) for kind, *rest in content["keys"])

    def _drop_keys(self, dropped: list[str]) -> None:
        """Drop keys and indexes by their names."""
        self._must_exist(dropped, {key.name for key in self.keys})
        self.keys = [key for key in self.keys if key.name not in dropped]

    def _add_keys(self, added: list[list[str]]) -> None:
        """Add keys: as in gitlab-keys.tsv."""
        self.keys += (Key(*key) for key in added)

    def _add_columns(self, added: dict[str, list[list[str]]]) -> None:
        """Add columns at the end of their tables: as in gitlab-columns.tsv without the table."""
        self._must_exist(added, {column.table for column in self.columns})
        self.columns += (Column(table, *column) for table, columns in added.items() for column in columns)

    def _not_null(self, required: dict[str, list[str]]) -> None:
        """Declare columns NOT NULL."""
        named = {(table, name) for table, names in required.items() for name in names}
        self._must_exist(named, {(column.table, column.name) for column in self.columns})
        self.columns = [
            column._replace(not_null="not null") if (column.table, column.name) in named else column
            for column in self.columns
        ]

    @staticmethod
    def _must_exist(named: Iterable[object], there: set[Any]) -> None:
        missing = set(named) - there
        assert not missing, f"layouts.yaml names what does not exist: {missing}"


def _condition(key: Key) -> str:
    return key.detail if key.kind != "fk" else ""
