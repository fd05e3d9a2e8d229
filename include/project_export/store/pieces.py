"""A file as a list of pieces that a store assembles: bytes that are already known, and parts that are stored.

The list is complete before any byte is read. It therefore names the file, and a store that can copy by itself does not
have to send the parts through this process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from isal import isal_zlib

from project_export.errors import ArtifactMissing, PartCorrupt

BLOCK = 256 << 10


@dataclass(frozen=True)
class Glue:
    """Bytes between parts, which are not stored anywhere else: headers, padding, small files."""

    data: bytes

    @property
    def bytes(self) -> int:
        """Length in bytes."""
        return len(self.data)


@dataclass(frozen=True)
class StoredPiece:
    """A part of a relation, whose stored bytes are copied unchanged.

    bytes, crc32: of the stored file. sha256: of the uncompressed content, in hexadecimal.
    """

    relation: str
    part: int
    uri: str
    bytes: int
    crc32: int
    sha256: str


Piece = Glue | StoredPiece


@dataclass(frozen=True)
class Assembled:
    """Size in bytes and SHA-256 (hex) of an assembled file."""

    bytes: int
    sha256: str


def digest_of(pieces: Iterable[Piece]) -> str:
    """Return the SHA-256 (hex) of a list of pieces, which names the file: equal lists give equal bytes.

    It covers the glue and, for each part, its size, the CRC-32 of its stored bytes and the SHA-256 of its uncompressed
    content, but not where the part is stored.

    >>> digest_of([Glue(b"ab")]) == digest_of([Glue(b"a"), Glue(b"b")])
    False
    """
    whole = hashlib.sha256()
    for piece in pieces:
        if isinstance(piece, Glue):
            fact = f"glue {piece.bytes} {hashlib.sha256(piece.data).hexdigest()}\n"
        else:
            fact = f"part {piece.bytes} {piece.crc32:08x} {piece.sha256}\n"
        whole.update(fact.encode())
    return whole.hexdigest()


def assemble(pieces: Iterable[Piece], open_part: Callable[[str], BinaryIO], out: BinaryIO) -> Assembled:
    """Copy the pieces to `out` in order, in the memory of one block, and return its size and checksum.

    open_part: opens a stored file by its URI. Raises PartCorrupt if a part is missing or its stored bytes are not those
    that were written; discard `out` then.
    """
    size, sha256 = 0, hashlib.sha256()

    def write(data: bytes) -> None:
        nonlocal size
        out.write(data)
        sha256.update(data)
        size += len(data)

    for piece in pieces:
        if isinstance(piece, Glue):
            write(piece.data)
        else:
            _copy(piece, open_part, write)
    return Assembled(size, sha256.hexdigest())


def _copy(piece: StoredPiece, open_part: Callable[[str], BinaryIO], write: Callable[[bytes], None]) -> None:
    size = crc32 = 0
    try:
        file = open_part(piece.uri)
    except ArtifactMissing as error:
        raise PartCorrupt(piece.relation, piece.part, f"{error} The part must be exported again.") from error
    with file:
        while block := file.read(BLOCK):
            size += len(block)
            crc32 = isal_zlib.crc32(block, crc32)
            write(block)
    if (size, crc32) != (piece.bytes, piece.crc32):
        raise PartCorrupt(
            piece.relation,
            piece.part,
            f"Part {piece.part} of {piece.relation} is not what was written: {size} bytes with CRC-32 {crc32:08x} "
            f"instead of {piece.bytes} bytes with {piece.crc32:08x}. It must be exported again.",
        )
