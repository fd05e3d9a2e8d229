"""A part: a run of records as a raw deflate stream that can be concatenated with others without compressing it again.

The stream has no final block and ends with a full flush: on a byte boundary, and later data cannot refer back to it.
Concatenated parts between a gzip header and a trailer are therefore one gzip member (RFC 1951, 3.2.3; RFC 1952, 2.2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from isal import isal_zlib

BLOCK = 256 << 10
_LONGEST_STORED = 0xFFFF  # bytes of a stored block: its length has 16 bits (RFC 1951, 3.2.4)


@dataclass(frozen=True)
class PartFacts:
    """The size and the checksums of a finished part.

    records: their number. raw_bytes, crc32, sha256 (hex): of the uncompressed records. stored_bytes, stored_crc32: of
    the stored deflate stream.
    """

    records: int
    raw_bytes: int
    stored_bytes: int
    crc32: int
    stored_crc32: int
    sha256: str


class PartWriter:
    """Compress records into `out`, which stays open when the part is finished.

    out: where the stored bytes go. level: of ISA-L, 0 (fastest) to 3. records and raw_bytes are the progress so far and
    may be read by another thread. The compressor is fed blocks of one size whatever the sizes written, so that the same
    data gives the same bytes.
    """

    def __init__(self, out: BinaryIO, level: int) -> None:
        self.records = 0
        self.raw_bytes = 0
        self._out = out
        self._deflate = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15)
        self._rest = bytearray()
        self._packed = False
        self._open = False
        """Whether the compressor may hold bytes back."""
        self._sha256 = hashlib.sha256()
        self._crc32 = 0
        self._stored_bytes = 0
        self._stored_crc32 = 0

    def write(self, data: bytes, records: int, *, packed: bool = False) -> None:
        """Add `data`, which holds `records` records (0 when it continues one).

        packed: it is compressed already, so it is stored as it is.
        """
        if packed != self._packed and data:
            self._drain()
            self._packed = packed
        view = memoryview(data)
        while len(self._rest) + len(view) >= BLOCK:
            taken = BLOCK - len(self._rest)
            if self._rest:
                self._rest += view[:taken]
                self._compress(self._rest)
                self._rest.clear()
            else:
                self._compress(view[:taken])
            view = view[taken:]
        self._rest += view
        self.raw_bytes += len(data)
        self.records += records

    def finish(self) -> PartFacts:
        """End the stream, once, and return what was written; a part without data is a part, too."""
        self._open = self._open or self._stored_bytes == 0
        self._drain()
        return PartFacts(
            records=self.records,
            raw_bytes=self.raw_bytes,
            stored_bytes=self._stored_bytes,
            crc32=self._crc32,
            stored_crc32=self._stored_crc32,
            sha256=self._sha256.hexdigest(),
        )

    def _compress(self, block: bytearray | memoryview) -> None:
        self._sha256.update(block)
        self._crc32 = isal_zlib.crc32(block, self._crc32)
        if self._packed:
            for at in range(0, len(block), _LONGEST_STORED):
                data = block[at : at + _LONGEST_STORED]
                self._store(b"\0" + len(data).to_bytes(2, "little") + (len(data) ^ 0xFFFF).to_bytes(2, "little"))
                self._store(data)
        else:
            self._open = True
            self._store(self._deflate.compress(block))

    def _drain(self) -> None:
        """Write out everything, so that a block of the other kind can follow."""
        if self._rest:
            self._compress(self._rest)
            self._rest.clear()
        if self._open:
            self._store(self._deflate.flush(isal_zlib.Z_FULL_FLUSH))
            self._open = False

    def _store(self, data: bytes | bytearray | memoryview) -> None:
        self._out.write(data)
        self._stored_bytes += len(data)
        self._stored_crc32 = isal_zlib.crc32(data, self._stored_crc32)
