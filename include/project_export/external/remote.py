"""Files of an object store, with as few requests as possible."""

from __future__ import annotations

import errno
import io
from functools import partial
from typing import Any, BinaryIO

from upath import UPath

from project_export.credentials import Opened
from project_export.external.base import External, Unsafe
from project_export.store.refusals import remote_refusals

AT_ONCE = 1 << 20
"""Bytes up to which a file is fetched with one request, if its size is known."""

_BLOCK = 8 << 20
"""Bytes of a larger file that one request fetches; a library's own choice may be more (s3fs: 50 MiB)."""
_VERSION = "?versionId="


class Remote(External):
    """Files of an object store.

    opened: its file system; without one, that of the environment is made on first use.
    """

    remote = True

    def __init__(self, uri: str, opened: Opened | None = None) -> None:
        super().__init__(uri, partial(remote_refusals, secrets=opened.secrets) if opened else remote_refusals)
        self._fs = opened.fs if opened else None
        self._root = ""
        self._seen = False

    def _names(self, name: str) -> list[str]:
        if _VERSION in name:  # s3fs would read the object whose name ends there
            raise Unsafe(f"{name!r} in the store {self.uri} is not the name of an object")
        return super()._names(name)

    def _open(self, names: list[str], size: int | None) -> BinaryIO | None:
        fs, path = self._folder()
        path = f"{path}/{'/'.join(names)}"
        try:
            file = (_fetched(fs, path, size) if size and size <= AT_ONCE else None) or _opened(fs, path)
        except FileNotFoundError:
            if not self._seen:
                fs.info(self._root)  # without an answer, `exists` would be False
            file = None
        self._seen = True
        return file

    def _folder(self) -> tuple[Any, str]:
        """Return the file system, and the path of the folder there."""
        if not self._root:
            folder = UPath(self.uri)
            self._fs = self._fs or folder.fs
            self._root = str(folder.path).rstrip("/")
        return self._fs, self._root


def _fetched(fs: Any, path: str, size: int) -> BinaryIO | None:
    """Fetch a file that should have this size; return None if it is larger or empty."""
    try:
        data = fs.cat_file(path, start=0, end=size + 1)
    except OSError as error:
        if error.errno == errno.EINVAL:  # the range is outside the file: it is empty
            return None
        raise
    return io.BytesIO(data) if len(data) <= size else None


def _opened(fs: Any, path: str) -> BinaryIO:
    file: BinaryIO = fs.open(path, "rb", block_size=_BLOCK)
    if getattr(file, "details", {}).get("type", "file") != "file":
        file.close()
        raise FileNotFoundError(path)
    return file
