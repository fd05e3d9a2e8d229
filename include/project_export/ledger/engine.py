"""Engines for the ledger: PostgreSQL by any DSN that libpq takes, SQLite for a single machine."""

from __future__ import annotations

import re
import sqlite3
import time
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event

from project_export import libpq

_BUSY_SECONDS = 60
_RETRY_SECONDS = 0.02


def make_engine(dsn: str) -> Engine:
    """Return an engine for the ledger. It connects when it is first used.

    dsn: a libpq URI or keyword string (a driver in the scheme, as in postgresql+psycopg://, is ignored), or
    sqlite:///PATH.
    """
    if dsn.startswith("sqlite:"):
        # A path is taken as it is: SQLAlchemy would read a ? in it as the begin of parameters.
        return create_engine(URL.create("sqlite", database=dsn.removeprefix("sqlite:///")))
    postgresql = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", dsn)
    parameters = {"application_name": "project_export ledger", **libpq.parameters(postgresql)}

    def connect() -> psycopg.Connection[Any]:
        # Behind a pooler the next transaction may be in another session, without the statements prepared in this one.
        return psycopg.connect(**parameters, prepare_threshold=None)

    return create_engine("postgresql+psycopg://", creator=connect, pool_pre_ping=True)


def prepare(engine: Engine) -> None:
    """Make an SQLite engine fit for several processes; others are left as they are.

    Each transaction that writes begins by taking the write lock and waits for it up to 60 s: without that, a read
    that becomes a write fails at once when another process wrote in between.
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
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    _write_ahead(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: Any) -> None:
    """Switch a file to write-ahead logging, which it keeps: SQLite does not wait for that lock by itself."""
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
    writes = connection.get_execution_options().get("project_export_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
