"""Statements that are sent before the results of earlier ones are read, over one connection (libpq's pipeline mode).

The server works on the next statement while the client makes documents of the last one. This needs no second
connection, so it works within any connection limit and behind any pooler. Each statement is followed by a sync, and
results arrive in the order of the statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.adapt import PyFormat, Transformer

_CHUNK_ROWS = 8
_PLACEHOLDER = re.compile(rb"%\((\w+)\)s|%%")
_ROWS = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE)
_BINARY = pq.Format.BINARY


class Pipeline:
    """Sends statements over a connection, which nothing else may use until `close`, and reads their rows."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._values = Transformer.from_context(connection)
        self._rows = Transformer.from_context(connection)
        self._sent = 0
        """Statements that have been sent, and not been read to the end."""
        self._begun = False
        """Whether the first of them is being read."""

    def send(self, query: bytes, params: Mapping[str, Any]) -> None:
        """Send a statement with psycopg's named placeholders. Raises psycopg.Error."""
        pgconn = self._pgconn
        if pgconn.pipeline_status == pq.PipelineStatus.OFF:
            pgconn.enter_pipeline_mode()
        text, names = _numbered(query)
        values = self._values.dump_sequence([params[name] for name in names], [PyFormat.AUTO] * len(names))
        pgconn.send_query_params(text, values, self._values.types, self._values.formats, _BINARY)
        pgconn.pipeline_sync()
        self._sent += 1
        self._connection.wait(generators.send(pgconn))

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of the first statement that has not been read, a few at a time, in PostgreSQL's binary form.

        They must be read to the end. Raises psycopg.Error; nothing but `close` is possible then.
        """
        self._begin()
        first = True
        while (result := self._fetch()) is not None:
            if result.status not in _ROWS:
                raise psycopg.errors.error_from_result(result)
            if result.ntuples:
                self._rows.set_pgresult(result, set_loaders=first)
                first = False
                yield self._rows.load_rows(0, result.ntuples, tuple)
        self._fetch()  # the sync
        self._sent -= 1
        self._begun = False

    @property
    def ready(self) -> bool:
        """Whether rows of the first statement have arrived."""
        self._begin()
        self._pgconn.consume_input()
        return not self._pgconn.is_busy()

    def close(self) -> None:
        """Let others use the connection. Rows that have not been read are dropped."""
        with suppress(psycopg.Error):  # of a connection that is lost
            while self._sent:
                self._skip()
        self._sent = 0
        self._begun = False
        if self._pgconn.status == pq.ConnStatus.OK and self._pgconn.pipeline_status != pq.PipelineStatus.OFF:
            self._pgconn.exit_pipeline_mode()

    def _begin(self) -> None:
        """Choose how the rows of the first statement arrive, before any of them is looked at."""
        if not self._begun:
            self._pgconn.set_chunked_rows_mode(_CHUNK_ROWS)
            self._begun = True

    def _skip(self) -> None:
        """Drop what remains of the first statement."""
        self._sent -= 1
        while self._pgconn.status == pq.ConnStatus.OK:
            result = self._fetch()
            if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                return

    def _fetch(self) -> pq.abc.PGresult | None:
        result: pq.abc.PGresult | None = self._connection.wait(generators.fetch(self._pgconn))
        return result


@lru_cache
def _numbered(query: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with PostgreSQL's numbered placeholders, and the names of the values."""
    names: dict[bytes, int] = {}

    def one(found: re.Match[bytes]) -> bytes:
        if found[0] == b"%%":
            return b"%"
        return b"$%d" % names.setdefault(found[1], len(names) + 1)

    text = _PLACEHOLDER.sub(one, query)
    return text, tuple(name.decode() for name in names)
