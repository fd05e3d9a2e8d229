"""A file is complete or absent: it is written under a temporary name and published in one atomic step.

Everything that the operating system or a remote store refuses is raised as StoreRefused, with the path, the name of
the error, and what to do; what no retry can help as StoreUnusable.
"""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes

from upath import UPath

from project_export.errors import ArtifactMissing, ProjectExportError, StoreRefused, StoreUnusable

log = logging.getLogger(__name__)

BUFFER = 256 << 10
_ABANDONED_SECONDS = 3600
"""Longer than any pause between two writes: the longest is one statement's on the source."""

NEXT_STEP = {
    errno.ENOSPC: "Free space there, then retry.",
    errno.EDQUOT: "Raise the quota or free space there, then retry.",
    errno.EACCES: "Let the user of the tasks read and write there, then retry.",
    errno.EPERM: "Let the user of the tasks read and write there, then retry.",
    errno.EROFS: "Mount it for writing, then retry.",
    errno.ENOENT: "It was removed, or is not mounted here: export it again, or mount the store.",
    errno.EMFILE: "Raise the limit of open files, then retry.",
    errno.ENFILE: "Raise the limit of open files, then retry.",
}
OTHER_STEP = "See that the store is reachable and healthy, then retry."
SET_UP = "See that the setting names an existing place, and that what it needs is installed where the tasks run."
_MISCONFIGURED = ("ImportError", "ValueError", "ParamValidationError")
"""Classes by which the libraries of remote stores say that a package is missing or a URI is malformed; the last one is
botocore's, which is not imported here."""


class Draft:
    """A file that is being written. out: where to; what the operating system refuses is raised as StoreRefused.

    uri: what it is to be, or is to lie below; it is written beside, where that is a local folder, under a name that
    tells the job (owner) and the process, and is locked while the process lives.
    """

    def __init__(self, uri: str, owner: str) -> None:
        folder, _, name = uri.rpartition("/")
        place = near(folder)
        if local_of(folder) is None:
            _sweep(place)
        self._path = place / f".{name}.job-{owner}.pid-{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with refusing(self._path):
            place.mkdir(parents=True, exist_ok=True)
            self._raw = self._path.open("xb", buffering=0)
            with suppress(OSError):  # where nothing can be locked, the time of the last write has to do
                fcntl.flock(self._raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.out = io.BufferedWriter(_Refusing(self._raw, uri), BUFFER)

    def publish(self, uri: str) -> None:
        """Give the file its place, by one atomic step; what lies there is replaced. Raises StoreRefused.

        A local file is synced, then renamed. To another place it is uploaded: no upload starts before all is written.
        """
        local = local_of(uri)
        with refusing(uri):
            self.out.flush()
            if local:
                os.fsync(self._raw.fileno())
                local.parent.mkdir(exist_ok=True)
                self._path.replace(local)
                _sync_folder(local.parent)
            else:
                self._upload(UPath(uri))

    def _upload(self, remote: UPath) -> None:
        try:
            remote.fs.put_file(str(self._path), remote.path)
        except FileNotFoundError as error:
            if not self._path.exists():
                raise
            raise StoreUnusable(f"{remote}: there is no such bucket or folder: {error}. {SET_UP}") from error

    def close(self) -> None:
        """Leave nothing of what was not published."""
        # Only after a failure is there anything left to write, and then the first error is the one to raise.
        with suppress(StoreRefused):
            self.out.close()
        _discard(self._path)


@dataclass(frozen=True)
class Target:
    """A file to be in the store. owner: the job, for the names of temporary files."""

    uri: str
    owner: str

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Give a file to write to, and publish it under `uri` when the block ends; an exception leaves nothing of it.

        Raises StoreRefused.
        """
        with closing(Draft(self.uri, self.owner)) as draft:
            yield draft.out
            draft.publish(self.uri)


def being_written(uri: str) -> bool:
    """Say whether a local temporary file's process lives; where nothing can be locked, whether it was touched lately.

    The lock is flock's. On NFS, Linux passes it to the server, so that it holds between machines (flock(2)), but an
    exclusive one needs a file that is open for writing; hence the question is a shared one. A POSIX lock would do on
    NFS, too, but belongs to the process: asking for it would let go of one's own.
    """
    local = local_of(uri)
    if local is None or local.suffix != ".tmp":
        return False
    try:
        with local.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return time.time() - os.fstat(file.fileno()).st_mtime < _ABANDONED_SECONDS
    except OSError:  # it is gone, or another user's
        return False
    return False


def reading(raw: Any, uri: str) -> BinaryIO:
    """Return an opened file for reading that raises StoreRefused for its errors."""
    return io.BufferedReader(_Refusing(raw, uri), BUFFER)


def near(folder: str) -> Path:
    """Return where a file is written that is to lie in a folder: there, if it is a local one."""
    return local_of(folder) or Path(tempfile.gettempdir())


class _Refusing(io.RawIOBase):
    """A raw file that raises StoreRefused for its errors, and leaves those of the block around it as they are."""

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def readinto(self, buffer: Any) -> int:
        with refusing(self._path):
            return int(self._file.readinto(buffer))

    def write(self, data: Any) -> int:
        with refusing(self._path):
            return int(self._file.write(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            with refusing(self._path):
                self._file.close()


def local_of(uri: str) -> Path | None:
    """Return the path of a file:// URI, None of any other.

    >>> local_of("file:///srv/my%20exports/100%25")
    PosixPath('/srv/my exports/100%')
    """
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))) if uri.startswith("file://") else None


def uri_of(path: str | Path) -> str:
    """Return the file:// URI of an absolute path, percent-encoded; the inverse of `local_of`.

    >>> uri_of("/srv/my exports/100%")
    'file:///srv/my%20exports/100%25'
    """
    return f"file://{quote(os.fsencode(path))}"


@contextmanager
def refusing(path: object) -> Iterator[None]:
    """Raise what a store refuses in this block as StoreRefused, ArtifactMissing or StoreUnusable, naming the path.

    A local store refuses by OSErrors. The libraries of remote ones have classes of their own, for a lost connection,
    throttling or credentials, and share nothing but Exception (s3fs passes on what botocore raises without an answer of
    the server), so that any exception of a remote path is a refusal.
    """
    try:
        yield
    except (ProjectExportError, MemoryError):
        raise
    except OSError as error:
        # Remote file systems raise some of these without a number.
        by_class = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}
        code = error.errno or by_class.get(type(error), 0)
        kind = ArtifactMissing if code == errno.ENOENT else StoreRefused
        name = errno.errorcode.get(code, type(error).__name__)
        raise kind(f"{path}: {name}, {error.strerror or error}. {NEXT_STEP.get(code, OTHER_STEP)}") from error
    except Exception as error:
        if not _remote(str(path)):
            raise
        name = type(error).__name__
        if not {one.__name__ for one in type(error).__mro__}.isdisjoint(_MISCONFIGURED):
            raise StoreUnusable(f"{path}: {name}, {error}. {SET_UP}") from error
        raise StoreRefused(f"{path}: {name}, {error}. {OTHER_STEP}") from error


def _remote(path: str) -> bool:
    return "://" in path and local_of(path) is None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder that no store lists, up to a whole archive each; once."""
    for path in folder.glob(".*.job-*.pid-*.tmp"):
        with suppress(OSError):  # another user's, or gone
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS and not being_written(uri_of(path)):
                path.unlink()
                log.info("%s is removed: the process that wrote it is gone", path)


def _discard(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        # The file may be found by its name later; an error in flight says more than this one.
        log.warning("%s could not be removed: %s. Remove it by hand.", temporary, error)
