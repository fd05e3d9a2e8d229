"""Relations ready to be read: their statements, the layout of their rows, what they add to their parents' records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, cast

from project_export.coders import exact
from project_export.errors import SourceRefused
from project_export.source.dues import Dues
from project_export.source.sql import Select, Statements
from project_export.tree import Relation

Value = bytes | tuple[bytes, ...] | None
"""What joins a row to its parent: one column's value bare, several as a tuple."""


class Node:
    """A relation ready to be read: its statement and the layout of its rows.

    last: keys that come after the nested relations. bare: whether no key comes before them. flags_at: the index of the
    flags in a row. parameters, parameters_after: keys that a parameter may replace, before and after the nested
    relations.
    """

    def __init__(self, relation: Relation, statements: Statements, select: Select, path: str | None = None) -> None:
        self.relation = relation
        self.path = path or relation.name
        self.described = f"{self.path} of table {relation.table}"
        self.select = select
        self.last = [key.name for key in relation.keys if key.last] if relation.children else []
        self.bare = len(self.last) == len(relation.keys)
        self.flags_at = -3 if self.last else -2
        last = set(self.last)
        replaced = [key for key in relation.keys if key.parameter]
        self.parameters = [key for key in replaced if key.name not in last]
        self.parameters_after = [key for key in replaced if key.name in last]
        self.due = Dues([due for due in select.transforms if due[1] not in last])
        self.due_after = Dues([due for due in select.transforms if due[1] in last])
        self.children = [Child(child, self, statements) for child in relation.children]

    @property
    def reordered(self) -> bool:
        """Whether the export order may differ from the order of the keys."""
        columns = tuple(order.column for order in self.relation.order)
        return bool(columns) and columns != self.relation.key[: len(columns)]

    def joins(self, rows: Sequence[tuple[Any, ...]]) -> list[Value]:
        """Return the values that join rows to their parents, or the rows' own keys: bare if they have one column."""
        width = self.select.join_width
        return [row[0] for row in rows] if width == 1 else [row[:width] for row in rows]

    def keys(self, values: Sequence[Value]) -> Sequence[tuple[bytes, ...]]:
        """Return such values as keys of a statement."""
        return cast("Sequence[tuple[bytes, ...]]", values if self.select.join_width > 1 else [(v,) for v in values])

    def refused(self, keys: int, rows: int) -> SourceRefused:
        """Return the error for keys that do not find one row each."""
        message = f"{self.path}: {keys} keys ({', '.join(self.relation.key)}) find {rows} rows"
        return SourceRefused(f"{message} of {self.relation.table}. Give the relation a key that identifies its rows.")

    def row_described(self, row: tuple[Any, ...]) -> str:
        """Describe a row for a message, by its join and link values."""
        values = dict(zip((*self.select.join, *self.select.links), row, strict=False))
        return ", ".join(f"{name} {value.decode()}" for name, value in values.items() if value is not None)


class Child:
    """A nested relation under its parent's rows.

    nodes: itself, then its successors. varies: whether what it adds without a row depends on the join value.
    joins_key: whether the keys by which the parent's rows are found are all that joins it.
    """

    def __init__(self, relation: Relation, parent: Node, statements: Statements) -> None:
        self.nodes: list[Node] = []
        source: Relation | None = relation
        while source is not None:
            select = statements.children(source)
            self.nodes.append(Node(source, statements, select, f"{parent.path}.{relation.name}"))
            source = source.successor
        self._one = relation.one
        self.opening = b"," + exact.write(relation.name) + (b":" if relation.one else b":[")
        self.closing = b"" if relation.one else b"]"
        self._nothing = b""
        if relation.default is not None:
            self._nothing = self.opening + _without_row(relation, dict(relation.default))
        self.varies = bool(relation.instead)
        self._instead: dict[Value, bytes] = {
            str(value).encode(): self.opening + text.encode() for value, text in relation.instead
        }
        first = parent.select.join_width
        links = [link for _, link in relation.join]
        self._at = [first + parent.select.links.index(link) for link in links]
        derived = {name for name, _ in parent.relation.derived}
        self.joins_key = not derived.intersection(links) and set(links) <= set(parent.select.join)
        self._in_key = [parent.select.join.index(link) for link in links] if self.joins_key else []

    def values(self, rows: Sequence[tuple[Any, ...]]) -> list[Value]:
        """Return the values by which rows of the parent are joined; None for a row without one."""
        return _joined(rows, self._at)

    def values_of_keys(self, keys: Sequence[tuple[bytes, ...]]) -> list[Value]:
        """Return the same for the keys by which the parent's rows are found, if it `joins_key`."""
        return _joined(keys, self._in_key)

    def each(self, added: Mapping[Value, bytes], values: Sequence[Value]) -> list[bytes]:
        """Return what is added to each row's document. added: by the value that joins; values: those of the rows."""
        return list(map(added.get, values, repeat(self.added([]))))

    def added(self, documents: Sequence[bytes], value: Value = None) -> bytes:
        """Return what the documents that are joined by the value add to their parent's."""
        if not self._one:
            return b"".join((self.opening, b",".join(documents), b"]"))
        return self.opening + documents[0] if documents else self._instead.get(value, self._nothing)


def _joined(rows: Sequence[tuple[Any, ...]], at: Sequence[int]) -> list[Value]:
    """Return the values at these places of rows, bare if there is one place; None for a row without one of them."""
    if len(at) == 1:
        (place,) = at
        return [row[place] for row in rows]
    values = [tuple(row[place] for place in at) for row in rows]
    return [None if None in value else value for value in values]


def _without_row(relation: Relation, given: Mapping[str, str]) -> bytes:
    """Return the document that is exported if a relation has no row."""
    own = {key: given.get(key.name, "null") for key in relation.keys}
    texts = [(key.name, text) for key, text in own.items() if not key.last]
    texts += [(child.name, "[]") for child in relation.children if not child.one]
    texts += [(key.name, text) for key, text in own.items() if key.last]
    return b"{" + b",".join(exact.write(name) + b":" + text.encode() for name, text in texts) + b"}"
