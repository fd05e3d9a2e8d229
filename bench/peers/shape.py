"""Shared by the peers that build records in Python: turns a relation into a function from column values to records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from bench import PROJECT_ID
from project_export.tree import BoundTree, Condition, Form, Key, Ref, Relation, bind, load, tables
from project_export.tree.forms import Scalar, Source
from project_export.tree.transforms import TRANSFORMS, Noted, Transform

_ESCAPES = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    b"\xe2\x80\xa8": rb"\u2028",
    b"\xe2\x80\xa9": rb"\u2029",
}
_FORMATS: dict[str, Callable[[Any], Any]] = {
    "timestamp": lambda value: value.isoformat(timespec="milliseconds") + "Z",
    "timestamptz": lambda value: value.isoformat(timespec="milliseconds")[:-6] + "Z",
    "bytea": lambda value: value.hex(),
}
STRIPPED = " \t\n\v\f\r"
"""White space that is trimmed."""
_CATALOGUE = """
    SELECT table_name::text, column_name::text, udt_name::text FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = ANY(%s)
"""


class Shape:
    """Builds a relation's records. columns: the columns to select, in order; last: see `last`."""

    def __init__(self, relation: Relation, types: dict[str, str]) -> None:
        if any(key.parameter or key.elsewhere for key in relation.keys) or relation.derived or relation.beside:
            raise NotImplementedError(f"{relation.name}: only the relation's own columns are supported here")
        self.relation = relation
        self.last = last(relation)
        used = [name for key in relation.keys for name in read(key)]
        self.columns = tuple(dict.fromkeys([*(own for own, _ in relation.join), *relation.links, *used]))
        self._keys = [(key.name, self.columns.index(key.column or self.columns[0])) for key in relation.keys]
        makers = [(key.name, _maker(key, self.columns, types)) for key in relation.keys]
        self._makers = [(name, make) for name, make in makers if make is not None]

    def at(self, column: str) -> int:
        """Return the index of a column in the values."""
        return self.columns.index(column)

    def record(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the record of a row, without nested records."""
        record = {name: values[at] for name, at in self._keys}
        for name, make in self._makers:
            record[name] = make(values)
        return record

    def close(self, record: dict[str, Any]) -> None:
        """Move the keys that come after nested records to the end of a record."""
        for name in self.last:
            record[name] = record.pop(name)


def last(relation: Relation) -> list[str]:
    """Return the keys that come after nested records."""
    return [key.name for key in relation.keys if key.last] if relation.children else []


def read(key: Key) -> Iterator[str]:
    """Yield the relation's own columns that a key's value comes from."""
    for when, form in [*key.cases, ((), key.form)]:
        yield from (own(condition.ref) for condition in (*when, *form.when))
        yield from map(own, form.sources)


def own(source: Source) -> str:
    """Return the name of a source that is an own column."""
    if not isinstance(source, Ref) or source.row:
        raise NotImplementedError(f"{source}: only the relation's own columns are supported here")
    return source.column


def accepted(conditions: Iterable[Condition]) -> Iterator[tuple[str, list[Scalar]]]:
    """Yield the column of each condition and the values that meet it."""
    for condition in conditions:
        if condition.test != "in":
            raise NotImplementedError(
                f"{condition.column}: only conditions on the values of a column are supported here"
            )
        yield own(condition.ref), list(condition.values)


_Maker = Callable[[Sequence[Any]], Any]
"""A function from a row's values to a key's value."""


def _maker(key: Key, columns: Sequence[str], types: dict[str, str]) -> _Maker | None:
    """Return the function for a key's value; None if it is the column's value."""
    forms = [(_test(when, columns), _made(form, columns, types)) for when, form in key.cases]
    if not forms and key.wrap is None and _is_plain(key.form, types):
        return None
    otherwise, wrap = _made(key.form, columns, types), key.wrap

    def make(values: Sequence[Any]) -> Any:
        value = next((form for applies, form in forms if applies(values)), otherwise)(values)
        return value if wrap is None else {wrap: value}

    return make if forms or wrap else otherwise


def _is_plain(form: Form, types: dict[str, str]) -> bool:
    plain = Form(form.sources[:1])
    return form == plain and types[own(form.sources[0])] not in _FORMATS


def _test(conditions: Sequence[Condition], columns: Sequence[str]) -> Callable[[Sequence[Any]], bool]:
    places = [(condition, columns.index(own(condition.ref))) for condition in conditions]
    return lambda values: all(condition.accepts(values[at]) for condition, at in places)


def _made(form: Form, columns: Sequence[str], types: dict[str, str]) -> _Maker:
    """Return the function for the value of a form."""
    if form.constant is not None:
        constant = json.loads(form.constant)
        return lambda _: constant
    formats = [(columns.index(own(s)), _FORMATS.get(types[own(s)])) for s in form.sources]
    names = dict(form.enum.names) if form.enum else None
    transform, applies = form.transform and TRANSFORMS[form.transform], _test(form.when, columns)
    default = json.loads(form.default or "null")

    def make(values: Sequence[Any]) -> Any:
        value = None
        for at, formed in formats:
            if (value := values[at]) is not None:
                value = formed(value) if formed else value
                break
        if names is not None:
            value = names.get(value)
        if form.trim and value is not None:
            value = value.strip(STRIPPED)
        if transform and (value is not None or transform.of_null) and applies(values):
            value = transformed(transform, value)
        return default if value is None else value

    return make


def transformed(transform: Transform, value: Any) -> Any:
    """Return the transformed value, without its remarks."""
    made = transform.function(value)
    return made.value if isinstance(made, Noted) else made


def connect(uri: str) -> psycopg.Connection[Any]:
    """Open a session like an export's: read only, one snapshot, UTC, no JIT."""
    conn = psycopg.connect(uri, options="-c TimeZone=UTC -c jit=off")
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.read_only = True
    return conn


def bound_tree(conn: psycopg.Connection[Any]) -> BoundTree:
    """Return the tree `gitlab`, bound to this database."""
    tree = load("gitlab")
    catalogue: dict[str, dict[str, str]] = {}
    for table, column, type_name in conn.execute(_CATALOGUE, [sorted(tables(tree))]):
        catalogue.setdefault(table, {})[column] = type_name
    return bind(tree, catalogue)


def batches(conn: psycopg.Connection[Any], size: int, every: int) -> Iterator[list[int]]:
    """Yield the ids of every Nth issue of the project (N = `every`), in export order, in lists of `size`."""
    query = "SELECT id FROM issues WHERE project_id = %s ORDER BY relative_position NULLS LAST, id"
    ids = [row[0] for row in conn.execute(query, [PROJECT_ID])][::every]
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def under(relation: Relation) -> Iterator[tuple[tuple[Relation, ...], sql.Composable]]:
    """Yield the path to each relation under the project, and the condition for its rows in its table."""
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
        for column, values in accepted(child.where):
            conditions.append(sql.SQL("{} = ANY({})").format(sql.Identifier(column), sql.Literal(values)))
        yield from _under((*path, child), sql.SQL(" AND ").join(conditions))


def escaped(data: bytes) -> bytes:
    """Escape the characters that Rails escapes."""
    for raw, escape in _ESCAPES.items():
        data = data.replace(raw, escape)
    return data
