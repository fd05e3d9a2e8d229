"""The lower limit: binary COPY of the rows and columns that the records consist of, discarded."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from bench.peers.shape import Shape, bound_tree, connect, under


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield PostgreSQL's binary rows, one statement per relation."""
    if every != 1:
        raise NotImplementedError("the limit is measured on all issues")
    with connect(uri) as conn:
        bound = bound_tree(conn)
        for path, condition in under(bound.relation("issues")):
            relation = path[-1]
            columns = Shape(relation, dict(bound.catalogue[relation.table])).columns
            query = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT binary)").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(relation.table), condition
            )
            with conn.cursor() as cursor, cursor.copy(query) as rows:
                for block in rows:
                    yield bytes(block)
