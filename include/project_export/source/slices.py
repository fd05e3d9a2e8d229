"""A record that does not fit into memory, piece by piece: an issue with 100,000 notes, a diff of 60 MB.

A server-side cursor reads the table rows of each nested relation, a page at a time, in slices. The rows of a page
become documents together, or fewer at a time if what nests in them does not fit; one that does not fit alone is read
like its parent. A record of more than LONGEST bytes passes slice by slice and is never whole, unless it needs a
transform.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from typing import Any

from project_export.source.documents import Documents, Row, split
from project_export.source.node import Child, Node, Value
from project_export.source.session import Session
from project_export.source.sql import LONGEST, SLICE

_PAGE_SLICES = (4 << 20) // SLICE

Pieces = Generator[bytes, None, int]
"""Yields pieces of documents, with a comma as a piece before each document; returns the number of documents."""


class Slices:
    """Reads large records through a session. documents: makes the documents of rows that fit."""

    def __init__(self, session: Session, documents: Documents) -> None:
        self._session = session
        self._documents = documents

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
        passing = False  # whether the row's slices pass through
        query, params = node.select.sliced(), node.select.bind([key])
        for page in self._session.pages(query, params, lambda: _PAGE_SLICES, node.described, binary=True):
            rows: list[Row] = []
            for *head, left, data in page:
                ends = left <= len(data)
                count += ends
                if not passing and (begun or left <= LONGEST or self._is_changed(node, head)):
                    begun.append(data)
                    if ends:
                        rows.append((*head, b"".join(begun)))
                        begun.clear()
                    continue
                if not passing:
                    yield from self._joined(node, rows)
                    rows.clear()
                    yield b","
                passing = not ends
                if passing:
                    yield data
                else:
                    yield data[:-1]
                    yield from self._nested(node, tuple(head))
                    yield from self._documents.after(node, [(*head, b"")])
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
            yield self._documents.own(node, rows)[0][:-1]
            rest = chain(self._nested(node, rows[0]), self._documents.after(node, rows))
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

    def _is_changed(self, node: Node, head: Sequence[Any]) -> bool:
        """Return whether a row's document will be changed here, which needs all of it."""
        after = sum(bit for bit, *_ in node.due_after)
        return bool(self._documents.replaces(node) or (node.select.flagged and head[node.flags_at + 1] & ~after))
