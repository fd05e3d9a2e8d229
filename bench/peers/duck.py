"""DuckDB: reads the tables with its postgres extension, and nests the records with its SQL.

DuckDB's structs cannot omit a key, so the JSON of nested records is assembled as text. The extension comes from PyPI
(duckdb-extension-postgres-scanner) as a file, and is loaded by its path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import duckdb
import duckdb_extension_postgres_scanner as extension
from duckdb.func import SPECIAL

from bench.peers.shape import STRIPPED, accepted, bound_tree, connect, escaped, last, own, transformed, under
from bench.peers.shape import read as read_of
from project_export.tree import BoundTree, Condition, Form, Key, Relation
from project_export.tree.transforms import TRANSFORMS

_STAMP = "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%gZ')"
_FETCHED = 1000


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues, nested with one query."""
    if every != 1:
        raise NotImplementedError("DuckDB is measured on all issues")
    with connect(uri) as conn:
        bound = bound_tree(conn)
        wanted = {path: condition.as_string(conn) for path, condition in under(bound.relation("issues"))}
    duck = duckdb.connect()
    [folder] = extension.__path__
    duck.load_extension(f"{folder}/extensions/v{duckdb.__version__}/postgres_scanner.duckdb_extension")
    duck.execute(f"ATTACH {_text(uri)} AS pg (TYPE postgres, READ_ONLY)")
    for name in TRANSFORMS:
        duck.create_function(f"tree_{name}", _transform(name), ["VARCHAR"], "VARCHAR", null_handling=SPECIAL)
    issues = bound.relation("issues")
    documents = _documents((issues,), bound, wanted, "id")
    rows = duck.execute(f"SELECT doc FROM ({documents}) ORDER BY {_order(issues)}")
    while page := rows.fetchmany(_FETCHED):
        yield escaped("".join(f"{doc}\n" for (doc,) in page).encode())


def _documents(path: tuple[Relation, ...], bound: BoundTree, wanted: dict[tuple[Relation, ...], str], join: str) -> str:
    """Return the query for a relation's documents, with the columns that order it, `join`, and `doc`."""
    relation = path[-1]
    types = dict(bound.catalogue[relation.table])
    order = [order.column for order in relation.order]
    columns = dict.fromkeys([join, *order, *relation.links, *(name for key in relation.keys for name in read_of(key))])
    rows = f"SELECT {', '.join(map(_name, columns))} FROM {_name(relation.table)} WHERE {wanted[path]}"
    behind = last(relation)
    values = {key.name: f"{_name(key.name)} := {_value(key, types)}" for key in relation.keys}
    before, after = (
        f"to_json(struct_pack({', '.join(v for name, v in values.items() if (name in behind) == there)}))::VARCHAR"
        for there in (False, True)
    )
    joins = ""
    pieces = [f"left({before}, -1)"]
    for number, child in enumerate(relation.children):
        ((own, parent),) = child.join
        nested = _documents((*path, child), bound, wanted, own)
        by = f" ORDER BY {_order(child)}" if child.order else ""
        together = "any_value(doc)" if child.one else f"string_agg(doc, ','{by})"
        alias = f"c{number}"
        joins += (
            f" LEFT JOIN (SELECT {_name(own)} AS k, {together} AS docs FROM ({nested}) GROUP BY 1) AS {alias}"
            f" ON {alias}.k = t.{_name(parent)}"
        )
        name = json.dumps(child.name)
        if child.one:
            pieces.append(f"coalesce({_text(f',{name}:')} || {alias}.docs, '')")
        else:
            pieces.append(f"{_text(f',{name}:[')} || coalesce({alias}.docs, '') || ']'")
    pieces.append(f"',' || substr({after}, 2)" if behind else _text("}"))
    return (
        f"SELECT {', '.join(f't.{_name(column)}' for column in dict.fromkeys([join, *order]))},"
        f" {' || '.join(pieces)} AS doc FROM postgres_query('pg', {_text(rows)}) AS t{joins}"
    )


def _value(key: Key, types: dict[str, str]) -> str:
    value = _form(key.form, types)
    if key.cases:
        whens = " ".join(f"WHEN {_where(when)} THEN to_json({_form(form, types)})" for when, form in key.cases)
        value = f"CASE {whens} ELSE to_json({value}) END"
    return value if key.wrap is None else f"struct_pack({_name(key.wrap)} := {value})"


def _form(form: Form, types: dict[str, str]) -> str:
    if form.constant is not None:
        return f"{_text(form.constant)}::JSON"
    formed = [_formed(f"t.{_name(own(source))}", types[own(source)]) for source in form.sources]
    value = formed[0] if len(formed) == 1 else f"coalesce({', '.join(formed)})"
    if form.enum is not None:
        whens = " ".join(f"WHEN {code} THEN {_text(name)}" for code, name in form.enum.names if code is not None)
        value = f"CASE {value} {whens} END"
    if form.trim:
        value = f"trim({value}, {_text(STRIPPED)})"
    if form.default is not None:
        default = json.loads(form.default)
        value = f"coalesce({value}, {_text(default) if isinstance(default, str) else form.default})"
    if form.transform is not None:
        made = f"tree_{form.transform}({value}::VARCHAR)::JSON"
        value = f"CASE WHEN {_where(form.when)} THEN {made} ELSE to_json({value}) END"
    return value


def _formed(column: str, type_name: str) -> str:
    if type_name in ("timestamp", "timestamptz"):
        return _STAMP.format(column)
    if type_name == "bytea":
        return f"lower(hex({column}))"
    return f"{column}::JSON" if type_name == "jsonb" else column


def _where(conditions: Iterable[Condition]) -> str:
    tests = ["true"]
    for name, values in accepted(conditions):
        column = f"t.{_name(name)}"
        stated = [_text(value) if isinstance(value, str) else str(value) for value in values if value is not None]
        either = [f"{column} IN ({', '.join(stated)})"] if stated else []
        tests.append(f"({' OR '.join([*either, *[f'{column} IS NULL'] * (None in values)])})")
    return " AND ".join(tests)


def _transform(name: str) -> Callable[[str | None], str | None]:
    transform = TRANSFORMS[name]

    def made(value: str | None) -> str | None:
        if value is None and not transform.of_null:
            return None
        return json.dumps(transformed(transform, value), ensure_ascii=False)

    return made


def _order(relation: Relation) -> str:
    return ", ".join(
        f"{_name(order.column)} {'DESC' if order.descending else 'ASC'} NULLS LAST" for order in relation.order
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
