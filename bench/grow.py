"""Multiply a project, by copying its issues and everything nested in them with SQL.

The copies are stored one after the other, so they suit a cache better than a project that grew over years.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from bench.peers.shape import bound_tree, connect, under

STRIDE = 100_000_000
"""Distance between the ids of two copies: above every id of the sample, and twenty times it is below 2^31."""


def multiply(uri: str, times: int) -> None:
    """Multiply the issues of project 1 by `times`, with copies whose ids are shifted."""
    with connect(uri) as conn:
        bound = bound_tree(conn)
    with psycopg.connect(uri) as conn:
        conn.execute("SET session_replication_role = replica")  # the copies refer to each other as the originals do
        for path, condition in under(bound.relation("issues")):
            relation = path[-1]
            if any(own == "id" for nested in path for own, _ in nested.join):
                continue  # shared rows: authors, labels, milestones
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
                sql.SQL("{} + copy * {}").format(sql.Identifier(name), sql.Literal(STRIDE))
                if name in shifted
                else sql.Identifier(name)
                for name in columns
            ]
            conn.execute(
                sql.SQL(
                    "INSERT INTO {0} ({1}) SELECT {2} FROM {0}, generate_series(1, {3}) AS copy WHERE {4} AND {5} < {6}"
                ).format(
                    sql.Identifier(relation.table),
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join(values),
                    sql.Literal(times - 1),
                    condition,
                    sql.Identifier("id" if "id" in columns else relation.join[0][0]),
                    sql.Literal(STRIDE),
                )
            )
