"""Lines of JSON from documents, a few at a time: large blocks of memory are slow to allocate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from project_export.formats import Escapes

_CHUNK_BYTES = 256 << 10


@dataclass(frozen=True)
class Chunk:
    """A run of bytes of a relation's file.

    records: how many records end in it; 0 while a large one goes on. packed: whether it is compressed already.
    read, read_bytes: how many records, and bytes of them, have been read so far, if that is more than has been yielded.
    """

    data: bytes
    records: int
    packed: bool = False
    read: int = 0
    read_bytes: int = 0


class Writer:
    """Makes chunks of records and escapes them."""

    def __init__(self, escapes: Escapes) -> None:
        self._escapes = escapes

    def chunks(self, documents: Iterable[bytes]) -> Iterator[Chunk]:
        """Yield records, one per line."""
        lines: list[bytes] = []
        size = 0
        escape = self._escapes.escape
        for document in documents:
            if lines and size + len(document) > _CHUNK_BYTES:
                yield Chunk(b"\n".join([*lines, b""]), len(lines))
                lines.clear()
                size = 0
            if len(document) > _CHUNK_BYTES:
                yield from self.pieces(cut(document), end=b"\n")
            else:
                lines.append(escape(document))
                size += len(document)
        if lines:
            yield Chunk(b"\n".join([*lines, b""]), len(lines))

    def pieces(self, pieces: Iterable[bytes], end: bytes = b"") -> Iterator[Chunk]:
        """Yield one record from its pieces, a few hundred kilobytes at a time. end: what follows it."""
        gathered: list[bytes] = []
        size = 0
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= _CHUNK_BYTES:
                data = b"".join(gathered)
                whole = self._escapes.whole(data)
                yield Chunk(self._escapes.escape(data[:whole]), 0)
                gathered = [data[whole:]]
                size -= whole
        yield Chunk(self._escapes.escape(b"".join(gathered)) + end, 1)


def cut(document: bytes) -> Iterator[bytes]:
    """Yield a document in pieces."""
    for at in range(0, len(document), _CHUNK_BYTES):
        yield document[at : at + _CHUNK_BYTES]
