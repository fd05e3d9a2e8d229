"""What every statement of the ledger needs: a connection, the translation of its errors, and the announcement."""

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


class Book:
    """An engine and how it is used. Each write is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        prepare(engine)
        self._engine = engine
        self._writing = writing(engine)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with answering(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with answering(), self._writing.begin() as connection:
            yield connection

    def _announce(self, connection: Connection, statement: Update) -> int:
        """Run an UPDATE, tell whoever listens to the jobs of the rows it hits, and return how many it hits.

        One statement on PostgreSQL, which sends equal notifications of a transaction once.
        """
        columns = statement.table.c
        returning: Any = statement.returning(
            (columns["job_id"] if "job_id" in columns else columns["id"]).label("job_id")
        )
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
            "Whether the last write was kept is not known; the step can be repeated. "
            "Is the database running, and does the ledger's connection name it?"
        ) from error
