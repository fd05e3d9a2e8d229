"""Rows on their way into the sample: numbered in Python, kept until there are enough, then brought in by COPY."""

from __future__ import annotations

from collections import Counter
from functools import cache
from graphlib import TopologicalSorter

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from project_export.sample.schema import all_keys, sequence_name, tables

BATCH_ROWS = 20_000
LATEST_DIFF = "fk_06067f5644"
"""merge_requests.latest_merge_request_diff_id: the one foreign key that points against the order of writing."""


class Writer:
    """Takes rows in any order between two calls of `settle`, and writes each table after those it refers to.

    Foreign keys are checked by the database as usual, so what a caller makes up has to hold.
    """

    def __init__(self, conn: Connection[tuple[object, ...]]) -> None:
        self._conn = conn
        self._rows: dict[str, dict[tuple[str, ...], list[tuple[object, ...]]]] = {}
        self._pending = 0
        self._ids: Counter[str] = Counter()
        self._latest_diffs: dict[int, int] = {}

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
        """Take a row whose key is in its values."""
        self._rows.setdefault(table, {}).setdefault(tuple(values), []).append(tuple(values.values()))
        self._pending += 1

    def name_latest_diff(self, merge_request: int, diff: int) -> None:
        """Say which diff is a merge request's latest, once both have been taken."""
        self._latest_diffs[merge_request] = diff

    def settle(self) -> None:
        """Write if much is pending; called where all that pending rows refer to has been taken."""
        if self._pending >= BATCH_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write what is left and let the sequences go on after the last ids."""
        self._flush()
        for table, last in self._ids.items():
            self._conn.execute("SELECT setval(%s::regclass, %s)", [f"public.{sequence_name(table)}", last])

    def _flush(self) -> None:
        with self._conn.cursor() as cursor:
            for table in sorted(self._rows, key=_writing_order().__getitem__):
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


@cache
def _writing_order() -> dict[str, int]:
    """Return each table's place in an order in which it comes after the tables that it refers to."""
    graph: dict[str, set[str]] = {table: set() for table in tables()}
    for key in all_keys():
        target = key.detail.partition("(")[0]
        if key.kind == "fk" and key.name != LATEST_DIFF and target != key.table:
            graph[key.table].add(target)
    return {table: place for place, table in enumerate(TopologicalSorter(graph).static_order())}
