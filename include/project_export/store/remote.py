"""Objects of a file system of fsspec: read so that an object is never mixed with another one, and signed URLs."""

from __future__ import annotations

import errno
import io
import os
from typing import Any

from fsspec.asyn import sync

from project_export.store.bucket import BLOCK


def open_object(fs: Any, path: str) -> Any:
    """Return an object as an unbuffered or buffered file. Raises what the file system raises."""
    fs.invalidate_cache(path)  # a process that runs for long may know the size of an older object
    return _S3Object(fs, path) if "s3" in _protocols(fs) else fs.open(path, "rb", block_size=BLOCK)


def sign_object(fs: Any, path: str, seconds: int, name: str, content_type: str) -> str | None:
    """Return a URL from which anybody can GET an object for some time, or None if the file system has none.

    name, content_type: of the file for the client; used for S3 only, elsewhere the object has its own.
    """
    shown = {}
    if "s3" in _protocols(fs):
        # By default, botocore signs in a way that S3 no longer accepts for new buckets.
        config = {"signature_version": "s3v4", **fs.config_kwargs}
        fs = type(fs)(**{**fs.storage_options, "config_kwargs": config})
        disposition = f'attachment; filename="{name}"'
        shown = {"ResponseContentDisposition": disposition, "ResponseContentType": content_type}
    try:
        return str(fs.sign(path, seconds, **shown))
    except NotImplementedError:
        return None


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


class _S3Object(io.RawIOBase):
    """An object of S3, read by one request from each position that is sought.

    S3 ends such a request with the object that it began with, even if that is replaced or removed meanwhile, and it
    needs no memory; s3fs's own file asks again for each block. A request that breaks off is continued by another one,
    which must find the same object.
    """

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._bucket, self._key, _ = fs.split_path(path)
        self._size, self._etag = self._asked(path)
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position."""
        at = offset + (0, self._at, self._size)[whence]
        if at != self._at:
            self._end()
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        """Read what has arrived, at most as much as the buffer holds."""
        if self._at >= self._size or not len(buffer):
            return 0
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """End the request."""
        if not self.closed:
            super().close()
            self._end()

    def _asked(self, path: str) -> tuple[int, str]:
        details = self._fs.info(path)
        if details["type"] != "file":
            raise FileNotFoundError(path)
        return int(details["size"]), str(details["ETag"])

    def _read(self, length: int) -> bytes:
        fresh = self._body is None
        try:
            return self._some(length)
        except Exception:
            if fresh:
                raise
            self._end()
            return self._some(length)

    def _some(self, length: int) -> bytes:
        if self._body is None:
            asked = {"Bucket": self._bucket, "Key": self._key, "Range": f"bytes={self._at}-{self._size - 1}"}
            answer = self._fs.call_s3("get_object", **asked)
            self._body = answer["Body"]
            if answer["ETag"] != self._etag:  # not every server knows If-Match
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        data: bytes = sync(self._fs.loop, self._body.read, length)
        if not data:
            raise EOFError(f"the answer ended {self._size - self._at} bytes too early")
        return data

    def _end(self) -> None:
        if self._body is not None:
            body, self._body = self._body, None
            sync(self._fs.loop, _close, body)


async def _close(body: Any) -> None:
    body.close()
