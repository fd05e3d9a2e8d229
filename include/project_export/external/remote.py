"""Files of an object store, with as few requests as possible."""

from __future__ import annotations

import errno
import io
from typing import Any, BinaryIO

from project_export.external.base import External, Unsafe
from project_export.store.bucket import BLOCK, LIMIT_SECONDS, Bucket
from project_export.store.requests import Requests, asking

AT_ONCE = 1 << 20
"""Bytes up to which a file is fetched with one request, if its size is known."""
_VERSION = "?versionId="


class Remote(External):
    """Files of an object store."""

    remote = True

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket.uri, bucket.refusals)
        self._bucket = bucket
        self._requests = Requests(LIMIT_SECONDS)
        self._seen = False

    def cancel(self) -> None:
        """See `External.cancel`."""
        self._requests.cancel()

    def _names(self, name: str) -> list[str]:
        if _VERSION in name:  # s3fs would read the object whose name ends there
            raise Unsafe(f"{name!r} in the store {self.uri} is not the name of an object")
        return super()._names(name)

    def _open(self, names: list[str], size: int | None) -> BinaryIO | None:
        return self._requests.run(lambda: self._asked(names, size))

    def _asked(self, names: list[str], size: int | None) -> BinaryIO | None:
        fs, root = self._bucket.fs, self._bucket.path(self.uri)
        path = f"{root}/{'/'.join(names)}"
        file: BinaryIO | None
        try:
            file = (_fetched(fs, path, size) if size and size <= AT_ONCE else None) or self._opened(fs, path)
        except FileNotFoundError:
            if not self._seen:
                fs.info(root)  # without an answer, `exists` would be False
            file = None
        self._seen = True
        return file

    def _opened(self, fs: Any, path: str) -> BinaryIO:
        file: BinaryIO = fs.open(path, "rb", block_size=BLOCK)
        if getattr(file, "details", {}).get("type", "file") != "file":
            file.close()
            raise FileNotFoundError(path)
        return asking(file, self._requests)


def _fetched(fs: Any, path: str, size: int) -> BinaryIO | None:
    """Fetch a file that should have this size; return None if it is larger or empty."""
    try:
        data = fs.cat_file(path, start=0, end=size + 1)
    except OSError as error:
        if error.errno == errno.EINVAL:  # the range is outside the file: it is empty
            return None
        raise
    return io.BytesIO(data) if len(data) <= size else None
