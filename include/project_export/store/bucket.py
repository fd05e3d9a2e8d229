"""A bucket, or a folder of another remote file system, and what opens it."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from upath import UPath

from project_export.credentials import Credentials, Opened
from project_export.store.refusals import Refusals, remote_refusals
from project_export.store.uris import without_connection

BLOCK = 8 << 20
"""Bytes of a file that one request fetches; a library's own choice may be more (s3fs: 50 MiB)."""
LIMIT_SECONDS = 120.0
"""Time limit of a request. The libraries of object stores have limits and tries of their own, which nest, and may wait
for a silent server many times as long, or forever (s3fs, while it uploads)."""
_S3_TRIES = 2
"""Tries of s3fs, of five by botocore each. They nest: with its own five, s3fs asks a silent server for half an hour."""


class Bucket:
    """The folder at `uri`, such as s3://bucket/exports, without a connection.

    opened: its file system; without one, that of the environment is made on first use, once for all threads (it takes
    12 MB for s3). refusals: converts errors to those of a store.
    """

    def __init__(self, uri: str, opened: Opened | None = None) -> None:
        self.uri = uri
        self.refusals: Refusals = partial(remote_refusals, secrets=opened.secrets) if opened else remote_refusals
        self._fs = opened.fs if opened else None
        self._ready = False
        self._making = threading.Lock()

    @classmethod
    def of(cls, uri: str, credentials: Credentials | None, setting: str) -> Bucket:
        """Return the bucket of a URI, which may name a connection: s3://CONNECTION@bucket/prefix.

        credentials: that know the connection; without them, those of the environment. setting: that has the URI.
        Call this in the main thread of the process that uses it. Raises what `Credentials.filesystem` raises.
        """
        plain, connection = without_connection(uri)
        if not connection:
            return cls(plain)
        scheme = uri.partition("://")[0]
        return cls(plain, (credentials or Credentials()).filesystem(scheme, connection, setting))

    @property
    def fs(self) -> Any:
        """The file system. Raises what its library raises."""
        with self._making:
            if not self._ready:
                self._fs = self._fs or UPath(self.uri, skip_instance_cache=True).fs
                if "s3" in self._fs.protocol:
                    self._fs.retries = _S3_TRIES
                self._ready = True
            return self._fs

    @staticmethod
    def path(uri: str) -> str:
        """Return the path of a URI, as the file system expects it."""
        return str(UPath(uri).path).rstrip("/")
