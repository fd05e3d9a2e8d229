"""What tar adds to a file: a header before it, and padding to whole blocks after it."""

from __future__ import annotations

import tarfile

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header; each file is padded to a multiple of this."""
RECORD = tarfile.RECORDSIZE
"""Bytes; the whole tar is padded to a multiple of this."""


def file_header(name: str, size: int, mtime: int) -> bytes:
    """Return the header of a file of `size` bytes, owned by root; mtime: in seconds since 1970.

    A size of 8 GiB or more, or a name that does not fit, is in a PAX header before it.
    """
    return _header(name, tarfile.REGTYPE, size, mtime)


def folder_header(name: str, mtime: int) -> bytes:
    """Return the header of a folder, whose name ends with a slash."""
    return _header(name, tarfile.DIRTYPE, 0, mtime)


def padding(size: int) -> bytes:
    """Return the padding of a file of `size` bytes to whole blocks."""
    return bytes(-size % BLOCK)


def _header(name: str, kind: bytes, size: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, mtime
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
