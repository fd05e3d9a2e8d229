"""The other plan: PostgreSQL nests the records itself, by correlated sub-selects, one statement per batch of issues.

What SQL cannot say (serialised values) is done on whole records, where one of their keys may hold such a value. A key
that leaves only when there is a row for it is taken out as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from psycopg import sql
from psycopg.types.string import ByteaBinaryLoader

from bench.peers.shape import batches, bound_tree, connect, escaped
from project_export.tree import BoundTree, Key, Relation
from project_export.tree.transforms import TRANSFORMS

BATCH = 1000
_FORMS = {
    "timestamp": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    "timestamptz": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    "bytea": "encode({}, 'hex')",
}


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues by batches of 1000."""
    with connect(uri) as conn:
        conn.adapters.register_loader("text", ByteaBinaryLoader)
        bound = bound_tree(conn)
        issues = bound.relation("issues")
        query = sql.SQL(
            "SELECT (SELECT row_to_json(r) FROM (SELECT {}) AS r)::text"
            " FROM unnest(%s::int8[]) WITH ORDINALITY AS k(id, n) JOIN issues AS t0 USING (id) ORDER BY k.n"
        ).format(_keys(issues, bound, 0))
        absent = [f',"{relation.name}":null'.encode() for _, relation in issues.walk() if relation.one]
        marks = {f'"{key.name}":"'.encode() for _, relation in issues.walk() for key in relation.keys if key.transform}
        with conn.cursor() as cursor:
            for ids in batches(conn, BATCH, every):
                lines = []
                for (line,) in cursor.stream(query, [ids], binary=True):
                    for key in absent:
                        line = line.replace(key, b"")
                    lines.append(_transformed(line, issues) if any(mark in line for mark in marks) else line)
                yield escaped(b"\n".join([*lines, b""]))


def _keys(relation: Relation, bound: BoundTree, depth: int) -> sql.Composable:
    types = dict(bound.catalogue[relation.table])
    keys = [sql.SQL("{} AS {}").format(_value(key, types, depth), sql.Identifier(key.name)) for key in relation.keys]
    keys += [
        sql.SQL("{} AS {}").format(_nested(child, bound, depth), sql.Identifier(child.name))
        for child in relation.children
    ]
    return sql.SQL(", ").join(keys)


def _nested(child: Relation, bound: BoundTree, depth: int) -> sql.Composable:
    ((own, parent),) = child.join
    inner = _alias(depth + 1)
    conditions = [sql.SQL("{}.{} = {}.{}").format(inner, sql.Identifier(own), _alias(depth), sql.Identifier(parent))]
    for column, accepted in child.where:
        values = sql.Literal(list(accepted))
        conditions.append(sql.SQL("{}.{} = ANY({})").format(inner, sql.Identifier(column), values))
    record = sql.SQL("row_to_json((SELECT r FROM (SELECT {}) AS r))").format(_keys(child, bound, depth + 1))
    columns = sql.SQL(", ").join(sql.SQL("{}.{}").format(inner, sql.Identifier(order.column)) for order in child.order)
    order = sql.SQL(" ORDER BY {}").format(columns) if child.order else sql.SQL("")
    found = sql.SQL("{} AS {} WHERE {}").format(sql.Identifier(child.table), inner, sql.SQL(" AND ").join(conditions))
    if child.one:
        return sql.SQL("(SELECT {} FROM {}{} LIMIT 1)").format(record, found, order)
    return sql.SQL("(SELECT coalesce(json_agg({}{}), '[]'::json) FROM {})").format(record, order, found)


def _value(key: Key, types: dict[str, str], depth: int) -> sql.Composable:
    if key.constant is not None:
        return sql.SQL("{}::json").format(sql.Literal(key.constant))
    assert key.column is not None
    column = sql.SQL("{}.{}").format(_alias(depth), sql.Identifier(key.column))
    if key.enum is not None:
        whens = [
            sql.SQL("WHEN {} THEN {}").format(sql.Literal(code), sql.Literal(name))
            for code, name in key.enum.names
            if code is not None
        ]
        value = sql.SQL("CASE {} {} END").format(column, sql.SQL(" ").join(whens))
        return value if key.wrap is None else sql.SQL("json_build_object({}, {})").format(sql.Literal(key.wrap), value)
    value = sql.SQL(_FORMS.get(types[key.column], "{}")).format(column)
    if key.default is None:
        return value
    return sql.SQL("coalesce({}, {})").format(value, sql.Literal(json.loads(key.default)))


def _alias(depth: int) -> sql.Identifier:
    return sql.Identifier(f"t{depth}")


def _transformed(line: bytes, issues: Relation) -> bytes:
    record = json.loads(line)
    _transform(record, issues)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _transform(record: dict[str, Any], relation: Relation) -> None:
    for key in relation.keys:
        if key.transform is not None and record[key.name] is not None:
            record[key.name] = TRANSFORMS[key.transform](record[key.name])
    for child in relation.children:
        nested = record.get(child.name, [])
        for one in [nested] if child.one and nested else nested:
            _transform(one, child)
