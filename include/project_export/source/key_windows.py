"""The records of many keys, in the order of the keys: read batch by batch, window by window.

Where the export order is not the key order, a batch in export order reads table rows from all over the tables. So a
window of keys is read in key order, which touches each page of a table once, and a record that is read before its turn
waits in a temporary file. A record that does not fit into memory is read at its turn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from project_export.source.batches import Asked, Batch, Making
from project_export.source.documents import Documents, Made, split
from project_export.source.lines import Chunk, Writer
from project_export.source.node import Node, Value
from project_export.source.slices import Slices
from project_export.source.temporary import Spool, Temporary

log = logging.getLogger(__name__)

_FIRST_BATCH = 100
_MOST_KEYS = 50_000  # of a window: the client holds them all


@dataclass(eq=False)
class _Positions:
    """A batch of a window: the window's keys, and the positions in it that are read; none after the last window."""

    batch: Batch[Made]
    values: Sequence[Value] = ()
    positions: Sequence[int] = field(default_factory=list)


class KeyWindows:
    """Reads the records of one relation.

    cursor: the name of a cursor for its keys, in export order. temporary: where records wait. batch_rows, batch_bytes:
    see `Reader`. most_bytes: of one batch. ahead: whether the next batch may be read before this one is taken.
    """

    def __init__(
        self,
        node: Node,
        cursor: bytes,
        documents: Documents,
        slices: Slices,
        writer: Writer,
        temporary: Temporary,
        *,
        batch_rows: int,
        batch_bytes: int,
        most_bytes: int,
        ahead: bool,
    ) -> None:
        self._node = node
        self._cursor = cursor
        self._documents = documents
        self._slices = slices
        self._writer = writer
        self._pace = _Pace(batch_rows, batch_bytes)
        self._batch_bytes = batch_bytes
        self._reserve = 2 * most_bytes  # of this batch and of the next one
        self._most_bytes = max(temporary.bytes - self._reserve, 0) if _reordered(node) else 0
        self._ahead = ahead
        self._next: _Positions | None = None
        self._spool = Spool(temporary)
        self._read_records = 0
        self._read_bytes = 0
        # The window that is being read, and the positions that are left to read.
        self._reading: Sequence[Value] = ()
        self._left: list[int] = []
        self._fetching = False
        self._full = False
        # The window that is being yielded, and the position whose turn it is.
        self._yielding: Sequence[Value] = ()
        self._turn = 0

    def close(self) -> None:
        """Remove the temporary file, and give up what is being read."""
        self._documents.batches.close()
        self._spool.close()

    def chunks(self) -> Iterator[Chunk]:
        """Yield all records, in the order of their keys."""
        batches = self._documents.batches
        while True:
            self._start()
            present, self._next = self._next, None
            assert present is not None, "one was just started"
            made = batches.finish(present.batch, self._start if self._ahead else lambda: None)
            if not present.positions:
                return
            if self._ahead:
                self._start()
            batches.advance()
            if present.values is not self._yielding:
                self._yielding, self._turn = present.values, 0
                self._spool.begin(len(present.values))
            for chunk in self._taken(present.positions, made):
                yield chunk
                batches.advance()

    def _start(self) -> None:
        """Begin to read the next batch, unless it has begun, or the keys of this one have not arrived."""
        if self._next is None and not self._fetching:
            self._next = _Positions(self._documents.batch())
            self._documents.batches.start(self._next.batch, self._made(self._next))

    def _made(self, wanted: _Positions) -> Making[Made]:
        """Make the next batch of this window, or the first one of the next window."""
        if not self._left:
            self._fetching = True
            fetch = b"FETCH FORWARD %d FROM %s" % (self._size(), self._cursor)
            keys = yield Asked(fetch, {}, self._node.described, counted=False)
            self._fetching = False
            self._reading = self._node.joins(keys)
            self._left = list(range(len(keys)))
            if self._most_bytes:
                self._left.sort(key=lambda position: _numbered(self._reading[position]))
        elif not self._spool.fits(self._reserve):
            self._in_export_order()
        wanted.values = self._reading
        wanted.positions = self._left[: self._pace.records()]
        if not wanted.positions:
            return [], []
        del self._left[: len(wanted.positions)]
        return (yield from self._documents.made(wanted.batch, self._node, self._keys(wanted.positions, self._reading)))

    def _in_export_order(self) -> None:
        """Read the rest of the window in export order, so that hardly anything more has to wait."""
        self._left.sort()
        if not self._full:
            self._full = True
            text = (
                "%s: the temporary file is full, so the rest of a window of %d keys is read in export order, which "
                "costs the source more; a larger PROJECT_EXPORT_TEMPORARY_BYTES avoids it"
            )
            log.warning(text, self._node.relation.name, len(self._reading))

    def _size(self) -> int:
        """Return the number of keys in the next window."""
        average = self._read_bytes // max(self._read_records, 1)
        fitting = min(self._most_bytes // average, _MOST_KEYS) if average else 0
        return max(self._pace.records(), fitting)

    def _keys(self, positions: Sequence[int], values: Sequence[Value]) -> Sequence[tuple[bytes, ...]]:
        return self._node.keys([values[position] for position in positions])

    def _taken(self, positions: Sequence[int], made: Made | None) -> Iterator[Chunk]:
        """Yield the records whose turn has come, after these were read; read what did not fit in smaller batches."""
        if made is not None:
            documents = self._ordered(positions, made)
            size = sum(map(len, documents))
            self._pace.learn(len(documents), size)
            self._read_records += len(documents)
            self._read_bytes += size
            yield from self._due(dict(zip(positions, documents, strict=True)))
        elif len(positions) > 1:
            for fewer in split(positions):
                yield from self._taken(fewer, self._documents.of_keys(self._node, self._keys(fewer, self._yielding)))
        else:
            self._pace.learn(1, self._batch_bytes)
            self._spool.postpone(positions[0])
            yield from self._due({})

    def _due(self, fresh: dict[int, bytes]) -> Iterator[Chunk]:
        """Yield the records whose turn has come; keep the others. fresh: those just read, by position."""
        read, size = self._read_records, self._read_bytes
        yield from self._writer.chunks(self._in_turn(fresh))
        while self._turn < len(self._yielding) and self._spool.postponed(self._turn):
            key = self._keys([self._turn], self._yielding)
            self._turn += 1
            self._documents.batches.settle()
            self._documents.batches.keys = self._node, key
            yield from self._writer.pieces(self._slices.record(self._node, key[0]), end=b"\n")
            yield from self._writer.chunks(self._in_turn(fresh))
        if fresh:
            self._spool.keep(fresh)
            yield Chunk(b"", 0, read=read, read_bytes=size)

    def _in_turn(self, fresh: dict[int, bytes]) -> Iterator[bytes]:
        """Yield the documents from the next turn on, until one is missing."""
        while self._turn < len(self._yielding):
            document = fresh.pop(self._turn, None) or self._spool.take(self._turn)
            if document is None:
                return
            self._turn += 1
            yield document

    def _ordered(self, positions: Sequence[int], made: Made) -> list[bytes]:
        """Return the documents in the order of the positions."""
        node, (rows, documents) = self._node, made
        found: Mapping[Value, bytes] = dict(zip(node.joins(rows), documents, strict=True))
        if not len(positions) == len(rows) == len(found):
            raise node.refused(len(positions), len(rows))
        return [found[self._yielding[position]] for position in positions]


class _Pace:
    """The number of records in the next batch: as many as should fit, by the size of the last ones."""

    def __init__(self, most: int, aim_bytes: int) -> None:
        self._most = most
        self._aim = aim_bytes
        self._records = min(_FIRST_BATCH, most)

    def records(self) -> int:
        return self._records

    def learn(self, records: int, size: int) -> None:
        fitting = records * self._aim // max(size, 1)
        self._records = max(1, min(fitting, self._most, 4 * self._records))


def _reordered(node: Node) -> bool:
    """Return whether the export order of a relation may differ from the order of its keys."""
    relation = node.relation
    columns = tuple(order.column for order in relation.order)
    return bool(columns) and columns != relation.key[: len(columns)]


def _numbered(value: Value) -> tuple[tuple[int, bytes], ...]:
    """Return what sorts the texts of numbers like the numbers."""
    texts = value if isinstance(value, tuple) else (value or b"",)
    return tuple((len(text), text) for text in texts)
