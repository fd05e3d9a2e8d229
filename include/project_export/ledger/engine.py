"""Engines for the ledger: PostgreSQL by any DSN that libpq accepts, SQLite for a single machine."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from typing import Any, cast

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from project_export import libpq
from project_export.errors import LedgerRefused

_BUSY_SECONDS = 60
_RETRY_SECONDS = 0.02
_LIMITS_TRANSACTIONS = 170_000
_OURS = (
    *("search_path", "row_security", "synchronous_commit", "standard_conforming_strings"),
    "default_transaction_read_only",
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
    *("TimeZone", "DateStyle", "IntervalStyle"),
)
"""Settings that the ledger's statements depend on, and that other clients of a pooler may have changed."""


def make_engine(dsn: str) -> Engine:
    """Return an engine for the ledger. It connects when it is first used.

    dsn: a libpq URI or keyword string (a driver in the scheme, as in postgresql+psycopg://, is ignored), or
    sqlite:///PATH.
    """
    if dsn.startswith("sqlite:"):
        # The path is not parsed as a URL, because SQLAlchemy would treat a ? in it as the start of parameters.
        return create_engine(URL.create("sqlite", database=dsn.removeprefix("sqlite:///")))
    postgresql = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", dsn)
    parameters = {"application_name": "project_export ledger", **libpq.parameters(postgresql)}

    return engine_over(lambda: psycopg.connect(**parameters))


def engine_over(connect: Callable[[], psycopg.Connection[Any]]) -> Engine:
    """Return an engine for a ledger in PostgreSQL that gets its connections from a function.

    Each transaction starts with default settings, so the server can be behind a pooler. The first use of the engine
    raises LedgerRefused if that pooler pools by statement.
    """

    def opened() -> psycopg.Connection[Any]:
        connection = connect()
        libpq.plain(connection)
        try:
            with connection.transaction():
                pass
        except psycopg.Error as error:
            connection.close()
            if isinstance(error, psycopg.errors.ProtocolViolation) and libpq.by_statement(connect):
                raise LedgerRefused(f"The ledger's database cannot be used: {libpq.BY_STATEMENT}") from error
            raise
        return connection

    engine = create_engine("postgresql+psycopg://", creator=opened, poolclass=QueuePool, pool_pre_ping=True)
    event.listen(engine, "begin", _clean)
    return engine


def prepare(engine: Engine) -> None:
    """Prepare an SQLite engine for use by several processes; do nothing to any other engine.

    Each transaction that writes starts by taking the write lock, and waits for it for up to 60 s. Otherwise a
    transaction that reads and then writes would fail at once if another process had written in between.
    """
    if engine.dialect.name != "sqlite" or event.contains(engine, "connect", _on_connect):
        return
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    engine.dispose()


def writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write."""
    return engine.execution_options(project_export_writes=True)


def _on_connect(connection: Any, record: object) -> None:
    connection.isolation_level = None  # otherwise the driver starts transactions itself, too late
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    _write_ahead(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: Any) -> None:
    """Switch the file to write-ahead logging for good. Tries again, because SQLite does not wait for this lock."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("project_export_writes", False))


def _clean(connection: Connection) -> None:
    """Start a transaction without the settings of a pooler's other clients, and without changing theirs."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    if _begun_read_only(driver) and _writes(connection):
        driver.rollback()
        driver.execute("SET TRANSACTION READ WRITE")
        _begun_read_only(driver)


def _begun_read_only(driver: psycopg.Connection[Any]) -> bool:
    """Start a transaction; return whether another client's setting, not the server's, makes it read-only."""
    names = [*_OURS, "transaction_timeout"] if driver.info.server_version >= _LIMITS_TRANSACTIONS else _OURS
    cursor = driver.execute(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL SESSION AUTHORIZATION DEFAULT;"
        "SET LOCAL role TO DEFAULT; SET LOCAL client_encoding TO 'UTF8';"
        + "".join(f"SET LOCAL {name} TO DEFAULT;" for name in names)
        + f"SELECT {libpq.TEMPORARY_LAST}; SELECT current_setting('transaction_read_only')::bool"
        " AND NOT current_setting('default_transaction_read_only')::bool AND NOT pg_is_in_recovery()"
    )
    while cursor.nextset():
        pass
    return bool(cursor.fetchone() == (True,))
