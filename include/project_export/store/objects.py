"""A store in an object store, or in any other file system of fsspec."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from project_export.errors import StoreRefused, StoreUnusable
from project_export.store.base import JobKey, Store
from project_export.store.bucket import LIMIT_SECONDS, Bucket
from project_export.store.refusals import OTHER_STEP, SET_UP, reading
from project_export.store.remote import open_object, sign_object
from project_export.store.requests import Requests, asking
from project_export.store.temporary import TemporaryFile, sweep

_sweep_once = cache(sweep)

_SLOWEST = 256 << 10
"""Bytes per second that an upload must reach."""


class ObjectStore(Store):
    """The store in a bucket. Objects appear only once complete, so nothing is locked.

    UPath's is_dir, iterdir and unlink treat a store that does not answer as empty, so this class does not use them.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.uri = bucket.uri
        self._bucket = bucket
        self._refusals = bucket.refusals
        self._requests = Requests(LIMIT_SECONDS)

    @contextmanager
    def writing(self, job: JobKey, uri: str) -> Iterator[BinaryIO]:
        """See `Store.writing`. Writes to a local temporary file, and uploads it once it is complete.

        Afterwards, the size of the object is compared with that of the file.
        """
        self._check(uri)
        folder = Path(tempfile.gettempdir())
        _sweep_once(folder)  # files of killed processes: no store lists this folder
        with closing(
            TemporaryFile(folder, uri.rpartition("/")[2], str(int(job.job_id)), f"{folder} (for {uri})")
        ) as file:
            yield file.out
            with self._refusals(uri):
                file.out.flush()
                self._upload(file.path, uri)

    def open(self, uri: str) -> BinaryIO:
        """See `Store.open`."""
        self._check(uri)
        with self._refusals(uri):
            file = self._requests.run(lambda: open_object(self._bucket.fs, self._bucket.path(uri)))
            return reading(asking(file, self._requests), uri, self._refusals)

    def presigned(self, uri: str, seconds: int, name: str, content_type: str) -> str | None:
        """See `Store.presigned`."""
        self._check(uri)
        with self._refusals(uri):
            return sign_object(self._bucket.fs, self._bucket.path(uri), seconds, name, content_type)

    def remove(self, uri: str) -> None:
        """See `Store.remove`."""
        self._check(uri)
        with self._refusals(uri), suppress(FileNotFoundError):
            self._requests.run(lambda: self._bucket.fs.rm_file(self._bucket.path(uri)))

    def files(self, job: JobKey) -> dict[str, int]:
        """See `Store.files`."""
        found: dict[str, int] = {}
        top = self._folder(job)
        folders = [top]
        for folder in folders:
            with self._refusals(folder), suppress(FileNotFoundError, NotADirectoryError):
                for uri, size in self._entries(folder):
                    if size is not None:
                        found[uri] = size
                    elif folder == top:
                        folders.append(uri)
        return found

    def remove_folder(self, job: JobKey) -> None:
        """See `Store.remove_folder`."""

    def being_written(self, uri: str) -> bool:
        """See `Store.being_written`. An object is never visible before it is complete."""
        return False

    def free_bytes(self) -> None:
        """See `Store.free_bytes`."""

    def local_path(self, uri: str) -> None:
        """See `Store.local_path`."""
        self._check(uri)

    def _check(self, uri: str) -> None:
        self._inside(uri, uri, self.uri)

    def _upload(self, path: Path, uri: str) -> None:
        fs, remote, sent = self._bucket.fs, self._bucket.path(uri), path.stat().st_size
        try:
            self._requests.run(lambda: fs.put_file(str(path), remote), LIMIT_SECONDS + sent / _SLOWEST)
        except FileNotFoundError as error:
            if not path.exists():
                raise
            raise StoreUnusable(f"{uri}: no such bucket or folder: {error}. {SET_UP}") from error
        fs.invalidate_cache(remote)
        stored = int(self._requests.run(lambda: fs.info(remote))["size"])
        if stored != sent:
            raise StoreRefused(f"{uri}: {sent} bytes were sent, and {stored} are stored. {OTHER_STEP}")

    def _entries(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """Yield the URI and size of each entry of a folder; the size of a folder is None."""
        fs, remote = self._bucket.fs, self._bucket.path(folder)
        fs.invalidate_cache(remote)
        for entry in self._requests.run(lambda: fs.ls(remote, detail=True)):
            path = str(entry["name"]).rstrip("/")
            if path.strip("/") != remote.strip("/"):  # some stores have an empty object for a folder
                size = None if entry["type"] == "directory" else int(entry["size"] or 0)
                yield f"{folder}/{path.rpartition('/')[2]}", size
