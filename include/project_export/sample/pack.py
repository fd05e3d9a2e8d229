"""The objects of a repository as one pack (git's Documentation/gitformat-pack), kept in a temporary file until then."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from tempfile import SpooledTemporaryFile

CHUNK = 1 << 20
IN_MEMORY = 64 << 10
KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


class Pack:
    """Takes objects one after the other, in a temporary file in a folder once they have IN_MEMORY bytes."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        """How many objects it has."""
        self._body = SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(folder))  # noqa: SIM115 - `close` closes it

    def add(self, kind: str, content: bytes) -> None:
        """Take an object."""
        self._body.write(_header(kind, len(content)) + zlib.compress(content, 1))
        self.count += 1

    def add_large(self, size: int, chunks: Iterable[bytes]) -> str:
        """Take a file's content of `size` bytes that cannot be compressed, and return its id."""
        hashed = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        packed = zlib.compressobj(0)
        self._body.write(_header("blob", size))
        for chunk in chunks:
            hashed.update(chunk)
            self._body.write(packed.compress(chunk))
        self._body.write(packed.flush())
        self.count += 1
        return hashed.hexdigest()

    def write(self, folder: Path) -> Path:
        """Write the pack into a folder, named by its checksum as git does, and return its path."""
        hashed = hashlib.sha1(usedforsecurity=False)
        making = folder / "tmp_pack"
        self._body.seek(0)
        chunk = b"PACK" + (2).to_bytes(4, "big") + self.count.to_bytes(4, "big")
        with making.open("wb") as out:
            while chunk:
                hashed.update(chunk)
                out.write(chunk)
                chunk = self._body.read(CHUNK)
            out.write(hashed.digest())
        return making.rename(folder / f"pack-{hashed.hexdigest()}.pack")

    def close(self) -> None:
        """Drop the objects."""
        self._body.close()


def _header(kind: str, size: int) -> bytes:
    """Return an object's kind and its size in bytes: 4 bits, then 7 in each further byte, the lowest ones first."""
    first, size = KINDS[kind] << 4 | size & 15, size >> 4
    header = bytearray()
    while size:
        header.append(first | 128)
        first, size = size & 127, size >> 7
    return bytes(header) + bytes([first])
