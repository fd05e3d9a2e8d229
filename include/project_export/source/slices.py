"""A record that does not fit into memory, piece by piece: an issue with 100,000 notes, a diff of 60 MB.

A server-side cursor reads the table rows of each nested relation, a page at a time, in slices. The rows of a page
become documents together, or fewer at a time if what nests in them does not fit; one that does not fit alone is read
like its parent. A record of more than LONGEST bytes passes slice by slice and is never whole; see `changed` for its
values that need a transform.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain

from project_export.source.batches import Row
from project_export.source.changed import Changed
from project_export.source.documents import Documents, split
from project_export.source.node import Child, Node, Value
from project_export.source.session import Session
from project_export.source.sql import LONGEST, SLICE
from project_export.source.temporary import Temporary

_PAGE_SLICES = (4 << 20) // SLICE

Pieces = Generator[bytes, None, int]
"""Yields pieces of documents, with a comma as a piece before each document; returns the number of documents."""


class Slices:
    """Reads large records through a session.

    documents: makes the documents of rows that fit. temporary: where large values that need a transform are held.
    """

    def __init__(self, session: Session, documents: Documents, temporary: Temporary) -> None:
        self._session = session
        self._documents = documents
        self._temporary = temporary

    def record(self, node: Node, key: tuple[bytes, ...]) -> Iterator[bytes]:
        """Yield the pieces of the one record with this key. Raises SourceRefused if there is none, or more than one."""
        pieces = self._listed(node, key)
        next(pieces, None)  # the comma
        count = yield from pieces
        if count != 1:
            raise node.refused(1, count or 0)

    def _listed(self, node: Node, key: tuple[bytes, ...]) -> Pieces:
        """Yield the documents of all rows under a key."""
        count = 0
        begun: list[bytes] = []  # the slices so far of a row that is put together
        passing: Changed | None = None  # the row whose slices pass through
        query, params = node.select.sliced(), node.select.bind([key])
        for page in self._session.pages(query, params, lambda: _PAGE_SLICES, node.described, binary=True):
            rows: list[Row] = []
            for *head, left, data in page:
                ends = left <= len(data)
                count += ends
                if passing is None and (begun or left <= LONGEST):
                    begun.append(data)
                    if ends:
                        rows.append((*head, b"".join(begun)))
                        begun.clear()
                    continue
                if passing is None:
                    yield from self._joined(node, rows)
                    rows.clear()
                    yield b","
                    passing = Changed(self._documents.own, node, (*head, b""), self._temporary)
                yield from passing.pieces(data, ends=ends)
                if ends:
                    passing = None
                    yield from self._nested(node, tuple(head))
                    yield from self._documents.own.after(node, [(*head, b"")])
            yield from self._joined(node, rows)
        return count

    def _joined(self, node: Node, rows: Sequence[Row]) -> Iterator[bytes]:
        """Yield the documents of rows that have been read, each after a comma."""
        documents = self._documents.of_rows(node, rows)
        if documents is not None:
            for document in documents:
                yield b","
                yield document
        elif len(rows) > 1:
            for fewer in split(rows):
                yield from self._joined(node, fewer)
        else:
            yield b","
            yield from Changed(self._documents.own, node, rows[0], self._temporary).pieces(rows[0][-1], ends=True)
            rest = chain(self._nested(node, rows[0]), self._documents.own.after(node, rows))
            yield next(rest).removeprefix(b"," if node.bare else b"")
            yield from rest

    def _nested(self, node: Node, row: Row) -> Iterator[bytes]:
        """Yield what the nested relations of a row add to its document."""
        for child in node.children:
            yield from self._added(child, child.values([row])[0])

    def _added(self, child: Child, value: Value) -> Iterator[bytes]:
        for node in child.nodes if value is not None else ():
            pieces = self._listed(node, node.keys([value])[0])
            if next(pieces, None) is not None:
                yield child.opening
                yield from pieces
                yield child.closing
                return
        if nothing := child.added([], value):
            yield nothing
