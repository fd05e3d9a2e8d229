"""A relation of a bound tree → one SQL statement: all its rows under a set of parents, each as JSON text.

    COPY (SELECT join columns, link columns, flags, row_to_json(record) FROM table WHERE join IN keys) TO STDOUT

The join and link columns leave as text, so that integers of different widths compare equal in the client. Names are
composed as identifiers, values are bound. A flag bit per key tells the client where a transform or a look is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from project_export.tree import Catalogue, Key, Lookup, Order, Relation

_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'  # .MS truncates microseconds, as GitLab does
_JSON_TYPES = ("json", "jsonb")
_T = sql.Identifier("t")


Due = tuple[int, str, str, str | None]


@dataclass(frozen=True)
class Select:
    """A relation's statement and what its rows are made of: join values, link values, flags (if any), record.

    join, links: the columns or derived names of these values. transforms: (bit, key, transform name, JSON text that
    stands for a transformed null). unknown: (bit, key) whose enum code has no name.
    """

    query: sql.Composed
    params: dict[str, Any]
    join: tuple[str, ...]
    links: tuple[str, ...]
    transforms: tuple[Due, ...]
    unknown: tuple[tuple[int, str], ...]

    @property
    def join_width(self) -> int:
        """Number of join columns."""
        return len(self.join)

    @property
    def flagged(self) -> bool:
        """Whether rows carry flags."""
        return bool(self.transforms or self.unknown)

    @property
    def types(self) -> list[str]:
        """Types of the row's columns for reading: text is read as the bytes it is."""
        return ["bytea"] * (self.join_width + len(self.links)) + ["int8"] * self.flagged + ["bytea"]

    def bind(self, keys: Sequence[tuple[bytes, ...]]) -> dict[str, Any]:
        """Return the parameters for these join values."""
        columns = {f"key{i}": [key[i].decode() for key in keys] for i in range(self.join_width)}
        return {**self.params, **columns}


@dataclass
class _Params:
    """Collects values and gives placeholders for them."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any) -> sql.Placeholder:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


def select_children(relation: Relation, catalogue: Catalogue) -> Select:
    """Return the statement for all rows of a nested relation under given parents, in the relation's order."""
    return _select(relation, catalogue, tuple(own for own, _ in relation.join), ordered=True)


def select_by_key(relation: Relation, catalogue: Catalogue) -> Select:
    """Return the statement for rows of a top-level relation by their own key; their order is the caller's."""
    return _select(relation, catalogue, relation.key, ordered=False)


def page_keys(
    relation: Relation, catalogue: Catalogue, parent: Sequence[bytes], *, offset: int, limit: int | None
) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the query for the keys of a top-level relation under one parent, in order, as text columns.

    The key decides among equal rows, so that the parts of a relation, which are read by offset, never overlap.
    The condition is materialised before the rows are ordered: with a LIMIT over a primary key the planner would walk
    the whole table instead.
    """
    params = _Params()
    types = catalogue[relation.table]
    columns = list(dict.fromkeys((*relation.key, *(order.column for order in relation.order))))
    query = sql.SQL(
        "WITH rows AS MATERIALIZED (SELECT {columns} FROM {table} AS t WHERE {where})"
        " SELECT {keys} FROM rows AS t ORDER BY {order} OFFSET {offset} LIMIT {limit}"
    ).format(
        columns=_comma([_column(column) for column in columns]),
        table=sql.Identifier(relation.table),
        where=_parent_is(relation, types, parent, params),
        keys=_comma([_text(_column(column)) for column in relation.key]),
        order=_comma([*(_order(order) for order in relation.order), *(_column(column) for column in relation.key)]),
        offset=params(offset),
        limit=params(limit),
    )
    return query, params.values


def count_rows(
    relation: Relation, catalogue: Catalogue, parent: Sequence[bytes]
) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the query for the number of rows of a top-level relation under one parent."""
    params = _Params()
    where = _parent_is(relation, catalogue[relation.table], parent, params)
    query = sql.SQL("SELECT count(*) FROM {table} AS t WHERE {where}")
    return query.format(table=sql.Identifier(relation.table), where=where), params.values


def _select(relation: Relation, catalogue: Catalogue, join: tuple[str, ...], *, ordered: bool) -> Select:
    params = _Params()
    types = catalogue[relation.table]
    derived = dict(relation.derived)
    links = [
        _lookup(derived[link], types, catalogue, formed=False) if link in derived else _column(link)
        for link in relation.links
    ]
    shaped = [_Shaped(key, types, catalogue, params) for key in relation.keys]
    flags, transforms, unknown = _flags(shaped)
    outputs = [_text(_column(column)) for column in join] + [_text(link) for link in links] + flags
    arrays = [
        sql.SQL("{}::text[]::{}[]").format(sql.Placeholder(f"key{i}"), sql.Identifier(types[column]))
        for i, column in enumerate(join)
    ]
    where = _conditions(relation, params)
    source: sql.Composable = sql.SQL("{} AS t").format(sql.Identifier(relation.table))
    if len(join) == 1:
        where.insert(0, sql.SQL("{} = ANY({})").format(_column(join[0]), arrays[0]))
    else:
        names = [sql.Identifier(f"k{i}") for i in range(len(join))]
        equal = [sql.SQL("{} = k.{}").format(_column(column), name) for column, name in zip(join, names, strict=True)]
        source = sql.SQL("unnest({}) AS k({}) JOIN {} ON {}").format(
            _comma(arrays), _comma(names), source, sql.SQL(" AND ").join(equal)
        )
    distinct: sql.Composable = sql.SQL("")
    order: sql.Composable = sql.SQL("")
    if ordered and relation.order:
        keys = [_column(column) for column in join]
        order = sql.SQL(" ORDER BY {}").format(_comma([*keys, *(_order(o) for o in relation.order)]))
        if relation.one:
            distinct = sql.SQL("DISTINCT ON ({}) ").format(_comma(keys))
    query = sql.SQL("COPY (SELECT {}{} FROM {}{}{}) TO STDOUT (FORMAT binary)").format(
        distinct,
        _comma([*outputs, _record(shaped)]),
        source,
        sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(where)) if where else sql.SQL(""),
        order,
    )
    return Select(query, params.values, join, relation.links, transforms, unknown)


class _Shaped:
    """One key as SQL: the expression that leaves, and the conditions under which the client has to look at it."""

    def __init__(self, key: Key, types: Any, catalogue: Catalogue, params: _Params) -> None:
        self.key = key
        self.transform = key.transform
        self.transform_if: sql.Composable | None = None
        self.unknown_if: sql.Composable | None = None
        if key.constant is not None:
            self.expression: sql.Composable = sql.SQL("{}::json").format(params(key.constant))
            return
        if key.lookup is not None:
            raw = _lookup(key.lookup, types, catalogue, formed=key.enum is None)
            type_name = catalogue[key.lookup.table][key.lookup.column]
        else:
            assert key.column is not None
            raw, type_name = _column(key.column), types[key.column]
        expression = raw if key.enum or key.lookup else _formed(raw, type_name)
        if key.enum is not None:
            codes = [(code, name) for code, name in key.enum.names if code is not None]
            null = [name for code, name in key.enum.names if code is None]
            whens = [sql.SQL("WHEN {} THEN {}").format(params(code), params(name)) for code, name in codes]
            expression = sql.SQL("CASE {} {} END").format(raw, sql.SQL(" ").join(whens))
            if null:
                expression = sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END").format(
                    raw, params(null[0]), expression
                )
            known = _comma([params(code) for code, _ in codes])
            self.unknown_if = sql.SQL("{} NOT IN ({})").format(raw, known)
        if key.wrap is not None:
            expression = sql.SQL("(SELECT row_to_json(w) FROM (SELECT {} AS {}) AS w)").format(
                expression, sql.Identifier(key.wrap)
            )
        if self.transform is None and type_name in _JSON_TYPES:
            self.transform = "compact"
        if self.transform is not None:
            self.transform_if = sql.SQL("{} IS NOT NULL").format(raw)
            if key.when is not None:
                self.transform_if = sql.SQL("({} AND {})").format(self.transform_if, _column(key.when))
        if key.default is not None:
            expression = sql.SQL("coalesce(to_json({}), {}::json)").format(expression, params(key.default))
        self.expression = expression


def _record(shaped: Sequence[_Shaped]) -> sql.Composable:
    if not shaped:
        return sql.SQL("'{}'::text")
    values = [sql.SQL("{} AS {}").format(s.expression, sql.Identifier(s.key.name)) for s in shaped]
    return sql.SQL("row_to_json((SELECT r FROM (SELECT {}) AS r))::text").format(_comma(values))


def _flags(
    shaped: Sequence[_Shaped],
) -> tuple[list[sql.Composable], tuple[Due, ...], tuple[tuple[int, str], ...]]:
    terms: list[sql.Composable] = []
    transforms: list[Due] = []
    unknown: list[tuple[int, str]] = []
    for item in shaped:
        for condition in (item.transform_if, item.unknown_if):
            if condition is None:
                continue
            bit = 1 << len(terms)
            terms.append(sql.SQL("CASE WHEN {} THEN {} ELSE 0 END").format(condition, sql.Literal(bit)))
            if condition is item.transform_if and item.transform is not None:
                transforms.append((bit, item.key.name, item.transform, item.key.default))
            else:
                unknown.append((bit, item.key.name))
    flags: list[sql.Composable] = [sql.SQL("({})::int8").format(sql.SQL(" + ").join(terms))] if terms else []
    return flags, tuple(transforms), tuple(unknown)


def _formed(expression: sql.Composable, type_name: str) -> sql.Composable:
    """Return the expression in the form in which values of this type leave; row_to_json does the others."""
    if type_name == "bytea":
        return sql.SQL("encode({}, 'hex')").format(expression)
    if type_name in ("timestamp", "timestamptz"):
        return sql.SQL("to_char({}, {})").format(expression, sql.Literal(_ISO))
    if type_name in ("float4", "float8", "numeric"):
        return sql.SQL("CASE WHEN {0} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {0} END").format(expression)
    return expression


def _lookup(lookup: Lookup, types: Any, catalogue: Catalogue, *, formed: bool) -> sql.Composable:
    if not lookup.table:
        return _column(lookup.column)
    other = sql.Identifier("l")
    value: sql.Composable = sql.SQL("{}.{}").format(other, sql.Identifier(lookup.column))
    if formed:
        value = _formed(value, catalogue[lookup.table][lookup.column])
    match = [sql.SQL("{}.{} = {}").format(other, sql.Identifier(a), _column(b)) for a, b in lookup.match]
    found = sql.SQL("(SELECT {} FROM {} AS {} WHERE {})").format(
        value, sql.Identifier(lookup.table), other, sql.SQL(" AND ").join(match)
    )
    if lookup.fallback is None:
        return found
    own = _column(lookup.fallback)
    return sql.SQL("coalesce({}, {})").format(found, _formed(own, types[lookup.fallback]) if formed else own)


def _parent_is(relation: Relation, types: Any, parent: Sequence[bytes], params: _Params) -> sql.Composable:
    equal = [
        sql.SQL("{} = {}::text::{}").format(_column(own), params(value.decode()), sql.Identifier(types[own]))
        for (own, _), value in zip(relation.join, parent, strict=True)
    ]
    return sql.SQL(" AND ").join([*equal, *_conditions(relation, params)])


def _conditions(relation: Relation, params: _Params) -> list[sql.Composable]:
    conditions: list[sql.Composable] = []
    for column, accepted in relation.where:
        values = [value for value in accepted if value is not None]
        either: list[sql.Composable] = []
        if values:
            either.append(sql.SQL("{} IN ({})").format(_column(column), _comma([params(value) for value in values])))
        if None in accepted:
            either.append(sql.SQL("{} IS NULL").format(_column(column)))
        conditions.append(sql.SQL("({})").format(sql.SQL(" OR ").join(either)))
    return conditions


def _order(order: Order) -> sql.Composable:
    form = "{}" + " DESC" * order.descending + " NULLS LAST" * order.nulls_last
    return sql.SQL(form).format(_column(order.column))


def _column(name: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(_T, sql.Identifier(name))


def _text(expression: sql.Composable) -> sql.Composable:
    return sql.SQL("({})::text").format(expression)


def _comma(items: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(items)
