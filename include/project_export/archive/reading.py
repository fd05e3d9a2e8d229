"""Read a tar.gz as a stream, strictly: what other readers silently ignore is an error here.

Python's tarfile treats a damaged header as the end, and readers differ in what they do with bytes after the end. Here
the file must be one gzip member that contains one tar, to the last byte.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from isal import isal_zlib

from project_export.errors import ArchiveBroken

BLOCK = 256 << 10
LONGEST_EXTENSION = 1 << 20


class Gunzip:
    """Decompresses a file with one gzip member.

    ISA-L unpacks twice as fast as zlib, but accepts some unused code tables that zlib refuses; the SHA-256 in a
    manifest reveals them. on_read: called with the number of stored bytes read so far. bytes, sha256
    (a hash object): of the stored bytes read so far. unpacked: the number of decompressed bytes.
    """

    def __init__(self, file: BinaryIO, on_read: Callable[[int], None] | None = None) -> None:
        self.bytes = 0
        self.unpacked = 0
        self.sha256 = hashlib.sha256()
        self._file = file
        self._on_read = on_read
        self._inflate = isal_zlib.decompressobj(31)
        self._input = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, or none at the end. Raises ArchiveBroken if the file is damaged or truncated."""
        if not self.bytes:
            self._begin()
        while not self._inflate.eof:
            stored = self._input or self._stored()
            try:
                data: bytes = self._inflate.decompress(stored, size)
            except isal_zlib.error as error:  # type: ignore[misc]  # the stubs have an instance for the class
                raise ArchiveBroken(f"The gzip stream is damaged before byte {self.bytes}: {error}.") from error
            self._input = self._inflate.unconsumed_tail
            if data:
                self.unpacked += len(data)
                return data
            if not stored:
                raise ArchiveBroken(f"The file ends in the middle of the gzip stream, at byte {self.bytes}.")
        return b""

    def exactly(self, size: int) -> bytes:
        """Return `size` bytes. Raises ArchiveBroken if there are fewer."""
        return b"".join(self.chunks(size))

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes in chunks. Raises ArchiveBroken if there are fewer."""
        while size:
            data = self.read(min(size, BLOCK))
            if not data:
                raise ArchiveBroken(f"The tar ends {size} bytes too early.")
            size -= len(data)
            yield data

    def finish(self) -> None:
        """Raise ArchiveBroken unless the file has been read to its end."""
        if self._inflate.unused_data or self._stored():
            raise ArchiveBroken(
                f"There are bytes after the end of the gzip member, before byte {self.bytes}; readers disagree on them."
            )

    def _begin(self) -> None:
        self._input = self._stored()
        # Not every decompressor checks the bits that RFC 1952, 2.3.1.2, reserves.
        if len(self._input) < 4 or self._input[:3] != b"\x1f\x8b\x08" or self._input[3] & 0xE0:
            raise ArchiveBroken("The file does not start like a gzip file. Is it a tar.gz?")

    def _stored(self) -> bytes:
        stored = self._file.read(BLOCK)
        self.bytes += len(stored)
        self.sha256.update(stored)
        if self._on_read:
            self._on_read(self.bytes)
        return stored


@dataclass(frozen=True)
class Entry:
    """A member of a tar, as its header names it.

    mode: its permissions. chunks: its content in pieces, to be read before the next member.
    """

    name: str
    kind: Literal["file", "directory", "other"]
    size: int
    mode: int
    chunks: Iterator[bytes]


def entries(stream: Gunzip) -> Iterator[Entry]:
    """The members of a tar (ustar, PAX or GNU), up to the last byte of the stream. Raises ArchiveBroken."""
    extended: dict[str, str] = {}
    while any(block := stream.exactly(tarfile.BLOCKSIZE)):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ArchiveBroken(f"A tar header is damaged: {error}.") from error
        padding = -info.size % tarfile.BLOCKSIZE
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if not 0 <= info.size <= LONGEST_EXTENSION:
                raise ArchiveBroken(
                    f"A tar header extension has {info.size} bytes; more than {LONGEST_EXTENSION} are not read."
                )
            extension = stream.exactly(info.size + padding)[: info.size]
            if info.type == tarfile.XHDTYPE:
                extended |= _pax_records(extension)
            elif info.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = extension.rstrip(b"\0").decode("utf-8", "surrogateescape")
            continue
        size = int(extended.get("size", info.size))
        if size < 0:
            raise ArchiveBroken(f"The tar header of {info.name!r} has a negative size.")
        sparse = any(key.startswith("GNU.sparse") for key in extended)
        content = stream.chunks(size)
        yield Entry(extended.get("path", info.name), "other" if sparse else _kind(info), size, info.mode, content)
        for _ in content:
            pass
        stream.exactly(-size % tarfile.BLOCKSIZE)
        extended = {}
    if extended or any(stream.exactly(tarfile.BLOCKSIZE)):
        raise ArchiveBroken("The tar does not end with two blocks of zeros.")
    while rest := stream.read(BLOCK):
        if any(rest):
            raise ArchiveBroken("There is data after the end of the tar.")


def _kind(info: tarfile.TarInfo) -> Literal["file", "directory", "other"]:
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return "file"
    return "directory" if info.isdir() else "other"


def _pax_records(data: bytes) -> dict[str, str]:
    """Parse `<length> <key>=<value>\\n` records (POSIX.1-2001, pax, "Extended Header")."""
    records = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not len(length) + 3 <= int(length) <= len(data):
            raise ArchiveBroken("A PAX header is damaged.")
        key, equals, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if not equals or data[int(length) - 1 : int(length)] != b"\n" or (key == b"size" and not value.isdigit()):
            raise ArchiveBroken("A PAX header is damaged.")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return records
