"""Convert errors of the operating system or an object store to StoreRefused, ArtifactMissing or StoreUnusable.

The message has the path, the name of the error, and the next step. A retry cannot cure StoreUnusable.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

from project_export.credentials import of_environment, without_credentials
from project_export.errors import ArtifactMissing, ProjectExportError, StoreRefused, StoreUnusable

BUFFER = 256 << 10

NEXT_STEP = {
    errno.ENOSPC: "Free space there, then retry.",
    errno.EDQUOT: "Raise the quota or free space there, then retry.",
    errno.EACCES: "Let the user of the tasks read and write there, then retry.",
    errno.EPERM: "Let the user of the tasks read and write there, then retry.",
    errno.EROFS: "Mount it for writing, then retry.",
    errno.ENOENT: "It was removed, or the store is not mounted here. Export it again, or mount the store.",
    errno.EMFILE: "Raise the limit of open files, then retry.",
    errno.ENFILE: "Raise the limit of open files, then retry.",
}
OTHER_STEP = "Check that the store is reachable and healthy, then retry."
SET_UP = (
    "Check that the setting names an existing store, and that the packages it needs are installed where the tasks run."
)
_MISCONFIGURED = ("ImportError", "ValueError", "ParamValidationError")
"""Classes of the exceptions for a missing package or a malformed URI. The last one is from botocore, which is not
imported here."""

Refusals = Callable[[object], AbstractContextManager[None]]


@contextmanager
def local_refusals(path: object) -> Iterator[None]:
    """Convert each OSError in the block to StoreRefused, or to ArtifactMissing if the file does not exist."""
    try:
        yield
    except ProjectExportError:
        raise
    except OSError as error:
        raise _refused(path, error) from error


@contextmanager
def remote_refusals(path: object, secrets: Collection[str] = ()) -> Iterator[None]:
    """Convert each exception in the block to StoreRefused, ArtifactMissing or StoreUnusable.

    The libraries of object stores have their own classes for a lost connection, throttling or credentials, whose only
    common base class is Exception (s3fs passes on the exceptions of botocore if the server does not answer).
    secrets: texts that no message may contain, beside the credentials of the environment.
    """
    try:
        yield
    except (ProjectExportError, MemoryError):
        raise
    except OSError as error:
        raise _refused(path, error, secrets) from error
    except Exception as error:
        said = f"{type(error).__name__}, {_said(error, secrets)}"
        if not {one.__name__ for one in type(error).__mro__}.isdisjoint(_MISCONFIGURED):
            raise StoreUnusable(f"{path}: {said}. {SET_UP}") from error
        raise StoreRefused(f"{path}: {said}. {OTHER_STEP}") from error


def _refused(path: object, error: OSError, secrets: Collection[str] = ()) -> StoreRefused | ArtifactMissing:
    # Remote file systems raise some of these without an errno.
    by_class = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}
    code = error.errno or by_class.get(type(error), 0)
    kind = ArtifactMissing if code == errno.ENOENT else StoreRefused
    name = errno.errorcode.get(code, type(error).__name__)
    said = _said(error.strerror or error, secrets)
    return kind(f"{path}: {name}, {said}. {NEXT_STEP.get(code, OTHER_STEP)}")


def _said(error: object, secrets: Collection[str]) -> str:
    return without_credentials(str(error), (*secrets, *of_environment())).rstrip(".")


def reading(raw: Any, uri: str, refusals: Refusals) -> BinaryIO:
    """Return an open file with a buffer for reading. `refusals` converts its errors, which name `uri`."""
    return io.BufferedReader(_Guarded(raw, uri, refusals), BUFFER)


def writing(raw: Any, uri: str, refusals: Refusals) -> BinaryIO:
    """Return an open file with a buffer for writing. `refusals` converts its errors, which name `uri`."""
    return io.BufferedWriter(_Guarded(raw, uri, refusals), BUFFER)


class _Guarded(io.RawIOBase):
    """A raw file whose errors are converted; errors of the code that uses it are not."""

    def __init__(self, file: Any, uri: str, refusals: Refusals) -> None:
        self._file = file
        self._uri = uri
        self._refusals = refusals

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with self._refusals(self._uri):
            return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with self._refusals(self._uri):
            return int(self._file.readinto(buffer))

    def write(self, data: Any) -> int:
        with self._refusals(self._uri):
            return int(self._file.write(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            with self._refusals(self._uri):
                self._file.close()
