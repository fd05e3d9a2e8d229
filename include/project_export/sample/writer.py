"""The writer of the sample's rows: it numbers them, collects them, and writes them in batches by COPY.

Tables and columns that the database's layout lacks are skipped. Those that no layout has are a mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from graphlib import TopologicalSorter

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from project_export.sample.layouts import known_columns

BATCH_ROWS = 20_000
LATEST_DIFF = "fk_06067f5644"
"""merge_requests.latest_merge_request_diff_id: the only foreign key that refers to a table written later."""


class Writer:
    """Takes rows in any order between two calls of `settle`, and writes each table after those that it refers to.

    The database checks foreign keys as usual, so references that a caller makes up must exist.
    """

    def __init__(self, conn: Connection[tuple[object, ...]]) -> None:
        self._conn = conn
        self._columns = _columns(conn)
        self._order = _writing_order(conn, self._columns)
        self._kept: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
        self._rows: dict[str, dict[tuple[str, ...], list[tuple[object, ...]]]] = {}
        self._pending = 0
        self._ids: Counter[str] = Counter()
        self._latest_diffs: dict[int, int] = {}
        self.written: set[str] = set()
        """The tables that got rows."""

    def has(self, table: str, column: str = "") -> bool:
        """Return whether the database has a table, or a column of it if one is named."""
        columns = self._columns.get(table)
        return columns is not None and (not column or column in columns)

    def nullable(self, table: str, column: str) -> bool:
        """Return whether the database has a column that may be NULL."""
        return self._columns.get(table, {}).get(column, False)

    def reserve(self, table: str) -> int:
        """Return the next id of a table, counted from 1."""
        self._ids[table] += 1
        return self._ids[table]

    def add(self, table: str, **values: object) -> int:
        """Take a row of a table that numbers its rows, and return its id."""
        number = self.reserve(table)
        self.attach(table, id=number, **values)
        return number

    def attach(self, table: str, **values: object) -> None:
        """Take a row whose values include its key."""
        named = tuple(values)
        kept = self._kept.get((table, named))
        if kept is None:
            kept = self._kept[table, named] = self._columns_to_write(table, named)
            self.written.add(table)
        if not kept:
            return
        row = tuple(values.values()) if kept == named else tuple(values[name] for name in kept)
        self._rows.setdefault(table, {}).setdefault(kept, []).append(row)
        self._pending += 1

    def name_latest_diff(self, merge_request: int, diff: int) -> None:
        """Set the latest diff of a merge request, after both have been taken."""
        self._latest_diffs[merge_request] = diff

    def settle(self) -> None:
        """Write if much is pending. Call it only after all rows that pending ones refer to."""
        if self._pending >= BATCH_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write pending rows and advance the sequences past the last ids."""
        self._flush()
        for table, last in self._ids.items():
            if self.has(table):
                self._conn.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [f"public.{table}", last])

    def _columns_to_write(self, table: str, named: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(named) - known_columns().get(table, frozenset())
        assert not unknown, f"no layout has {table}.{sorted(unknown)}"
        there = self._columns.get(table, {})
        return tuple(name for name in named if name in there)

    def _flush(self) -> None:
        with self._conn.cursor() as cursor:
            for table in sorted(self._rows, key=self._order.__getitem__):
                for columns, rows in self._rows[table].items():
                    statement = SQL("COPY {} ({}) FROM STDIN").format(
                        Identifier("public", table), SQL(", ").join(map(Identifier, columns))
                    )
                    with cursor.copy(statement) as copy:
                        for row in rows:
                            copy.write_row(row)
            cursor.execute(
                """
                UPDATE public.merge_requests SET latest_merge_request_diff_id = latest.diff
                FROM unnest(%s::bigint[], %s::bigint[]) AS latest (merge_request, diff)
                WHERE merge_requests.id = latest.merge_request
                """,
                [list(self._latest_diffs), list(self._latest_diffs.values())],
            )
        self._rows.clear()
        self._latest_diffs.clear()
        self._pending = 0


def _columns(conn: Connection[tuple[object, ...]]) -> dict[str, dict[str, bool]]:
    """Return each column of the tables of the schema `public` that are not partitions, and whether it may be NULL."""
    found: dict[str, dict[str, bool]] = {}
    rows = conn.execute(
        """
        SELECT relname::text, attname::text, NOT attnotnull FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
          AND relnamespace = 'public'::regnamespace
        """
    )
    for table, column, nullable in rows:
        found.setdefault(str(table), {})[str(column)] = bool(nullable)
    return found


def _writing_order(conn: Connection[tuple[object, ...]], tables: Iterable[str]) -> dict[str, int]:
    """Return each table's position in an order in which tables follow those that they refer to."""
    graph: dict[str, set[str]] = {table: set() for table in sorted(tables)}
    rows = conn.execute(
        """
        SELECT own.relname::text, target.relname::text FROM pg_constraint
        JOIN pg_class own ON own.oid = conrelid JOIN pg_class target ON target.oid = confrelid
        WHERE contype = 'f' AND conname <> %s
        """,
        [LATEST_DIFF],
    )
    for table, target in rows:
        if table != target and table in graph and target in graph:
            graph[str(table)].add(str(target))
    return {table: place for place, table in enumerate(TopologicalSorter(graph).static_order())}
