"""The facts behind the sample's schema, as GitLab's db/structure.sql declares them (the commit is named in each file).

They are beside the tree `gitlab`, which reads the columns as its reference schema:

    gitlab-columns.tsv      table, column, type, not_null, default
    gitlab-keys.tsv         kind (pk, unique, index, gin, fk), table, name, columns, detail (what follows the columns)
    gitlab-partitions.tsv   table, strategy, partition, bounds

Foreign keys to tables that are not listed (organizations, epics, ...) are left out. Loose foreign keys, which GitLab
enforces in application code, do not exist here either, so ids may dangle as they do there.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from project_export import trees


class Column(NamedTuple):
    """One line of gitlab-columns.tsv; `not_null` and `default` are SQL, empty if there is none."""

    table: str
    name: str
    type: str
    not_null: str
    default: str

    @property
    def serial(self) -> bool:
        """Whether the column gets its value from a sequence."""
        return self.name == "id" and not self.default


class Key(NamedTuple):
    """One line of gitlab-keys.tsv; `columns` and `detail` are SQL."""

    kind: str
    table: str
    name: str
    columns: str
    detail: str

    @property
    def target(self) -> str:
        """The table that a foreign key refers to."""
        return self.detail.partition("(")[0] if self.kind == "fk" else ""


class Partition(NamedTuple):
    """One line of gitlab-partitions.tsv; `strategy` and `bounds` are SQL."""

    table: str
    strategy: str
    name: str
    bounds: str


def columns() -> Iterator[Column]:
    """Yield every column, tables and columns in GitLab's order; partitions are not included."""
    return (Column(*line) for line in _rows("gitlab-columns.tsv"))


def keys() -> Iterator[Key]:
    """Yield every key and index."""
    return (Key(*line) for line in _rows("gitlab-keys.tsv"))


def partitions() -> Iterator[Partition]:
    """Yield every partition of the partitioned tables."""
    return (Partition(*line) for line in _rows("gitlab-partitions.tsv"))


def text(name: str) -> str:
    """Return the text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _rows(name: str) -> Iterator[list[str]]:
    facts = resources.files(trees).joinpath(name).read_text(encoding="utf-8")
    rows = (line.split("\t") for line in facts.splitlines() if not line.startswith("#"))
    next(rows)
    return rows
