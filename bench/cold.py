"""A cold cache: PostgreSQL restarted, and its files dropped from the system's cache."""

from __future__ import annotations

import os
from pathlib import Path

from dev.postgres import Server

_PAGE = 4096


def chill(server: Server) -> str | None:
    """Empty the caches of a server; return why that failed, or None. It keeps its port.

    Only the caches of this system are emptied. What is below it, a host's or a disk's, may still have the files.
    """
    server.restart()
    files = [path for path in (server.cluster / "base").rglob("*") if path.is_file()]
    try:
        for path in files:
            _drop(path)
        largest = max(files, key=lambda path: path.stat().st_size)
        return f"{largest.name} stays in the cache" if _is_cached(largest) else None
    except (OSError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


def _drop(path: Path) -> None:
    with path.open("rb") as file:
        os.fdatasync(file.fileno())  # a page that is not on disk yet stays
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _is_cached(path: Path) -> bool:
    """Return whether the middle of a file can be read without waiting for a disk."""
    with path.open("rb") as file:
        middle = path.stat().st_size // 2 // _PAGE * _PAGE
        try:
            return os.preadv(file.fileno(), [bytearray(_PAGE)], middle, os.RWF_NOWAIT) > 0
        except BlockingIOError:
            return False
