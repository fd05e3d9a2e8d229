"""Read a file that consists of pieces, or a range of its bytes, and check each stored piece that is read as a whole.

The last block of such a piece is returned only after the check, so a wrong piece is never passed on completely.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from isal import isal_zlib

from project_export.errors import ArchiveBroken, ArtifactMissing, PartCorrupt
from project_export.store.pieces import Glue, StoredPiece

BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A stored file as a whole. bytes, sha256 (hex): of the file."""

    uri: str
    bytes: int
    sha256: str


Source = Glue | StoredPiece | StoredFile


class Contents(Iterator[bytes]):
    """The bytes of a file from `first` on, `length` of them, in blocks of at most 1 MiB. Close it in any case.

    open_stored: opens a stored file, which must be seekable, by its URI. The first stored piece of the range is opened
    at once, and a later one when it is reached. What is open stays the same even if it is replaced in the store.
    Raises PartCorrupt for a part that is missing or not what was written, ArtifactMissing or ArchiveBroken for a whole
    file, StoreRefused for both: a wrong size is found at once, wrong content before the last block.
    """

    def __init__(
        self, sources: Sequence[Source], open_stored: Callable[[str], BinaryIO], first: int, length: int
    ) -> None:
        self._open_stored = open_stored
        self._file: BinaryIO | None = None
        slices = list(_slices(sources, first, length))
        stored = next((source for source, _, _ in slices if not isinstance(source, Glue)), None)
        if stored is not None:
            self._file = self._opened(stored)
        self._blocks = self._read(slices)

    def __next__(self) -> bytes:
        """Return the next block."""
        return next(self._blocks)

    def close(self) -> None:
        """Close the stored file that is open."""
        self._blocks.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, slices: Sequence[tuple[Source, int, int]]) -> Generator[bytes, None, None]:
        for source, first, length in slices:
            if isinstance(source, Glue):
                for at in range(first, first + length, BLOCK):
                    yield source.data[at : min(at + BLOCK, first + length)]
                continue
            if self._file is None:
                self._file = self._opened(source)
            yield from _blocks(source, self._file, first, length)
            self._file.close()
            self._file = None

    def _opened(self, source: StoredPiece | StoredFile) -> BinaryIO:
        """Open a stored file and check its size."""
        try:
            file = self._open_stored(source.uri)
        except ArtifactMissing as error:
            raise _missing(source, error) from error
        try:
            size = file.seek(0, io.SEEK_END)
            if size != source.bytes:
                raise _changed(source, f"it has {size} bytes instead of {source.bytes}")
        except BaseException:
            file.close()
            raise
        return file


def _slices(sources: Sequence[Source], first: int, length: int) -> Iterator[tuple[Source, int, int]]:
    """Yield each source that has bytes of the range, with the start and the length of these bytes in it."""
    at = 0
    for source in sources:
        start, end = max(first - at, 0), min(first + length - at, source.bytes)
        if start < end:
            yield source, start, end - start
        at += source.bytes


def _blocks(source: StoredPiece | StoredFile, file: BinaryIO, first: int, length: int) -> Iterator[bytes]:
    file.seek(first)
    check = _Check(source) if length == source.bytes else None
    left = length
    while left:
        block = file.read(min(BLOCK, left))
        left -= len(block)
        if not block:
            raise _changed(source, f"{left} bytes are missing")
        if check is not None:
            check.update(block)
            if not left:
                check.end()
        yield block


class _Check:
    """The checksum of a stored piece that is read as a whole."""

    def __init__(self, source: StoredPiece | StoredFile) -> None:
        self._source = source
        self._crc32 = 0
        self._sha256 = hashlib.sha256()

    def update(self, block: bytes) -> None:
        if isinstance(self._source, StoredPiece):
            self._crc32 = isal_zlib.crc32(block, self._crc32)
        else:
            self._sha256.update(block)

    def end(self) -> None:
        """Raise PartCorrupt or ArchiveBroken if the bytes are not those that were written."""
        if isinstance(self._source, StoredPiece):
            if self._crc32 != self._source.crc32:
                raise _changed(self._source, f"its CRC-32 is {self._crc32:08x} instead of {self._source.crc32:08x}")
        elif self._sha256.hexdigest() != self._source.sha256:
            raise _changed(self._source, f"its SHA-256 is {self._sha256.hexdigest()} instead of {self._source.sha256}")


def _missing(source: StoredPiece | StoredFile, error: ArtifactMissing) -> PartCorrupt | ArtifactMissing:
    if isinstance(source, StoredFile):
        return error
    return PartCorrupt(source.relation, source.part, f"{error} The part must be exported again.")


def _changed(source: StoredPiece | StoredFile, how: str) -> PartCorrupt | ArchiveBroken:
    if isinstance(source, StoredFile):
        return ArchiveBroken(f"{source.uri} is not what was written: {how}. Clear the merge: it writes the file again.")
    return PartCorrupt(
        source.relation,
        source.part,
        f"Part {source.part} of {source.relation} is not what was written: {how}. It must be exported again.",
    )
