"""The other plan: PostgreSQL nests the records itself with correlated sub-selects, one statement per batch of issues.

What SQL cannot express (serialised values) is done on whole records, if one of their keys may have such a value. A key
that is only exported if there is a row for it is cut out of the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import sql
from psycopg.types.string import ByteaBinaryLoader

from bench.peers.shape import accepted, batches, bound_tree, connect, escaped, last, own, transformed
from project_export.tree import BoundTree, Condition, Form, Key, Relation
from project_export.tree.forms import Scalar
from project_export.tree.transforms import TRANSFORMS

BATCH = 1000
_FORMS = {
    "timestamp": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    "timestamptz": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    "bytea": "encode({}, 'hex')",
}


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues in batches of 1000."""
    with connect(uri) as conn:
        conn.adapters.register_loader("text", ByteaBinaryLoader)
        bound = bound_tree(conn)
        issues = bound.relation("issues")
        query = sql.SQL(
            "SELECT (SELECT row_to_json(r) FROM (SELECT {}) AS r)::text"
            " FROM unnest(%s::int8[]) WITH ORDINALITY AS k(id, n) JOIN issues AS t0 USING (id) ORDER BY k.n"
        ).format(_keys(issues, bound, 0))
        absent = [f',"{relation.name}":null'.encode() for _, relation in issues.walk() if relation.one]
        marks = {f'"{name}":['.encode() for _, relation in issues.walk() for name in _transforming(relation)}
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
    behind = last(relation)
    values = {key.name: _value(key, types, depth) for key in relation.keys}
    columns = {name: value for name, value in values.items() if name not in behind}
    columns |= {child.name: _nested(child, bound, depth) for child in relation.children}
    columns |= {name: values[name] for name in behind}
    keys = [sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in columns.items()]
    return sql.SQL(", ").join(keys)


def _nested(child: Relation, bound: BoundTree, depth: int) -> sql.Composable:
    ((own, parent),) = child.join
    inner = _alias(depth + 1)
    joined = sql.SQL("{}.{} = {}.{}").format(inner, sql.Identifier(own), _alias(depth), sql.Identifier(parent))
    conditions = [joined, _where(child.where, depth + 1)]
    record = sql.SQL("row_to_json((SELECT r FROM (SELECT {}) AS r))").format(_keys(child, bound, depth + 1))
    columns = sql.SQL(", ").join(sql.SQL("{}.{}").format(inner, sql.Identifier(order.column)) for order in child.order)
    order = sql.SQL(" ORDER BY {}").format(columns) if child.order else sql.SQL("")
    found = sql.SQL("{} AS {} WHERE {}").format(sql.Identifier(child.table), inner, sql.SQL(" AND ").join(conditions))
    if child.one:
        return sql.SQL("(SELECT {} FROM {}{} LIMIT 1)").format(record, found, order)
    return sql.SQL("(SELECT coalesce(json_agg({}{}), '[]'::json) FROM {})").format(record, order, found)


def _value(key: Key, types: dict[str, str], depth: int) -> sql.Composable:
    value = _form(key.form, types, depth)
    if key.cases:
        whens = [
            sql.SQL("WHEN {} THEN to_json({})").format(_where(when, depth), _form(form, types, depth))
            for when, form in key.cases
        ]
        value = sql.SQL("CASE {} ELSE to_json({}) END").format(sql.SQL(" ").join(whens), value)
    return value if key.wrap is None else sql.SQL("json_build_object({}, {})").format(sql.Literal(key.wrap), value)


def _form(form: Form, types: dict[str, str], depth: int) -> sql.Composable:
    """Return a value; if it needs a transform, an array of the transform's name and the value."""
    if form.constant is not None:
        return sql.SQL("{}::json").format(sql.Literal(form.constant))
    columns = [(own(source), _column(own(source), depth)) for source in form.sources]
    formed = [sql.SQL(_FORMS.get(types[name], "{}")).format(column) for name, column in columns]
    value = formed[0] if len(formed) == 1 else sql.SQL("coalesce({})").format(sql.SQL(", ").join(formed))
    if form.enum is not None:
        whens = [
            sql.SQL("WHEN {} THEN {}").format(sql.Literal(code), sql.Literal(name))
            for code, name in form.enum.names
            if code is not None
        ]
        value = sql.SQL("CASE {} {} END").format(value, sql.SQL(" ").join(whens))
    if form.trim:
        value = sql.SQL("btrim({}, E' \\t\\n\\v\\f\\r')").format(value)
    if form.default is not None:
        value = sql.SQL("coalesce({}, {})").format(value, sql.Literal(json.loads(form.default)))
    if form.transform is not None:
        due = _where(form.when, depth)
        if not TRANSFORMS[form.transform].of_null:
            due = sql.SQL("{} AND {} IS NOT NULL").format(due, value)
        value = sql.SQL("CASE WHEN {0} THEN json_build_array({1}, {2}) ELSE to_json({2}) END").format(
            due, sql.Literal(form.transform), value
        )
    return value


def _where(conditions: Iterable[Condition], depth: int) -> sql.Composable:
    tests: list[sql.Composable] = [sql.SQL("true")]
    for name, values in accepted(conditions):
        column = _column(name, depth)
        if None in values:
            tests.append(sql.SQL("({0} = ANY({1}) OR {0} IS NULL)").format(column, sql.Literal(_stated(values))))
        else:
            tests.append(sql.SQL("{} = ANY({})").format(column, sql.Literal(values)))
    return sql.SQL(" AND ").join(tests)


def _stated(values: Iterable[Scalar]) -> list[Scalar]:
    return [value for value in values if value is not None] or [""]


def _column(name: str, depth: int) -> sql.Composable:
    return sql.SQL("{}.{}").format(_alias(depth), sql.Identifier(name))


def _alias(depth: int) -> sql.Identifier:
    return sql.Identifier(f"t{depth}")


def _transformed(line: bytes, issues: Relation) -> bytes:
    record = json.loads(line)
    _transform(record, issues)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _transform(record: dict[str, Any], relation: Relation) -> None:
    for name in _transforming(relation):
        if isinstance(record[name], list):
            transform, value = record[name]
            record[name] = transformed(TRANSFORMS[transform], value)
    for child in relation.children:
        nested = record.get(child.name, [])
        for one in [nested] if child.one and nested else nested:
            _transform(one, child)


def _transforming(relation: Relation) -> list[str]:
    return [key.name for key in relation.keys if any(form.transform for form in key.forms)]
