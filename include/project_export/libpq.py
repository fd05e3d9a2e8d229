"""What every connection to PostgreSQL needs: time limits, and nothing that a session would keep.

A machine that is gone says nothing: without PATIENCE, a process that waits for an answer waits for two hours, Linux's
own time until it asks. A pooler gives each transaction another session, in which other clients have left settings,
and which others get next: see docs/adr/0011-poolers.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

PATIENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's names; seconds, the last one milliseconds. What a DSN or an Airflow connection says comes before it."""


TEMPORARY_LAST = """
    pg_catalog.set_config(
        'search_path',
        pg_catalog.concat_ws(', ', nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'),
        true
    )
"""
"""SQL of an expression: until the transaction ends, no temporary table that another client left hides one of ours."""

BY_STATEMENT = (
    "the connection leads through a pooler that gives each statement another session (pool_mode = statement), where no "
    "transaction can be kept. Use its transaction mode, or connect past it."
)


def parameters(dsn: str) -> dict[str, Any]:
    """Return the parameters of a DSN (libpq URI or keywords) with this patience. Raises psycopg.ProgrammingError."""
    return {**PATIENCE, **conninfo_to_dict(dsn)}


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Connect to the database of a DSN with this patience."""
    return psycopg.connect(**parameters(dsn))


def plain(connection: psycopg.Connection[Any]) -> None:
    """Make a connection as psycopg's own are, whatever its maker likes, but without statements prepared in a session.

    Rows are tuples then; Airflow's connections can ask for dictionaries.
    """
    connection.row_factory = tuple_row
    connection.cursor_factory = psycopg.Cursor
    connection.server_cursor_factory = psycopg.ServerCursor
    connection.prepare_threshold = None


def pooled(connection: psycopg.Connection[Any]) -> bool:
    """Say whether a pooler answers for the server: the process that it names is not the one that works."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def by_statement(connect: Callable[[], psycopg.Connection[Any]]) -> bool:
    """Say whether connections lead through a pooler that refuses transactions of more than one message.

    To be asked where BEGIN was refused by ProtocolViolation: PgBouncer says so of whatever it does not like.
    """
    with closing(connect()) as connection:
        connection.autocommit = True
        connection.execute("BEGIN; COMMIT")
        try:
            connection.execute("BEGIN")
        except psycopg.errors.ProtocolViolation:
            return True
    return False
