"""A store in a local folder, which may be a network file system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from project_export.store.base import JobKey, Store
from project_export.store.refusals import local_refusals, reading
from project_export.store.temporary import TemporaryFile, being_written
from project_export.store.uris import path_of, uri_of


@contextmanager
def replacing(path: Path, owner: str) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; when the block ends, sync it and rename it to `path`.

    owner: the job, for the name of the temporary file, which is removed after an exception. Raises StoreRefused.
    """
    with closing(TemporaryFile(path.parent, path.name, owner, uri_of(path))) as file:
        yield file.out
        with local_refusals(uri_of(path)):
            file.sync()
            file.path.replace(path)
            _sync_folder(path.parent)


class LocalStore(Store):
    """The store in `folder`, an absolute path."""

    def __init__(self, folder: Path) -> None:
        self.uri = uri_of(folder)
        self._root = folder

    @contextmanager
    def writing(self, job: JobKey, uri: str) -> Iterator[BinaryIO]:
        """See `Store.writing`."""
        with replacing(self.local_path(uri), str(int(job.job_id))) as out:
            yield out

    def open(self, uri: str) -> BinaryIO:
        """See `Store.open`."""
        path = self.local_path(uri)
        with local_refusals(uri):
            return reading(path.open("rb", buffering=0), uri, local_refusals)

    def presigned(self, uri: str, seconds: int, name: str, content_type: str) -> None:
        """See `Store.presigned`."""
        self.local_path(uri)

    def remove(self, uri: str) -> None:
        """See `Store.remove`."""
        path = self.local_path(uri)
        with local_refusals(uri), suppress(FileNotFoundError):
            path.unlink()

    def remove_others(self, job: JobKey, keep: set[str]) -> list[str]:
        """See `Store.remove_others`. Also removes folders that are empty afterwards."""
        removed = super().remove_others(job, keep)
        for folder in {path_of(uri).parent for uri in removed}:
            with suppress(OSError):  # it has other files
                folder.rmdir()
        return removed

    def files(self, job: JobKey) -> dict[str, int]:
        """See `Store.files`. Links to folders are not followed."""
        found: dict[str, int] = {}
        top = path_of(self._folder(job))
        folders = [top]
        for folder in folders:
            with local_refusals(folder), suppress(FileNotFoundError, NotADirectoryError):
                for one in folder.iterdir():
                    with suppress(FileNotFoundError):  # removed or published in the meantime
                        if not one.is_dir():
                            found[uri_of(one)] = one.stat().st_size
                        elif folder == top and not one.is_symlink():
                            folders.append(one)
        return found

    def remove_folder(self, job: JobKey) -> None:
        """See `Store.remove_folder`."""
        folder = path_of(self._folder(job))
        if folder.is_dir():
            with local_refusals(folder):
                for one in (*folder.iterdir(), folder):
                    one.rmdir()

    def being_written(self, uri: str) -> bool:
        """See `Store.being_written`."""
        return being_written(path_of(uri))

    def free_bytes(self) -> int:
        """See `Store.free_bytes`. Creates the folder if it is missing."""
        with local_refusals(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self._root).free

    def local_path(self, uri: str) -> Path:
        """See `Store.local_path`."""
        # Decoded, so that an encoded slash or dot is recognized.
        self._inside(uri, _decoded(uri), _decoded(self.uri))
        return path_of(uri)


def _decoded(uri: str) -> str:
    return unquote(uri, errors="surrogateescape")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
