"""DuckDB: the tables by its postgres extension, nested by its SQL.

DuckDB's structs cannot leave a key out, so the JSON of what is nested is put together as text. Its extension comes from
PyPI (duckdb-extension-postgres-scanner) as a file that is installed by path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import duckdb
import duckdb_extension_postgres_scanner as extension

from bench.peers.shape import bound_tree, connect, escaped, under
from project_export.tree import BoundTree, Key, Relation
from project_export.tree.transforms import TRANSFORMS

_STAMP = "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%gZ')"
_FETCHED = 1000


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues, nested by one query."""
    if every != 1:
        raise NotImplementedError("DuckDB is measured whole")
    with connect(uri) as conn:
        bound = bound_tree(conn)
        wanted = {path: condition.as_string(conn) for path, condition in under(bound.relation("issues"))}
    duck = duckdb.connect()
    [folder] = extension.__path__
    duck.load_extension(f"{folder}/extensions/v{duckdb.__version__}/postgres_scanner.duckdb_extension")
    duck.execute(f"ATTACH {_text(uri)} AS pg (TYPE postgres, READ_ONLY)")
    for name in TRANSFORMS:
        duck.create_function(name, _transform(name), ["VARCHAR"], "VARCHAR")
    issues = bound.relation("issues")
    documents = _documents((issues,), bound, wanted, "id")
    rows = duck.execute(f"SELECT doc FROM ({documents}) ORDER BY {_order(issues)}")
    while page := rows.fetchmany(_FETCHED):
        yield escaped("".join(f"{doc}\n" for (doc,) in page).encode())


def _documents(path: tuple[Relation, ...], bound: BoundTree, wanted: dict[tuple[Relation, ...], str], join: str) -> str:
    """Return the query for a relation's documents: its order's columns, `join`, and `doc`."""
    relation = path[-1]
    types = dict(bound.catalogue[relation.table])
    order = [order.column for order in relation.order]
    columns = dict.fromkeys([join, *order, *relation.links, *(key.column for key in relation.keys if key.column)])
    rows = f"SELECT {', '.join(map(_name, columns))} FROM {_name(relation.table)} WHERE {wanted[path]}"
    keys = ", ".join(f"{_name(key.name)} := {_value(key, types)}" for key in relation.keys)
    document = f"to_json(struct_pack({keys}))::VARCHAR"
    joins = ""
    pieces = [f"left({document}, -1)"]
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
    return (
        f"SELECT {', '.join(f't.{_name(column)}' for column in dict.fromkeys([join, *order]))},"
        f" {' || '.join([*pieces, _text('}')])} AS doc FROM postgres_query('pg', {_text(rows)}) AS t{joins}"
    )


def _value(key: Key, types: dict[str, str]) -> str:
    if key.constant is not None:
        return f"{_text(key.constant)}::JSON"
    assert key.column is not None
    column, type_name = f"t.{_name(key.column)}", types[key.column]
    if key.enum is not None:
        whens = " ".join(f"WHEN {code} THEN {_text(name)}" for code, name in key.enum.names if code is not None)
        value = f"CASE {column} {whens} END"
        return value if key.wrap is None else f"struct_pack({_name(key.wrap)} := {value})"
    if key.transform is not None:
        return f"{key.transform}({column}::VARCHAR)::JSON"
    if type_name in ("timestamp", "timestamptz"):
        return _STAMP.format(column)
    if type_name == "bytea":
        return f"lower(hex({column}))"
    if key.default is not None:
        return f"coalesce({column}, {key.default})"
    return f"{column}::JSON" if type_name == "jsonb" else column


def _transform(name: str) -> Callable[[str], str]:
    transform = TRANSFORMS[name]

    def transformed(value: str) -> str:
        return json.dumps(transform(value), ensure_ascii=False)

    return transformed


def _order(relation: Relation) -> str:
    return ", ".join(
        f"{_name(order.column)} {'DESC' if order.descending else 'ASC'} NULLS LAST" for order in relation.order
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
