"""The lower limit: binary COPY of the rows and columns that the records consist of, discarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql

from bench import PROJECT_ID
from bench.peers.shape import bound_tree, connect
from project_export.tree import Relation
from project_export.tree.refs import refs

_Types = Mapping[str, Mapping[str, str]]


def read(uri: str, every: int, relation: str = "issues") -> Iterator[bytes]:
    """Yield PostgreSQL's binary rows, one statement per relation."""
    if every != 1:
        raise NotImplementedError("the limit is measured on all records")
    with connect(uri) as conn:
        bound = bound_tree(conn)
        top = bound.relation(relation)
        ((own, _),) = top.join
        of_project = sql.SQL("{} = {}").format(sql.Identifier(own), sql.Literal(PROJECT_ID))
        for query in statements(top, of_project, bound.catalogue):
            with conn.cursor() as cursor, cursor.copy(query) as rows:
                for block in rows:
                    yield bytes(block)


def statements(relation: Relation, condition: sql.Composable, types: _Types) -> Iterator[sql.Composed]:
    """Yield the statements for a relation and everything nested in it. condition: for its own rows.

    Rows are chosen by joins and by conditions on their own columns, which is all that decides in the benchmark's data.
    A join on a derived value is left out if another one is there; with none, as for authors of commits, the rows are
    few and not copied.
    """
    table = sql.Identifier(relation.table)
    columns = [ref.column for ref in refs(relation) if not ref.row]
    columns += [*(own for own, _ in relation.join), *relation.links]
    used = [name for name in dict.fromkeys(columns) if name in types[relation.table]]
    conditions = [condition]
    for wanted in relation.where:
        if wanted.test == "in" and not wanted.ref.row and None not in wanted.values:
            conditions.append(
                sql.SQL("{} = ANY({})").format(sql.Identifier(wanted.column), sql.Literal(list(wanted.values)))
            )
    rows: sql.Composable = sql.SQL("{} WHERE {}").format(table, sql.SQL(" AND ").join(conditions))
    if relation.one and relation.order:  # the last one only
        order = [sql.Identifier(own) for own, _ in relation.join]
        by = [sql.SQL("{} DESC").format(sql.Identifier(one.column)) for one in relation.order]
        rows = sql.SQL("(SELECT DISTINCT ON ({}) * FROM {} ORDER BY {}) AS last").format(
            sql.SQL(", ").join(order), rows, sql.SQL(", ").join([*order, *by])
        )
    yield sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(
        sql.SQL(", ").join(map(sql.Identifier, used)), rows
    )
    for child in relation.children:
        joins = [join for join in child.join if join[1] in types[relation.table]]
        if joins:
            yield from statements(child, _joined(joins, rows), types)


def _joined(joins: list[tuple[str, str]], rows: sql.Composable) -> sql.Composable:
    own, parent = (sql.SQL(", ").join([sql.Identifier(join[side]) for join in joins]) for side in (0, 1))
    return sql.SQL("({}) IN (SELECT {} FROM {})").format(own, parent, rows)
