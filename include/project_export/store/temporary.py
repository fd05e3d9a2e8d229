"""A file that is being written: it has a temporary name, and a lock that shows whether its process lives."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from project_export.errors import StoreRefused
from project_export.store.refusals import local_refusals, writing

log = logging.getLogger(__name__)

_ABANDONED_SECONDS = 3600
"""Longer than any pause between two writes: the longest is one statement's on the source."""


class TemporaryFile:
    """A file in `folder`, made when missing, under a name that shows the job (owner) and the process.

    out: where to write; `shown` is what its errors name as the place. path: where the file is. Raises StoreRefused.
    """

    def __init__(self, folder: Path, name: str, owner: str, shown: str) -> None:
        self.path = folder / f".{name}.job-{owner}.pid-{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with local_refusals(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._raw = self.path.open("xb", buffering=0)
            with suppress(OSError):  # where nothing can be locked, the time of the last write has to do
                fcntl.flock(self._raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.out = writing(self._raw, shown, local_refusals)

    def sync(self) -> None:
        """Bring all that was written to the disk. Raises OSError."""
        self.out.flush()
        os.fsync(self._raw.fileno())

    def close(self) -> None:
        """Close the file, and remove it if it still has its temporary name."""
        # Only after a failure is anything left to write, and then the first error is the one to raise.
        with suppress(StoreRefused):
            self.out.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            # The file can be found by its name later; an error in flight says more than this one.
            log.warning("%s could not be removed: %s. Remove it by hand.", self.path, error)


def being_written(path: Path) -> bool:
    """Return whether a temporary file's process lives; where files cannot be locked, whether it was touched lately.

    The lock is flock's. On NFS, Linux passes it to the server, so that it holds between machines (flock(2)), but an
    exclusive lock needs a file that is open for writing there; so this asks for a shared one. A POSIX lock would work
    on NFS, too, but belongs to the process: asking for it would release one's own.
    """
    if path.suffix != ".tmp":
        return False
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return time.time() - os.fstat(file.fileno()).st_mtime < _ABANDONED_SECONDS
    except OSError:  # it is gone, or belongs to another user
        return False
    return False


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder, up to a whole archive each."""
    for path in folder.glob(".*.job-*.pid-*.tmp"):
        with suppress(OSError):  # another user's, or gone
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS and not being_written(path):
                path.unlink()
                log.info("%s is removed: the process that wrote it is gone", path)
