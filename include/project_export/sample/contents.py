"""Contents of files: the same bytes for the same seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random

CHUNK = 1 << 20


def noise(seed: object, size: int) -> Iterator[bytes]:
    """Yield `size` bytes that cannot be compressed, in chunks."""
    random = Random(str(seed))
    for start in range(0, size, CHUNK):
        yield random.randbytes(min(CHUNK, size - start))


def lines(seed: object, size: int) -> bytes:
    """Return a log of about `size` bytes, at least one line, which can be compressed."""
    random = Random(str(seed))
    found = b""
    while len(found) < size:
        found += b"%06d worker %d: part %d is stored\n" % (len(found), random.randrange(8), random.randrange(900))
    return found


def image(seed: object, width: int = 48) -> bytes:
    """Return a square PNG of random grey; width: in pixels.

    >>> image(1)[1:4], image(1) == image(1) != image(2)
    (b'PNG', True)
    """
    random = Random(str(seed))
    rows = b"".join(b"\0" + random.randbytes(width) for _ in range(width))
    head = width.to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    chunks = ((b"IHDR", head), (b"IDAT", _stored(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )


def _stored(data: bytes) -> bytes:
    """Return data of less than 64 KiB in the format of zlib, uncompressed: every zlib compresses in another way."""
    size = len(data)
    block = b"\x01" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
    return b"\x78\x01" + block + zlib.adler32(data).to_bytes(4, "big")


def pointer(oid: str, size: int) -> bytes:
    """Return the file that replaces an LFS object in a repository."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
