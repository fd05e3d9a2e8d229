"""The pieces of a tar.gz: parts, which are not compressed again, and the bytes between them, from the ledger alone.

The archive is one gzip member: a header, then deflate streams one after the other (the parts as they are stored, and
between them the tar headers and padding as small streams of the same form), an empty final block, and a trailer with
the CRC-32 combined from those of the parts. Several gzip members would be just as easy, but Python's streaming tarfile,
Ruby's GzipReader and Perl's Gunzip stop after the first one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from isal import isal_zlib

from project_export.archive.part import PartFacts, PartWriter
from project_export.archive.tar import BLOCK, RECORD, file_header, folder_header, padding
from project_export.errors import ArchiveBroken
from project_export.store import Glue, Piece, StoredPiece

GLUE_LEVEL = 1

# The same header as `tar -cz` writes: no file name, no time, Unix.
GZIP_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 03")
FINAL_BLOCK = bytes.fromhex("0300")


@dataclass(frozen=True)
class StoredPart:
    """A finished part of a relation: its facts, and its URI in the store."""

    relation: str
    part: int
    facts: PartFacts
    uri: str


@dataclass(frozen=True)
class Member:
    """A file of the archive. It consists of `data` if it is small and known, otherwise of `parts` in order.

    name: relative, without the leading `./`.
    """

    name: str
    parts: tuple[StoredPart, ...] = ()
    data: bytes = b""

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        return len(self.data) + sum(part.facts.raw_bytes for part in self.parts)


@dataclass(frozen=True)
class Run:
    """Files of the archive whose parts are already in tar form: header, bytes and padding of each file.

    folders: relative names of the folders that contain the files. Names within the parts are not checked here, but by
    the producer.
    """

    folders: tuple[str, ...]
    parts: tuple[StoredPart, ...]

    @property
    def size(self) -> int:
        """The run's length in bytes."""
        return sum(part.facts.raw_bytes for part in self.parts)


def archive_pieces(members: Iterable[Member | Run], mtime: int) -> tuple[Piece, ...]:
    """Return the pieces of the archive of `members`, in their order.

    mtime: of all files, in seconds since 1970. Raises ArchiveBroken for an invalid or repeated name, and for a run that
    does not fill whole blocks of 512 bytes.
    """
    gzip = _Gzip()
    gzip.glue(folder_header("./", mtime))
    written: set[PurePosixPath] = {PurePosixPath()}
    for member in members:
        if isinstance(member, Run):
            for folder in member.folders:
                _folders(gzip, PurePosixPath(folder, "x"), written, mtime)
            if member.size % BLOCK:
                raise ArchiveBroken(f"A run of files has {member.size} bytes, which are not whole blocks of {BLOCK}.")
        else:
            path = PurePosixPath(member.name)
            if path in written or path.is_absolute() or ".." in path.parts or str(path) != member.name:
                raise ArchiveBroken(
                    f"The archive cannot have the file {member.name!r}: names must be relative, normalized and unique. "
                    "Check the names of the tree's relations."
                )
            _folders(gzip, path, written, mtime)
            written.add(path)
            gzip.glue(file_header(f"./{path}", member.size, mtime) + member.data)
        for part in member.parts:
            gzip.append(part)
        gzip.glue(padding(member.size))
    gzip.glue(bytes(2 * BLOCK))
    gzip.glue(bytes(-gzip.raw_bytes % RECORD))
    return gzip.finish()


def relation_pieces(parts: Sequence[StoredPart]) -> tuple[Piece, ...]:
    """Return the pieces of relation.ndjson.gz, which has one relation: its parts, in order, as one gzip member."""
    gzip = _Gzip()
    for part in parts:
        gzip.append(part)
    return gzip.finish()


def _folders(gzip: _Gzip, path: PurePosixPath, written: set[PurePosixPath], mtime: int) -> None:
    """Add the folders above a path that have not been added yet."""
    for folder in reversed(path.parents):
        if folder not in written:
            gzip.glue(folder_header(f"./{folder}/", mtime))
            written.add(folder)


class _Gzip:
    """Collects the pieces of one gzip member. raw_bytes: its uncompressed size so far."""

    def __init__(self) -> None:
        self.raw_bytes = 0
        self._crc32 = 0
        self._pieces: list[Piece] = []
        self._stored = bytearray(GZIP_HEADER)
        """Glue that has been compressed."""
        self._pending = bytearray()
        """Glue that has not been compressed, since neighbouring glue is compressed together."""

    def glue(self, data: bytes) -> None:
        """Add bytes that are known without reading a part."""
        self._pending += data
        self.raw_bytes += len(data)

    def append(self, part: StoredPart) -> None:
        """Add a stored part unchanged."""
        facts = part.facts
        self._end_glue()
        self._combine(facts)
        self.raw_bytes += facts.raw_bytes
        stored = (facts.stored_bytes, facts.stored_crc32, facts.sha256)
        self._pieces.append(StoredPiece(part.relation, part.part, part.uri, *stored))

    def finish(self) -> tuple[Piece, ...]:
        """End the member and return its pieces."""
        self._compress()
        # ISIZE is the length modulo 2^32 (RFC 1952, 2.3.1).
        self._stored += FINAL_BLOCK + self._crc32.to_bytes(4, "little") + (self.raw_bytes % 2**32).to_bytes(4, "little")
        self._end_glue()
        return tuple(self._pieces)

    def _end_glue(self) -> None:
        self._compress()
        if self._stored:
            self._pieces.append(Glue(bytes(self._stored)))
            self._stored.clear()

    def _compress(self) -> None:
        if not self._pending:
            return
        stored = io.BytesIO()
        glue = PartWriter(stored, GLUE_LEVEL)
        glue.write(bytes(self._pending), 0)
        self._pending.clear()
        self._combine(glue.finish())
        self._stored += stored.getvalue()

    def _combine(self, facts: PartFacts) -> None:
        self._crc32 = isal_zlib.crc32_combine(self._crc32, facts.crc32, facts.raw_bytes)
