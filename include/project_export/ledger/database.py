"""How the parts of the ledger reach its tables: connections, the translation of errors, and the announcement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, Table, Text, Update, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from project_export.errors import LedgerBusy
from project_export.ledger.changes import Observe, described, note, pending, report
from project_export.ledger.engine import prepare, writing
from project_export.ledger.scrub import scrub

CHANNEL = "project_export"
"""The channel of pg_notify; the payload is the job's id."""


class Database:
    """The database that holds the ledger. All parts of one `Ledger` share one. observe: learns of every change."""

    def __init__(self, engine: Engine, observe: Observe | None = None) -> None:
        prepare(engine)
        self._observe = observe
        self.engine = engine
        self._writing = writing(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading. Raises LedgerBusy, also for what the block asks of it."""
        with answering(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run the block as one transaction, which is rolled back if the block raises. Raises LedgerBusy.

        Once it is committed, its changes are logged and reported to the observer.
        """
        with answering(), self._writing.begin() as connection:
            changes = pending(connection)
            yield connection
        report(changes, self._observe)


def announce(connection: Connection, event: str, statement: Update) -> int:
    """Run an UPDATE, notify the listeners of every job whose rows it changes, and return the number of these rows.

    event: see `Change`. On PostgreSQL this is one statement; the server sends equal notifications of a transaction only
    once.
    """
    table = cast("Table", statement.table)
    returning: Any = statement.returning(*described(table))
    if connection.dialect.name == "postgresql":
        hit = returning.cte("hit")
        job_id = hit.c["job_id" if "job_id" in hit.c else "id"]
        returning = select(hit, func.pg_notify(CHANNEL, sql_cast(job_id, Text)).label("notified"))
    changed = connection.execute(returning).mappings().all()
    note(connection, event, changed)
    return len(changed)


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
