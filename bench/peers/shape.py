"""What the peers that build records in Python share: a tree's relation → a function from column values to a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from bench import PROJECT_ID
from project_export.tree import BoundTree, Key, Relation, bind, load, tables
from project_export.tree.transforms import TRANSFORMS

_ESCAPES = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    b"\xe2\x80\xa8": rb"\u2028",
    b"\xe2\x80\xa9": rb"\u2029",
}
_CATALOGUE = """
    SELECT table_name::text, column_name::text, udt_name::text FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = ANY(%s)
"""


class Shape:
    """A relation's records. columns: what to select, in order; join, links: see Relation."""

    def __init__(self, relation: Relation, types: dict[str, str]) -> None:
        if any(key.lookup or key.parameter or key.when for key in relation.keys) or relation.derived:
            raise NotImplementedError(f"{relation.name}: only plain columns, enums and transforms are known here")
        self.relation = relation
        used = [key.column for key in relation.keys if key.column is not None]
        self.columns = tuple(dict.fromkeys([*(own for own, _ in relation.join), *relation.links, *used]))
        self._keys = [(key.name, self.columns.index(key.column)) for key in relation.keys if key.column is not None]
        converters = [(key.name, _converter(key, types[key.column])) for key in relation.keys if key.column is not None]
        self._converters = [(name, convert) for name, convert in converters if convert is not None]
        self._constants = {key.name: json.loads(key.constant) for key in relation.keys if key.constant is not None}
        self._order = [key.name for key in relation.keys] if self._constants else None

    def at(self, column: str) -> int:
        """Return a column's place in the values."""
        return self.columns.index(column)

    def record(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the record of a row, without what is nested in it."""
        record = {name: values[at] for name, at in self._keys}
        for name, convert in self._converters:
            record[name] = convert(record[name])
        if self._order is not None:
            record.update(self._constants)
            record = {name: record[name] for name in self._order}
        return record


def _converter(key: Key, type_name: str) -> Callable[[Any], Any] | None:
    if key.enum is not None:
        names = dict(key.enum.names)
        if key.wrap is not None:
            wrap = key.wrap
            return lambda code: {wrap: names.get(code)}
        return names.get
    if key.transform is not None:
        transform = TRANSFORMS[key.transform]
        return lambda value: value if value is None else transform(value)
    if type_name == "timestamp":
        return lambda value: value if value is None else value.isoformat(timespec="milliseconds") + "Z"
    if type_name == "timestamptz":
        return lambda value: value if value is None else value.isoformat(timespec="milliseconds")[:-6] + "Z"
    if type_name == "bytea":
        return lambda value: value if value is None else value.hex()
    if key.default is not None:
        default = json.loads(key.default)
        return lambda value: default if value is None else value
    return None


def connect(uri: str) -> psycopg.Connection[Any]:
    """Open a session as an exporter's: read only, one snapshot, UTC, no JIT."""
    conn = psycopg.connect(uri, options="-c TimeZone=UTC -c jit=off")
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.read_only = True
    return conn


def bound_tree(conn: psycopg.Connection[Any]) -> BoundTree:
    """Return GitLab's tree, bound to this database."""
    tree = load("gitlab")
    catalogue: dict[str, dict[str, str]] = {}
    for table, column, type_name in conn.execute(_CATALOGUE, [sorted(tables(tree))]):
        catalogue.setdefault(table, {})[column] = type_name
    return bind(tree, catalogue)


def batches(conn: psycopg.Connection[Any], size: int, every: int) -> Iterator[list[int]]:
    """Yield the ids of the project's issues, or of one of every so many, in export order."""
    query = "SELECT id FROM issues WHERE project_id = %s ORDER BY relative_position NULLS LAST, id"
    ids = [row[0] for row in conn.execute(query, [PROJECT_ID])][::every]
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def under(relation: Relation) -> Iterator[tuple[tuple[Relation, ...], sql.Composable]]:
    """Yield the path to each relation under the project, and the condition on its table that its rows fulfil."""
    ((own, _),) = relation.join
    condition = sql.SQL("{} = {}").format(sql.Identifier(own), sql.Literal(PROJECT_ID))
    yield from _under((relation,), condition)


def _under(
    path: tuple[Relation, ...], condition: sql.Composable
) -> Iterator[tuple[tuple[Relation, ...], sql.Composable]]:
    yield path, condition
    for child in path[-1].children:
        ((own, parent),) = child.join
        conditions = [
            sql.SQL("{} IN (SELECT {} FROM {} WHERE {})").format(
                sql.Identifier(own), sql.Identifier(parent), sql.Identifier(path[-1].table), condition
            )
        ]
        for column, accepted in child.where:
            conditions.append(sql.SQL("{} = ANY({})").format(sql.Identifier(column), sql.Literal(list(accepted))))
        yield from _under((*path, child), sql.SQL(" AND ").join(conditions))


def escaped(data: bytes) -> bytes:
    """Escape what Rails escapes."""
    for raw, escape in _ESCAPES.items():
        data = data.replace(raw, escape)
    return data
