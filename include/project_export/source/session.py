"""One read-only transaction on the source database, and what its errors mean.

Every session is READ ONLY and REPEATABLE READ. It has time limits, no JIT (which would compile every batch again and
cost more than it saves), no parallel workers (which cost more than they save), its own time zone, and a name that shows
job and relation in pg_stat_activity. Where a row policy would hide rows, the server raises an error instead
(row_security is off). All settings end with the transaction, after which a pooler gives the server's session to other
clients; see docs/adr/0011-poolers.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.string import ByteaBinaryLoader

from project_export import libpq
from project_export.errors import ProjectExportError, SnapshotMissing, SourceBusy, SourceRefused
from project_export.source.pipeline import Pipeline
from project_export.tree import Catalogue

Connect = Callable[[], "psycopg.Connection[Any]"]
"""Opens a fresh connection to the source; the session closes it."""

_RETRYABLE_CLASSES = ("08", "40", "53", "57", "58")
_RETRYABLE_STATES = ("55P03", "25P03", "25P04")  # lock not available, idle and transaction timeouts
_STREAM_ROWS = 8 if psycopg.capabilities.has_stream_chunked() else 1
_LONGEST_MILLISECONDS = 2**31 - 1  # 24 days
_CHECKS_CLIENTS, _LIMITS_TRANSACTIONS = 140_000, 170_000
_CLEAN = (
    "RESET ALL; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL role TO DEFAULT; SET LOCAL client_encoding TO 'UTF8'"
)
"""Undoes what other clients of a pooler set in the server's session, until the transaction ends."""
_REMEDIES = {
    "42501": "Run what `project-export tree grants` prints; where a row policy applies, export with a role that has "
    "BYPASSRLS, or set PROJECT_EXPORT_ALLOW_ROW_SECURITY to export what the policy shows.",
}
_CATALOGUE = """
    SELECT c.relname::text, a.attname::text, coalesce(base.typname, t.typname)::text
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type base ON base.oid = nullif(t.typbasetype, 0)
    WHERE c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
    ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class Limits:
    """Time limits of a session, in seconds; 0: none."""

    statement_seconds: float = 900
    lock_seconds: float = 30
    idle_seconds: float = 600
    transaction_seconds: float = 0


class Session:
    """A read-only transaction; a context manager that ends it and closes its connection.

    connect: opens the connection. name: what pg_stat_activity shows. snapshot: the id of an exported snapshot to read.
    zone: of the times that are read. policies: whether row policies may hide rows; else they are an error.
    encoding: the database's, by PostgreSQL's name. pooled: whether a pooler answers for the server.
    Raises SourceBusy if there is no connection, and SnapshotMissing if nobody holds the snapshot any more.
    """

    def __init__(
        self,
        connect: Connect,
        name: str,
        limits: Limits,
        snapshot: str | None = None,
        *,
        zone: str = "UTC",
        policies: bool = False,
    ) -> None:
        self.name = name
        self.snapshot = snapshot
        self.zone = zone
        self.encoding = ""
        self.pooled = False
        self._connect = connect
        self._limits = limits
        self._policies = policies
        self._cursors = itertools.count()
        with self._translated("connect"):
            self._connection = connect()
        try:
            with self._translated("begin"):
                self._begin(snapshot)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, snapshot: str | None) -> None:
        connection = self._connection
        connection.rollback()
        libpq.plain(connection)
        connection.adapters.register_loader("text", ByteaBinaryLoader)
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            self._enter(snapshot)
        except psycopg.errors.ProtocolViolation as error:
            if libpq.by_statement(self._connect):
                raise SourceRefused(f"{self.name}, begin: {libpq.BY_STATEMENT}", error.sqlstate) from error
            raise

    def _enter(self, snapshot: str | None) -> None:
        """Begin the transaction. No query may precede the snapshot, so no setting can be made by a function."""
        connection = self._connection
        connection.execute(_CLEAN)
        connection.execute(sql.SQL("; ").join(self._settings()))
        if snapshot is not None:
            try:
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
                message = f"snapshot {snapshot} is gone: the transaction that exported it has ended"
                raise SnapshotMissing(f"{message}. All relations need a new one.") from error
        # Without a snapshot to import, this query takes one.
        _, self.encoding = self.one(f"SELECT {libpq.TEMPORARY_LAST}, pg_catalog.current_setting('server_encoding')")
        self.pooled = libpq.pooled(connection)

    def _settings(self) -> Iterator[sql.Composed]:
        limits, version = self._limits, self._connection.info.server_version
        wanted = {
            "application_name": self.name[:63],
            "cursor_tuple_fraction": "1",
            "DateStyle": "ISO, MDY",
            "extra_float_digits": "1",
            "IntervalStyle": "postgres",
            "jit": "off",
            "idle_in_transaction_session_timeout": _milliseconds(limits.idle_seconds),
            "max_parallel_workers_per_gather": "0",
            "lock_timeout": _milliseconds(limits.lock_seconds),
            "row_security": "on" if self._policies else "off",
            "standard_conforming_strings": "on",
            "statement_timeout": _milliseconds(limits.statement_seconds),
            "TimeZone": self.zone,
        }
        if version >= _CHECKS_CLIENTS:
            wanted["client_connection_check_interval"] = "10s"
        if version >= _LIMITS_TRANSACTIONS:
            wanted["transaction_timeout"] = _milliseconds(limits.transaction_seconds)
        for name, value in wanted.items():
            yield sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(name), sql.Literal(value))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction and close the connection."""
        self._connection.close()

    def renew(self) -> None:
        """End the transaction and begin another, with a new snapshot."""
        with self._translated("begin"):
            self._connection.rollback()
            self._enter(None)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Keep the transaction usable if a statement in the block fails. what: what pg_stat_activity shows."""
        with self._translated(what), self._connection.transaction():
            self._connection.execute("SELECT set_config('application_name', %s, true)", [f"{self.name} {what}"[:63]])
            yield

    def mark(self) -> None:
        """Set the savepoint of `back`."""
        with self._translated("savepoint"):
            self._connection.execute("SAVEPOINT mark")

    def back(self) -> None:
        """Make the transaction usable again after an error since the last `mark`."""
        with self._translated("savepoint"):
            self._connection.execute("ROLLBACK TO SAVEPOINT mark")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the session be idle for as long as the block takes, although the server ends one that is idle too long.

        If the block raises an exception, the enclosing `attempt` restores the limit.
        """
        self._limit_idling(0)
        yield
        self._limit_idling(self._limits.idle_seconds)

    @property
    def lost(self) -> bool:
        """Whether the connection is closed."""
        return self._connection.closed

    def cancel(self) -> None:
        """Cancel the running statement; may be called from another thread."""
        try:
            self._connection.cancel_safe(timeout=5)
        except psycopg.Error as error:
            raise translate(error, f"cancelling {self.name}") from error

    def export_snapshot(self) -> str:
        """Export this transaction's snapshot and return its id, which others can use until this session ends."""
        return str(self.one("SELECT pg_export_snapshot()")[0])

    def one(self, query: str | sql.Composed, params: Any = None) -> tuple[Any, ...]:
        """Return the one row of a query."""
        with self._translated("query"), self._connection.cursor() as cursor:
            row: tuple[Any, ...] | None = cursor.execute(query, params).fetchone()
            if row is None:
                raise SourceRefused(f"{self.name}: a query that always returns one row returned none")
            return row

    def rows(self, query: bytes, params: Any = None, what: str = "query") -> Iterator[tuple[Any, ...]]:
        """Yield the result rows of a query as they come, in PostgreSQL's binary form; texts are bytes, not decoded.

        Texts are UTF-8: the server converts them, and if it does not know from what (SQL_ASCII), rejects what is not
        UTF-8. The client holds a few rows at a time. Read them to the end: breaking off aborts the transaction.
        what: what is read, for error messages.
        """
        with self._translated(what), self._connection.cursor() as cursor:
            yield from cursor.stream(query, params, binary=True, size=_STREAM_ROWS)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What sends statements before the rows of earlier ones are read; until it is closed, nothing else may."""
        return Pipeline(self._connection)

    @contextmanager
    def piped(self, what: str) -> Iterator[Pipeline]:
        """Give the pipeline, and convert its errors. what: what is read, for error messages."""
        with self._translated(what):
            yield self.pipeline

    def declare(self, query: sql.Composed, params: Any, what: str = "query") -> bytes:
        """Open a server-side cursor for the pipeline to read, and return its name, which is SQL as well.

        It is closed when the transaction ends, or is rolled back to a savepoint before this call.
        """
        name = f"pages{next(self._cursors)}"
        with self._translated(what):
            statement = sql.SQL("DECLARE {} NO SCROLL CURSOR FOR {}").format(sql.Identifier(name), query)
            self._connection.execute(statement, params)
        return name.encode()

    def is_open(self, cursor: bytes) -> bool:
        """Return whether a cursor is open."""
        query = "SELECT count(*) FROM pg_catalog.pg_cursors WHERE name = %s"
        return bool(self.one(query, [cursor.decode()])[0])

    def move(self, cursor: bytes, rows: int, what: str = "query") -> None:
        """Skip rows of a cursor."""
        with self._translated(what):
            self._connection.execute(b"MOVE FORWARD %d FROM %s" % (rows, cursor))

    def close_cursor(self, cursor: bytes) -> None:
        """Close a cursor."""
        with self._translated("close"):
            self._connection.execute(b"CLOSE " + cursor)

    def pages(
        self, query: sql.Composed, params: Any, size: Callable[[], int], what: str = "query", *, binary: bool = False
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the result rows of a query by a server-side cursor, `size()` at a time: the client holds one page.

        Between two pages the session is free for other queries. binary: in the form of `rows`.
        """
        name = f"pages{next(self._cursors)}"
        with self._translated(what), self._connection.cursor(name=name) as cursor:
            cursor.execute(query, params, binary=binary)
            while page := cursor.fetchmany(size()):
                yield page

    def catalogue(self, tables: frozenset[str]) -> Catalogue:
        """Return the columns of those of the tables that exist on the search path, with their types."""
        with self._translated("catalogue"), self._connection.cursor() as cursor:
            found: dict[str, dict[str, str]] = {}
            for table, column, type_name in cursor.execute(_CATALOGUE, [sorted(tables)]):
                found.setdefault(table, {})[column] = type_name
            return found

    def _limit_idling(self, seconds: float) -> None:
        name, value = sql.Identifier("idle_in_transaction_session_timeout"), sql.Literal(_milliseconds(seconds))
        with self._translated("limit"):
            self._connection.execute(sql.SQL("SET LOCAL {} TO {}").format(name, value))

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, f"{self.name}, {what}") from error


def translate(error: psycopg.Error, where: str) -> ProjectExportError:
    """Return the error of this project for an error of the source, by its SQLSTATE. where: the start of its message.

    Errors of libpq itself have no SQLSTATE and end the connection: it was lost, or there was no memory for a result.
    """
    state = error.sqlstate
    detail = error.diag.message_detail if state else None
    text = " ".join(str(part) for part in (error.diag.message_primary or str(error).strip(), detail) if part)
    remedy = f". {_REMEDIES[state]}" if state in _REMEDIES else ""
    message = f"{where}: {text}" + (f" [SQLSTATE {state}]" if state else "") + remedy
    of_libpq = (
        isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) or type(error) is psycopg.DatabaseError
    )
    lost = state is None and of_libpq
    if lost or (state and (state.startswith(_RETRYABLE_CLASSES) or state in _RETRYABLE_STATES)):
        return SourceBusy(message, state)
    return SourceRefused(message, state)


def _milliseconds(seconds: float) -> str:
    return f"{min(round(seconds * 1000), _LONGEST_MILLISECONDS)}ms"
