"""What a good engineer writes in a day: psycopg rows, one query per relation and batch, grouped, dumped with orjson."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import psycopg
from psycopg import sql

from bench.peers.shape import Shape, accepted, batches, bound_tree, connect, escaped
from project_export.tree import BoundTree, Relation

BATCH = 1000


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues in batches of 1000."""
    with connect(uri) as conn:
        bound = bound_tree(conn)
        issues = _Query(bound.relation("issues"), bound, "id")
        for ids in batches(conn, BATCH, every):
            found = dict(issues.fetch(conn, ids))
            yield escaped(b"".join(orjson.dumps(found[key], option=orjson.OPT_APPEND_NEWLINE) for key in ids))


class _Query:
    def __init__(self, relation: Relation, bound: BoundTree, join: str) -> None:
        self.relation = relation
        self.shape = Shape(relation, dict(bound.catalogue[relation.table]))
        columns = self.shape.columns if join in self.shape.columns else (join, *self.shape.columns)
        self.offset = len(columns) - len(self.shape.columns)
        self.join_at = columns.index(join)
        conditions = [sql.SQL("{} = ANY(%s)").format(sql.Identifier(join))]
        for column, values in accepted(relation.where):
            conditions.append(sql.SQL("{} = ANY({})").format(sql.Identifier(column), sql.Literal(values)))
        order = sql.SQL(" ORDER BY {}").format(
            sql.SQL(", ").join(sql.Identifier(order.column) for order in relation.order)
        )
        self.query = sql.SQL("SELECT {} FROM {} WHERE {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(relation.table),
            sql.SQL(" AND ").join(conditions),
        )
        if relation.order:
            self.query += order
        self.children = [
            (child.name, child.one, columns.index(child.join[0][1]), _Query(child, bound, child.join[0][0]))
            for child in relation.children
        ]

    def fetch(self, conn: psycopg.Connection[Any], keys: Sequence[Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Return the join value and the record of each row with one of these keys."""
        with conn.cursor(binary=True) as cursor:
            rows = cursor.execute(self.query, [list(keys)]).fetchall()
        offset, record, join_at = self.offset, self.shape.record, self.join_at
        found = [(row[join_at], record(row[offset:] if offset else row)) for row in rows]
        for name, one, at, query in self.children:
            links = [row[at] for row in rows]
            wanted = {link for link in links if link is not None}
            grouped: dict[Any, list[dict[str, Any]]] = {}
            for key, nested in query.fetch(conn, list(wanted)) if wanted else ():
                grouped.setdefault(key, []).append(nested)
            for (_, outer), link in zip(found, links, strict=True):
                if not one:
                    outer[name] = grouped.get(link, [])
                elif link in grouped:
                    outer[name] = grouped[link][0]
        if self.shape.last:
            for _, outer in found:
                self.shape.close(outer)
        return found
