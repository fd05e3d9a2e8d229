"""Multiply a project, by copying its issues and everything nested in them with SQL.

The copies are stored one after the other, so they suit a cache better than a project that grew over years.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from bench.peers.shape import bound_tree, connect, under


def multiply(uri: str, times: int) -> None:
    """Multiply the issues of project 1 by `times`, with copies whose ids are shifted."""
    with connect(uri) as conn:
        bound = bound_tree(conn)
    with psycopg.connect(uri) as conn:
        conn.execute("SET session_replication_role = replica")  # the copies refer to each other as the originals do
        copied = [
            (path, condition)
            for path, condition in under(bound.relation("issues"))
            if not any(own == "id" for nested in path for own, _ in nested.join)  # shared: authors, labels, milestones
        ]
        stride = 1 + max(_largest(conn, path[-1].table) for path, _ in copied)
        for path, condition in copied:
            relation = path[-1]
            columns = [
                str(name)
                for (name,) in conn.execute(
                    "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                    " AND NOT attisdropped AND attgenerated = ''",
                    [relation.table],
                )
            ]
            shifted = {"id", "iid", *(own for own, _ in relation.join)} - ({"project_id"} if len(path) == 1 else set())
            values = [
                sql.SQL("{} + copy * {}").format(sql.Identifier(name), sql.Literal(stride))
                if name in shifted
                else sql.Identifier(name)
                for name in columns
            ]
            conn.execute(
                sql.SQL("INSERT INTO {0} ({1}) SELECT {2} FROM {0}, generate_series(1, {3}) AS copy WHERE {4}").format(
                    sql.Identifier(relation.table),
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join(values),
                    sql.Literal(times - 1),
                    condition,
                )
            )


def _largest(conn: psycopg.Connection, table: str) -> int:
    """Return the largest id or iid of all rows of a table; 0 if it has neither."""
    found = conn.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attname IN ('id', 'iid')", [table]
    )
    largest = [sql.SQL("max({})").format(sql.Identifier(name)) for (name,) in found]
    if not largest:
        return 0
    row = conn.execute(
        sql.SQL("SELECT greatest({}) FROM {}").format(sql.SQL(", ").join(largest), sql.Identifier(table))
    ).fetchone()
    return int(row[0] or 0) if row else 0
