"""The rows of a GitLab database; each table is read once, completely."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

Row = dict[str, Any]
Record = dict[str, Any]
Edition = Literal["ce", "ee-unlicensed", "ee"]


class Database:
    """All rows of each requested table, in the order of their ids.

    edition: whose models read it: the free code, or the code of the package gitlab-ee without or with a licence.
    external_diffs: contents of the files of external diffs, by the ids of their merge_request_diffs.
    inherited_members: whether the exporting user may administer the project's group.
    """

    def __init__(
        self,
        conn: Connection[Any],
        edition: Edition = "ce",
        external_diffs: dict[int, bytes] | None = None,
        inherited_members: bool = True,
    ) -> None:
        self.edition = edition
        self.external_diffs = external_diffs or {}
        self.inherited_members = inherited_members
        self._conn = conn
        self._has: dict[str, bool] = {}
        self._tables: dict[str, list[Row]] = {}
        self._indexes: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], list[Row]]] = {}

    def has(self, table: str) -> bool:
        """Return whether the database has a table: versions of GitLab differ."""
        if table not in self._has:
            query = "SELECT to_regclass(quote_ident(%s)) IS NOT NULL"
            (self._has[table],) = self._conn.execute(query, [table]).fetchone()
        return self._has[table]

    def where(self, table: str, **equal: Any) -> list[Row]:
        """Return the rows whose columns have these values (None: NULL)."""
        columns = tuple(equal)
        if (table, columns) not in self._indexes:
            index = self._indexes[table, columns] = defaultdict(list)
            for row in self._rows(table):
                index[tuple(row[column] for column in columns)].append(row)
        return self._indexes[table, columns].get(tuple(equal.values()), [])

    def one(self, table: str, **equal: Any) -> Row | None:
        """Return the only row whose columns have these values, or None."""
        rows = self.where(table, **equal)
        assert len(rows) <= 1, f"{len(rows)} rows of {table} where {equal}"
        return rows[0] if rows else None

    def _rows(self, table: str) -> list[Row]:
        if table not in self._tables:
            with self._conn.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(SQL("SELECT * FROM {}").format(Identifier(table))).fetchall()
            self._tables[table] = sorted(rows, key=lambda row: row["id"]) if rows and "id" in rows[0] else rows
        return self._tables[table]
