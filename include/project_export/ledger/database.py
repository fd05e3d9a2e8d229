"""How the parts of the ledger reach its tables: connections, the translation of errors, and the announcement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Text, Update, cast, func, select
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from project_export.errors import LedgerBusy
from project_export.ledger.engine import prepare, writing
from project_export.ledger.scrub import scrub

CHANNEL = "project_export"
"""The channel of pg_notify; the payload is the job's id."""


class Database:
    """The database that holds the ledger. All parts of one `Ledger` share one."""

    def __init__(self, engine: Engine) -> None:
        prepare(engine)
        self.engine = engine
        self._writing = writing(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading. Raises LedgerBusy, also for what the block asks of it."""
        with answering(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run the block as one transaction, which is rolled back if the block raises. Raises LedgerBusy."""
        with answering(), self._writing.begin() as connection:
            yield connection


def announce(connection: Connection, statement: Update) -> int:
    """Run an UPDATE, notify the listeners of every job whose rows it changes, and return the number of these rows.

    On PostgreSQL this is one statement; the server sends equal notifications of a transaction only once.
    """
    columns = statement.table.c
    returning: Any = statement.returning((columns["job_id"] if "job_id" in columns else columns["id"]).label("job_id"))
    if connection.dialect.name == "postgresql":
        hit = returning.cte("hit")
        returning = select(func.pg_notify(CHANNEL, cast(hit.c.job_id, Text)))
    return len(connection.execute(returning).all())


@contextmanager
def answering() -> Iterator[None]:
    """Turn a lost or refused connection, a deadlock, a timeout, or a server that became a standby into LedgerBusy."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, psycopg.OperationalError) as error:
        if isinstance(error, InternalError) and not isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction):
            raise
        cause = error if isinstance(error, psycopg.Error) else error.orig
        raise LedgerBusy(
            f"The ledger's database did not answer: {scrub(str(cause)).strip()}. "
            "It is unknown whether the last write was kept; the step can be repeated. "
            "Is the database running, and does the ledger's connection name it?"
        ) from error
