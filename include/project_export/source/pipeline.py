"""Statements that are sent before the results of earlier ones are read, over one connection (libpq's pipeline mode).

The server works on the next statement while the client makes documents of the last one. This needs no second
connection, so it works within any connection limit and behind any pooler. Each statement is followed by a sync, and
results arrive in the order of the statements.

A statement that is sent again can be prepared. The server parses and plans it once then, not for each batch, which is a
third of its work for merge requests.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.adapt import PyFormat, Transformer

_CHUNK_ROWS = 8
_PLACEHOLDER = re.compile(rb"%\((\w+)\)s|%%")
_ROWS = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE)
_BINARY = pq.Format.BINARY

_Kind = tuple[bytes, tuple[int, ...]]
"""The text of a statement, and the types of its values."""


class Pipeline:
    """Sends statements over a connection, which nothing else may use until `close`, and reads their rows."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._values = Transformer.from_context(connection)
        self._rows = Transformer.from_context(connection)
        self._sent: deque[_Kind | None] = deque()
        """Statements that have been sent, and not been read to the end; the kind of one that is prepared with it."""
        self._begun = False
        """Whether the first of them is being read."""
        self._prepared: dict[_Kind, bytes] = {}
        """The names of prepared statements; empty for one that was sent once."""
        self._numbers = count()

    def send(self, query: bytes, params: Mapping[str, Any], *, prepared: bool = False) -> None:
        """Send a statement with psycopg's named placeholders. Raises psycopg.Error.

        prepared: whether the server keeps it, if it is sent again. Not for a connection through a pooler.
        """
        pgconn = self._pgconn
        if pgconn.pipeline_status == pq.PipelineStatus.OFF:
            pgconn.enter_pipeline_mode()
        text, names = _numbered(query)
        values = self._values.dump_sequence([params[name] for name in names], [PyFormat.AUTO] * len(names))
        kind = (text, tuple(self._values.types or ()))
        preparing = None
        if not prepared or kind not in self._prepared:
            pgconn.send_query_params(text, values, self._values.types, self._values.formats, _BINARY)
            if prepared:
                self._prepared[kind] = b""
        else:
            if not self._prepared[kind]:
                self._prepared[kind] = b"project_export_%d" % next(self._numbers)
                pgconn.send_prepare(self._prepared[kind], text, self._values.types)
                preparing = kind
            pgconn.send_query_prepared(self._prepared[kind], values, self._values.formats, _BINARY)
        pgconn.pipeline_sync()
        self._sent.append(preparing)
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
        self._sent.popleft()
        self._begun = False

    @property
    def ready(self) -> bool:
        """Whether rows of the first statement have arrived. Raises psycopg.Error, like `rows`."""
        if self._sent[0] is not None and not self._begun and not self._arrived:
            return False
        self._begin()
        return self._arrived

    @property
    def _arrived(self) -> bool:
        if not self._pgconn.is_busy():
            return True  # without reading more: the rows of later statements would fill the memory of libpq
        self._pgconn.consume_input()
        return not self._pgconn.is_busy()

    def close(self) -> None:
        """Let others use the connection. Rows that have not been read are dropped."""
        with suppress(psycopg.Error):  # of a connection that is lost
            while self._sent:
                self._skip()
        self._sent.clear()
        self._begun = False
        if self._pgconn.status == pq.ConnStatus.OK and self._pgconn.pipeline_status != pq.PipelineStatus.OFF:
            self._pgconn.exit_pipeline_mode()

    def _begin(self) -> None:
        """Choose how the rows of the first statement arrive, before any of them is looked at."""
        if not self._begun:
            if self._sent[0] is not None:
                self._read_prepared()
            self._pgconn.set_chunked_rows_mode(_CHUNK_ROWS)
            self._begun = True

    def _skip(self) -> None:
        """Drop what remains of the first statement, and whether it was prepared."""
        preparing = self._sent.popleft()
        if preparing is not None:
            self._prepared.pop(preparing, None)
        while self._pgconn.status == pq.ConnStatus.OK:
            result = self._fetch()
            if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                return

    def _read_prepared(self) -> None:
        """Read that the first statement was prepared. Raises psycopg.Error if it was not."""
        while (result := self._fetch()) is not None:
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result)

    def _fetch(self) -> pq.abc.PGresult | None:
        if not self._pgconn.is_busy():  # psycopg would look whether it has to wait, which takes longer than all else
            return self._pgconn.get_result()
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
