"""Wait for a job to change: by PostgreSQL's LISTEN where that works, otherwise by short sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, cast
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import Engine, func, select

from project_export import libpq
from project_export.ledger.database import CHANNEL, answering

_SLEEP_SECONDS = 1.0
_PROBE_SECONDS = 1.0

Wait = Callable[[float], bool]


@contextmanager
def listening(engine: Engine, payload: str) -> Iterator[Wait]:
    """Start listening and yield a function that waits for up to the given seconds and returns whether it was notified.

    Where LISTEN does not work (SQLite, a standby, a pooler), the function sleeps for at most a second and returns
    False. Both raise LedgerBusy when the connection fails.
    """
    if engine.dialect.driver != "psycopg":
        yield sleep
        return
    with answering():
        pooled = engine.raw_connection()
        connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
        pooled.detach()  # a connection that listens must not return to the pool
    with closing(connection):
        yield partial(_notified, connection, payload) if _hears(engine, connection) else sleep


def _hears(engine: Engine, connection: psycopg.Connection[Any]) -> bool:
    # A pooler that shares a session between clients accepts LISTEN, but does not forward notifications, or forwards
    # them to another client. One that cannot be recognised is detected by a probe.
    probe = f"probe {uuid4()}"
    with answering():
        connection.autocommit = True
        if libpq.pooled(connection):
            return False
        try:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        except (psycopg.InternalError, psycopg.NotSupportedError, psycopg.ProgrammingError):
            return False
        with engine.begin() as other:
            other.execute(select(func.pg_notify(CHANNEL, probe)))
    return _notified(connection, probe, _PROBE_SECONDS)


def _notified(connection: psycopg.Connection[Any], payload: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    with answering():
        while (left := deadline - time.monotonic()) > 0:
            for notify in connection.notifies(timeout=left, stop_after=1):
                if notify.payload == payload:
                    return True
    return False


def sleep(seconds: float) -> bool:
    """Sleep for at most a second and return False: nothing was heard."""
    time.sleep(min(seconds, _SLEEP_SECONDS))
    return False
