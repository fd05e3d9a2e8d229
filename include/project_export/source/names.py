"""Names, values and orders as SQL: names become identifiers, values are bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from project_export.tree import Order

ROW = sql.Identifier("t")
"""The alias of a relation's table in its statements."""


@dataclass
class Params:
    """Collects values and returns placeholders for them."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any) -> sql.Placeholder:
        """Return the placeholder of a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


def named(name: str) -> sql.Identifier:
    """Return a quoted name. psycopg would read a % as a placeholder, even in quotes."""
    return sql.Identifier(name.replace("%", "%%"))


def column(name: str, row: sql.Identifier = ROW) -> sql.Composable:
    """Return a column of a table's alias, by default `t`."""
    return sql.SQL("{}.{}").format(row, named(name))


def ordered(orders: Sequence[Order], row: sql.Identifier = ROW) -> list[sql.Composable]:
    """Return the terms of ORDER BY."""
    return [directed(column(order.column, row), order) for order in orders]


def directed(value: sql.Composable, order: Order) -> sql.Composable:
    """Return a value with an order's direction."""
    return sql.SQL("{}" + " DESC" * order.descending + " NULLS LAST" * order.nulls_last).format(value)


def comma(items: Sequence[sql.Composable]) -> sql.Composable:
    """Join with commas."""
    return sql.SQL(", ").join(items)


def every(items: Sequence[sql.Composable]) -> sql.Composable:
    """Join with AND."""
    return sql.SQL(" AND ").join(items)
