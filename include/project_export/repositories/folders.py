"""Temporary folders for git. A killed process cannot remove its own, so the next one does, by its lock."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from project_export.errors import StoreRefused

log = logging.getLogger(__name__)

PREFIX = "project-export-git-"
LOCK = "lock"

NEW_SECONDS = 60.0
"""A folder that is younger may not be locked yet."""
ABANDONED_SECONDS = 86400.0
"""Where files cannot be locked, the age of a folder must suffice."""


@contextmanager
def temporary(below: Path | None, owner: tuple[int, int] | None) -> Iterator[Path]:
    """Make a folder that only its owner may read and write, and remove it at the end.

    below: where; None for the system's folder for temporary files. owner: numbers of a user and a group; None for this
    process's. First removes what killed processes of the same owner have not removed there. Raises StoreRefused if the
    folder cannot be made.
    """
    place = Path(below or tempfile.gettempdir())
    with suppress(OSError):  # nothing depends on it
        sweep(place, {os.geteuid()} | ({owner[0]} if owner else set()))
    with writing(place):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with (folder / LOCK).open("wb") as lock:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if owner:
                os.chown(folder, *owner)
            yield folder
    finally:
        _remove(folder)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the system says while files for git are written into StoreRefused. folder: where they are."""
    try:
        yield
    except OSError as error:
        raise StoreRefused(
            f"{folder}: {error.strerror or error}. Git's temporary files are kept there. Free space there, or set "
            "TMPDIR to another folder, then retry."
        ) from error


def sweep(place: Path, owners: set[int]) -> None:
    """Remove the temporary folders of these users whose processes no longer run. Raises OSError."""
    with os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX):
                continue
            with suppress(FileNotFoundError):
                state = entry.stat(follow_symlinks=False)
                old = time.time() - state.st_ctime > NEW_SECONDS
                if entry.is_dir(follow_symlinks=False) and state.st_uid in owners and old and not _used(entry.path):
                    _remove(Path(entry.path))
                    log.info("removed %s: its process no longer runs", entry.path)


def _used(folder: str) -> bool:
    """Return whether the process that has made a folder may still run."""
    try:
        lock = os.open(f"{folder}/{LOCK}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - os.fstat(lock).st_mtime < ABANDONED_SECONDS
    finally:
        os.close(lock)
    return False


def _remove(folder: Path) -> None:
    # Not TemporaryDirectory: if it may not remove a link, it changes the mode of what the link refers to.
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        log.warning("%s cannot be removed; remove it by hand", folder)
