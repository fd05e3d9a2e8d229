"""A file that is being written. It has a temporary name, and a lock that shows whether its process still runs."""

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
"""Longer than any pause between two writes; the longest is one statement on the source."""


class TemporaryFile:
    """A temporary file, whose name contains the job (owner) and the process id.

    folder: created if missing. shown: what errors of `out` name as the path. out: the file to write to. path: of the
    temporary file. Raises StoreRefused.
    """

    def __init__(self, folder: Path, name: str, owner: str, shown: str) -> None:
        self.path = folder / f".{name}.job-{owner}.pid-{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with local_refusals(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._raw = self.path.open("xb", buffering=0)
            with suppress(OSError):  # if files cannot be locked, the time of the last write must suffice
                fcntl.flock(self._raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.out = writing(self._raw, shown, local_refusals)

    def sync(self) -> None:
        """Flush everything to the disk. Raises OSError."""
        self.out.flush()
        os.fsync(self._raw.fileno())

    def close(self) -> None:
        """Close the file, and remove it if it still has its temporary name."""
        # Buffered data remains only after a failure, and then the first error must be raised.
        with suppress(StoreRefused):
            self.out.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            # The file can be found by its name later. An exception that is being raised is more useful than this one.
            log.warning("%s could not be removed: %s. Remove it by hand.", self.path, error)


def being_written(path: Path) -> bool:
    """Return whether the process of a temporary file still runs or, if files cannot be locked, wrote to it recently.

    The lock is made with flock. On NFS, Linux passes it to the server, so it works across machines (flock(2)), but
    there an exclusive lock needs a file that is open for writing. So this function requests a shared one. A POSIX lock
    would work on NFS as well, but belongs to the process: testing it would release the process's own lock.
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
    except OSError:  # it was removed, or belongs to another user
        return False
    return False


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder. Each may be as large as an archive."""
    for path in folder.glob(".*.job-*.pid-*.tmp"):
        with suppress(OSError):  # it belongs to another user, or was removed
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS and not being_written(path):
                path.unlink()
                log.info("removed %s: its process no longer runs", path)
