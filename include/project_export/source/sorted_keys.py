"""The keys of a relation in export order, which the server sorts once for all parts that one session reads in turn.

To sort them costs as much for a part as for all, so a cursor over all keys stays open from one part to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from project_export.source.session import Session
from project_export.source.sql import Query


@dataclass
class _Open:
    """A cursor. next: the number of the key that it returns next, from 0."""

    relation: str
    cursor: bytes
    next: int = 0


class SortedKeys:
    """Gives cursors for the keys of relations, all in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: _Open | None = None

    @contextmanager
    def run(self, relation: str, query: Callable[[], Query], start: int, end: int | None, what: str) -> Iterator[bytes]:
        """Give the name of a cursor, as SQL, that returns the key numbered `start` next.

        query: makes the query for all keys of the relation. end: the number of the first key that the block does not
        fetch, if it then goes on with those behind; None: it fetches all. what: what is read, for error messages.
        """
        # After an error in the block the cursor may be anywhere, so it is not used again.
        before, self._open = self._open, None
        if before is not None and not self._session.is_open(before.cursor):  # its transaction was rolled back
            before = None
        if before is not None and (before.relation != relation or before.next > start):
            self._session.close_cursor(before.cursor)
            before = None
        keys = before or _Open(relation, self._session.declare(*query(), what))
        if keys.next < start:
            self._session.move(keys.cursor, start - keys.next, what)
        yield keys.cursor
        if end is None:
            self._session.close_cursor(keys.cursor)
        else:
            keys.next = end
            self._open = keys
