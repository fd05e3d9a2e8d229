"""How many bytes a relation's records will take, by the database's own statistics; no table is read for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from project_export.source.session import Session
from project_export.tree import BoundTree, Relation, tables

# From pg_class alone: pg_table_size would wait for a lock on the table. relpages of a table's TOAST table counts the
# long values. A partitioned table has the sums of its partitions.
_SIZES = sql.SQL("""
    WITH RECURSIVE leaf AS (
        SELECT name, to_regclass(quote_ident(name))::oid AS oid FROM unnest({tables}::text[]) AS name
        UNION ALL SELECT l.name, i.inhrelid FROM leaf l JOIN pg_inherits i ON i.inhparent = l.oid
    )
    SELECT l.name, sum(c.reltuples)::float8,
        sum((c.relpages::bigint + coalesce(t.relpages, 0)) * current_setting('block_size')::bigint)::float8
    FROM leaf l JOIN pg_class c ON c.oid = l.oid LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE c.relkind = 'r' AND c.reltuples > 0
    GROUP BY l.name
""")


@dataclass(frozen=True)
class _Size:
    rows: float
    bytes: float


class Sizes:
    """The sizes of the tables that a bound tree reads, as of the last VACUUM or ANALYZE."""

    def __init__(self, session: Session, bound: BoundTree) -> None:
        self._sizes = _sizes(session, tables(bound.tree))

    def of(self, relation: Relation, records: int) -> int:
        """Return a lower bound of the bytes in the tables of these top-level records and all nested ones.

        0 if unknown. Nested tables count with the average number of rows per parent. A nested relation with conditions
        counts as nothing: several relations may share its table.
        """
        return round(self._bytes(relation, records))

    def _bytes(self, relation: Relation, records: float) -> float:
        size = self._sizes.get(relation.table)
        if size is None:
            return 0
        total = records * size.bytes / size.rows
        for child in relation.children:
            its = self._sizes.get(child.table)
            if its is not None and not child.where and not child.either:
                total += self._bytes(child, records if child.one else records * its.rows / size.rows)
        return total


def _sizes(session: Session, names: frozenset[str]) -> Mapping[str, _Size]:
    query = _SIZES.format(tables=sql.Placeholder("tables"))
    found: dict[str, _Size] = {}
    for page in session.pages(query, {"tables": sorted(names)}, lambda: 1000):
        found |= {name: _Size(rows, size) for name, rows, size in page}
    return found
