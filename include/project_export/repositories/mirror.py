"""Mirrors of repositories that are fetched from a URL: fresh, and removed afterwards.

A server does not advertise all refs: GitLab keeps back keep-around refs and others of its own, so a mirror lacks them.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from project_export.credentials import without_credentials
from project_export.errors import StoreRefused
from project_export.repositories.git import Git
from project_export.repositories.repository import Repository
from project_export.repositories.server import served

_NAME = "mirror.git"
_OBJECTS = "objects"
_LEAST = 1 << 20
"""Bytes that must fit into a folder that is not full; git writes less than this at once."""


@contextmanager
def mirrored(
    url: str,
    git: Git,
    folder: Path,
    password: Callable[[], str] | None = None,
    *,
    size: int | None = None,
) -> Iterator[Repository]:
    """Fetch all refs that the server at `url` advertises into a new repository, and remove it at the end.

    folder: where the mirror is made. size: the bytes that it will need, if they are known. Other arguments: see
    `served`. Raises RepositoryRefused for another URL, GitFailed if git cannot fetch, StoreRefused if the folder is
    full, or has less space than is needed.
    """
    _require(folder, size or 0, url)
    with served(url, git, folder, password) as server:
        path, objects = server.work / _NAME, server.work / _OBJECTS
        # When clone fails, it removes what it has made, and nobody could see that the folder was full. It does not
        # remove an object directory elsewhere.
        elsewhere = {"GIT_OBJECT_DIRECTORY": str(objects)}
        with server.call("clone", "--mirror", "--quiet", "--template=", then=(path,), more=elsewhere) as call:
            code, _ = call.whole()
            if code:
                full = _full(server.work)
                if full is None:
                    raise server.failed(call)
                name = errno.errorcode.get(full.errno or 0, type(full).__name__)
                raise _refused(
                    folder, f"{name}, {full.strerror}, when git fetched {without_credentials(url)}"
                ) from full
        objects.rename(path / _OBJECTS)
        repository = Repository.open(server.work, _NAME, git)
        assert repository is not None
        yield repository


def _require(folder: Path, size: int, url: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        what = f"{free} bytes are free, and the mirror of {without_credentials(url)} needs {size}"
        raise _refused(folder, f"ENOSPC, {what}") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full(folder: Path) -> OSError | None:
    """Return the error of the system if nothing more can be written to a folder."""
    if shutil.disk_usage(folder).free < _LEAST:  # root could still write where git's user cannot
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(_LEAST))
    except OSError as error:
        return error
    return None


def _refused(folder: Path, what: str) -> StoreRefused:
    return StoreRefused(f"{folder}: {what}. Free space there, or set TMPDIR to another folder, then retry.")
