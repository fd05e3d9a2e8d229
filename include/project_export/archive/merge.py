"""Parts into one tar.gz, without compressing them again.

The archive is one gzip member: a header, then deflate streams one after the other (the parts as they lie in the store,
and between them the tar headers and paddings as small streams of the same form), an empty final block, and a trailer
with the CRC-32 combined from the parts'. Several gzip members would be as easy, but Python's streaming tarfile, Ruby's
GzipReader and Perl's Gunzip stop after the first one.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from isal import isal_zlib

from project_export.archive.part import PartFacts, PartWriter
from project_export.errors import ArchiveBroken, ArtifactMissing, PartCorrupt

BLOCK = 256 << 10
GLUE_LEVEL = 1

# As `tar -cz` writes it: no file name, no time, system Unix.
GZIP_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 03")
FINAL_BLOCK = bytes.fromhex("0300")


@dataclass(frozen=True)
class StoredPart:
    """A finished part of a relation: what must lie in the store, and how to open it for reading."""

    relation: str
    part: int
    facts: PartFacts
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Member:
    """A file of the archive: `data` if it is small and known, else `parts` one after the other.

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
class ArchiveFacts:
    """Size in bytes and SHA-256 (hex) of the archive file."""

    bytes: int
    sha256: str


def write_archive(members: Iterable[Member], out: BinaryIO, mtime: int) -> ArchiveFacts:
    """Write the archive of `members`, in their order, to `out`, in the memory of one block.

    mtime: of all files, in seconds since 1970. The same members, parts and mtime give the same bytes. Raises
    PartCorrupt when a part is not what was written, or gone, and ArchiveBroken on a name that does not belong into an
    archive; `out` is of no use then.
    """
    gzip = _Gzip(out)
    gzip.write(_header("./", tarfile.DIRTYPE, 0, mtime))
    written: set[PurePosixPath] = {PurePosixPath()}
    for member in members:
        path = PurePosixPath(member.name)
        if path in written or path.is_absolute() or ".." in path.parts or str(path) != member.name:
            raise ArchiveBroken(
                f"The archive cannot have the file {member.name!r}: names are relative, plain and different. "
                "Look at the relation names of the tree."
            )
        for folder in reversed(path.parents):
            if folder not in written:
                gzip.write(_header(f"./{folder}/", tarfile.DIRTYPE, 0, mtime))
                written.add(folder)
        written.add(path)
        gzip.write(_header(f"./{path}", tarfile.REGTYPE, member.size, mtime) + member.data)
        for part in member.parts:
            gzip.append(part)
        gzip.write(bytes(-member.size % tarfile.BLOCKSIZE))
    gzip.write(bytes(2 * tarfile.BLOCKSIZE))
    gzip.write(bytes(-gzip.raw_bytes % tarfile.RECORDSIZE))
    return gzip.finish()


def _header(name: str, kind: bytes, size: int, mtime: int) -> bytes:
    """A tar header, owned by root; a size of 8 GiB or more is told by a PAX header before it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, mtime
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


class _Gzip:
    """One gzip member, put together from deflate streams. raw_bytes: length of what it unpacks to, so far."""

    def __init__(self, out: BinaryIO) -> None:
        self.raw_bytes = 0
        self._out = out
        self._crc32 = 0
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._pending = bytearray()
        self._store(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        """Add small data; it is compressed together with its neighbours."""
        self._pending += data
        self.raw_bytes += len(data)

    def append(self, part: StoredPart) -> None:
        """Add a stored part as it is; PartCorrupt when it is not what was written."""
        self._compress_pending()
        facts = part.facts
        size = crc32 = 0
        try:
            file = part.open()
        except ArtifactMissing as error:
            raise PartCorrupt(part.relation, part.part, f"{error} The part has to be exported again.") from error
        with file:
            while block := file.read(BLOCK):
                size += len(block)
                crc32 = isal_zlib.crc32(block, crc32)
                self._store(block)
        if (size, crc32) != (facts.stored_bytes, facts.stored_crc32):
            raise PartCorrupt(
                part.relation,
                part.part,
                f"Part {part.part} of {part.relation} is not what was written: {size} bytes with CRC-32 {crc32:08x} "
                f"instead of {facts.stored_bytes} bytes with {facts.stored_crc32:08x}. It has to be exported again.",
            )
        self._combine(facts)
        self.raw_bytes += facts.raw_bytes

    def finish(self) -> ArchiveFacts:
        """End the member."""
        self._compress_pending()
        # ISIZE is the length modulo 2^32 (RFC 1952, 2.3.1).
        self._store(FINAL_BLOCK + self._crc32.to_bytes(4, "little") + (self.raw_bytes % 2**32).to_bytes(4, "little"))
        return ArchiveFacts(self._bytes, self._sha256.hexdigest())

    def _compress_pending(self) -> None:
        if not self._pending:
            return
        stored = io.BytesIO()
        glue = PartWriter(stored, GLUE_LEVEL)
        glue.write(bytes(self._pending), 0)
        self._pending.clear()
        self._combine(glue.finish())
        self._store(stored.getvalue())

    def _combine(self, facts: PartFacts) -> None:
        self._crc32 = isal_zlib.crc32_combine(self._crc32, facts.crc32, facts.raw_bytes)

    def _store(self, data: bytes) -> None:
        self._out.write(data)
        self._sha256.update(data)
        self._bytes += len(data)
