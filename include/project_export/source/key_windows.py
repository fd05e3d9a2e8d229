"""The records of many keys, in the order of the keys: read batch by batch, window by window.

Where the export order is not the key order, a batch in export order reads table rows from all over the tables. So a
window of keys is read in key order, which touches each page of a table once, and a record that is read before its turn
waits in a temporary file. A record that does not fit into memory is read at its turn.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from project_export.source.batches import Asked, Batch, Making
from project_export.source.documents import Documents, Made, split
from project_export.source.lines import Chunk, Writer
from project_export.source.node import Node, Value
from project_export.source.pace import Pace
from project_export.source.slices import Slices
from project_export.source.temporary import Spool, Temporary

log = logging.getLogger(__name__)

_MOST_KEYS = 10_000  # of a window: the client holds them all, and larger ones save no wall time
_AHEAD = 3  # batches that are being read before this one is taken


class _Window:
    """Keys in export order, whose records are read in the order of the keys.

    left: positions that are left to read. turn: the position whose record is yielded next.
    """

    def __init__(self, values: Sequence[Value], temporary: Temporary) -> None:
        self.values = values
        self.left = array("i", range(len(values)))
        self.turn = 0
        self.spool = Spool(temporary, len(values))

    @property
    def ended(self) -> bool:
        """Whether all its records have been yielded."""
        return self.turn == len(self.values)


@dataclass(eq=False)
class _Positions:
    """A batch: positions of a window that are read; no window after the last one."""

    batch: Batch[Made]
    window: _Window | None = None
    positions: Sequence[int] = field(default_factory=list)


class KeyWindows:
    """Reads the records of one relation.

    cursor: the name of a cursor for its keys, in export order. limit: how many of them are read at most; None: all.
    temporary: where records wait. batch_rows, batch_bytes: see `Reader`.
    most_bytes: of one batch. ahead: whether the next batches may be read before this one is taken.
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
        limit: int | None,
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
        self._temporary = temporary
        self._keys_left = math.inf if limit is None else limit
        self._pace = Pace(batch_rows, batch_bytes)
        self._batch_bytes = batch_bytes
        self._reserve = (1 + _AHEAD) * most_bytes  # of this batch and of those ahead
        self._most_bytes = max(temporary.bytes - self._reserve, 0) if node.reordered else 0
        self._ahead = ahead
        self._started: deque[_Positions] = deque()
        self._fetching = False
        """Whether the keys of the next window have not arrived."""
        self._slicing = False
        """Whether a large record is being read, which needs the session for itself."""
        self._reported = False
        self._windows: deque[_Window] = deque()
        """Those with records to yield: the last one is read, while one before it is yielded."""
        self._allowed = 0.0
        if node.reordered and temporary.bytes and not self._most_bytes:
            self._report(
                f"all records, since {temporary.bytes} bytes of temporary files hold less than {1 + _AHEAD} batches"
            )
        self._read_records = 0
        self._read_bytes = 0

    def close(self) -> None:
        """Remove the temporary files, and give up what is being read."""
        self._documents.batches.close()
        for window in self._windows:
            window.spool.close()

    def chunks(self) -> Iterator[Chunk]:
        """Yield all records, in the order of their keys.

        Records of the last batch are yielded while the rows of this one are on their way.
        """
        batches = self._documents.batches
        taken: Iterator[Chunk] = iter(())
        while True:
            if not self._started:
                yield from taken
                if not self._room:
                    yield from self._due({}, math.inf)
                self._start()
            present = self._started.popleft()
            while not present.batch.done:
                if batches.few:
                    self._start_ahead()
                if batches.ready:
                    batches.go_on()
                elif (chunk := next(taken, None)) is not None:
                    yield chunk
                elif not present.batch.done:  # it may have been made to read a large record
                    batches.go_on()
            for chunk in taken:
                yield chunk
                if batches.few:
                    self._start_ahead()
                batches.advance()
            if present.window is None:
                batches.finish(present.batch)
                yield from self._due({}, math.inf)
                return
            taken = self._taken(present.window, present.positions, batches.finish(present.batch))
            self._start_ahead()

    @property
    def _room(self) -> bool:
        """Whether another batch may be read before more records are yielded."""
        return len(self._windows) < 2 or (bool(self._windows[-1].left) and self._fits)

    @property
    def _fits(self) -> bool:
        """Whether what is read next may wait."""
        return sum(window.spool.size for window in self._windows) + self._reserve <= self._temporary.bytes

    def _start_ahead(self) -> None:
        """Begin to read one more batch, unless enough have begun, or that has to wait."""
        if self._ahead and len(self._started) < _AHEAD and self._room and not (self._fetching or self._slicing):
            self._start()

    def _start(self) -> None:
        started = _Positions(self._documents.batch())
        self._started.append(started)
        self._documents.batches.start(started.batch, self._made(started))

    def _made(self, wanted: _Positions) -> Making[Made]:
        """Make the next batch of this window, or the first one of the next window."""
        window = self._windows[-1] if self._windows else None
        if window is None or not window.left:
            size = int(min(self._size(), self._keys_left))
            if not size:
                return [], []
            self._fetching = True
            fetch = b"FETCH FORWARD %d FROM %s" % (size, self._cursor)
            keys = yield Asked(fetch, {}, self._node.described, counted=False)
            self._fetching = False
            self._keys_left -= len(keys)
            if not keys:
                return [], []
            window = _Window(self._node.joins(keys), self._temporary)
            del keys  # this waits for the first batch
            self._windows.append(window)
            if self._most_bytes:
                window.left = array("i", _by_key(window.values))
        elif self._most_bytes and not self._fits:
            self._in_export_order(window)
        wanted.window = window
        wanted.positions = window.left[: self._pace.records()]
        del window.left[: len(wanted.positions)]
        return (yield from self._documents.made(wanted.batch, self._node, self._keys(window, wanted.positions)))

    def _in_export_order(self, window: _Window) -> None:
        """Read the rest of a window in export order, so that hardly anything more has to wait."""
        window.left = array("i", sorted(window.left))
        self._report(f"the rest of a window of {len(window.values)} keys, since the temporary files are full")

    def _report(self, what: str) -> None:
        """Log once that something is read in export order."""
        if not self._reported:
            self._reported = True
            text = (
                "%s: read in export order, which costs the source more: %s; a larger PROJECT_EXPORT_TEMPORARY_BYTES "
                "avoids it"
            )
            log.warning(text, self._node.relation.name, what)

    def _size(self) -> int:
        """Return the number of keys in the next window: while it is read, the one before it waits as well."""
        average = self._read_bytes // max(self._read_records, 1)
        fitting = self._most_bytes // 2 // average if average else 0
        return max(self._pace.records(), min(fitting, _MOST_KEYS))

    def _keys(self, window: _Window, positions: Sequence[int]) -> Sequence[tuple[bytes, ...]]:
        return self._node.keys([window.values[position] for position in positions])

    def _taken(self, window: _Window, positions: Sequence[int], made: Made | None) -> Iterator[Chunk]:
        """Return an iterator over records whose turn has come, after these were read.

        It holds only those of them that it has not yielded. What did not fit is read in smaller batches.
        """
        if made is None:
            return self._fewer(window, positions)
        fresh = dict(zip(positions, self._ordered(window, positions, made), strict=True))
        size = sum(map(len, fresh.values()))
        self._pace.learn(len(fresh), size)
        self._read_records += len(fresh)
        self._read_bytes += size
        most: float = size
        if window is not self._windows[0]:
            most = self._windows[0].spool.waiting * len(fresh) / (len(fresh) + len(window.left))
            window.spool.keep(fresh)
            fresh.clear()
        return self._yielded(fresh, most if self._fits else math.inf)

    def _fewer(self, window: _Window, positions: Sequence[int]) -> Iterator[Chunk]:
        """Read records that do not fit into memory together in smaller batches; read one that does not fit at its turn.

        All of the smaller batches may need more space than was kept for one: what has none is read at its turn, too.
        """
        if self._most_bytes and not self._fits:
            self._report("records that do not fit into memory together, since the temporary files are full")
            self._pace.learn(1, self._batch_bytes)
            for position in positions:
                window.spool.postpone(position)
            yield from self._due({}, math.inf)
        elif len(positions) > 1:
            for some in split(positions):
                made = self._documents.of_keys(self._node, self._keys(window, some))
                yield from self._taken(window, some, made)
        else:
            self._pace.learn(1, self._batch_bytes)
            window.spool.postpone(positions[0])
            yield from self._due({}, self._batch_bytes)

    def _yielded(self, fresh: dict[int, bytes], most: float) -> Iterator[Chunk]:
        yield from self._due(fresh, most)
        if any(window.spool.size for window in self._windows):
            yield Chunk(b"", 0, read=self._read_records, read_bytes=self._read_bytes)

    def _due(self, fresh: dict[int, bytes], most: float) -> Iterator[Chunk]:
        """Yield records of the first window whose turn has come, up to `most` bytes; keep the others.

        fresh: those of this window that were just read, by position.
        """
        self._allowed = most
        while self._windows and self._allowed > 0:
            window = self._windows[0]
            yield from self._writer.chunks(self._in_turn(window, fresh))
            if window.ended:
                window.spool.close()
                self._windows.popleft()
            elif window.spool.postponed(window.turn):
                key = self._keys(window, [window.turn])
                window.turn += 1
                self._documents.batches.settle()
                self._documents.batches.keys = self._node, key
                self._slicing = True
                yield from self._writer.pieces(self._slices.record(self._node, key[0]), end=b"\n")
                self._slicing = False
            else:
                break
        if fresh:
            self._windows[0].spool.keep(fresh)

    def _in_turn(self, window: _Window, fresh: dict[int, bytes]) -> Iterator[bytes]:
        """Yield the documents of a window from the next turn on, until one is missing, or no more may be yielded."""
        while not window.ended and self._allowed > 0:
            document = fresh.pop(window.turn, None) or window.spool.take(window.turn)
            if document is None:
                return
            window.turn += 1
            self._allowed -= len(document)
            yield document

    def _ordered(self, window: _Window, positions: Sequence[int], made: Made) -> list[bytes]:
        """Return the documents in the order of the positions."""
        values, documents = made
        found: Mapping[Value, bytes] = dict(zip(values, documents, strict=True))
        if not len(positions) == len(values) == len(found):
            raise self._node.refused(len(positions), len(values))
        return [found[window.values[position]] for position in positions]


def _by_key(values: Sequence[Value]) -> list[int]:
    """Return the positions of values, sorted by them; texts of numbers are sorted like the numbers."""
    positions = list(range(len(values)))
    columns = list(zip(*values, strict=True)) if isinstance(values[0], tuple) else [values]
    for column in reversed(columns):
        texts = [text or b"" for text in column]
        positions.sort(key=texts.__getitem__)
        positions.sort(key=[*map(len, texts)].__getitem__)
    return positions
