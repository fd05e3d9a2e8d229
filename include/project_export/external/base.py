"""The files below one folder or bucket."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import BinaryIO

from project_export.store.refusals import Refusals, reading


class Unsafe(ValueError):
    """A name does not name a file of the folder: it points outside, contains a link, or names a folder or a device."""


class External(ABC):
    """The files below one folder or bucket.

    uri: of the folder. remote: whether each file costs a request. `read` keeps the last file open, because the values
    in one file are read in succession.
    """

    remote = False

    def __init__(self, uri: str, refusals: Refusals) -> None:
        self.uri = uri
        self._refusals = refusals
        self._name = ""
        self._file: BinaryIO | None = None

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """Return `size` bytes of a file from `offset`, fewer if it ends earlier, and None if it does not exist.

        Raises Unsafe; StoreRefused if the folder does not exist or cannot be read.
        """
        names = self._names(name)
        with self._refusals(f"{self.uri}/{name}"):
            if self._file is None or name != self._name:
                self.close()
                self._file, self._name = self._open(names, None), name
            if self._file is None:
                return None
            try:
                there = self._file.seek(0, os.SEEK_END)
                self._file.seek(min(offset, there))
                return self._file.read(min(size, max(there - offset, 0)))
            except BaseException:
                self.close()  # the next call opens it again
                raise

    def open(self, name: str, size: int | None = None) -> BinaryIO | None:
        """Open a file for reading, which the caller closes; return None if it does not exist.

        size: the bytes that it should have, if they are known. A small file of an object store has then been fetched.
        Links are not followed, and devices and pipes are not opened. Can be called from several threads. Raises Unsafe;
        StoreRefused if the folder does not exist or cannot be read; reading raises StoreRefused as well.
        """
        uri, names = f"{self.uri}/{name}", self._names(name)
        with self._refusals(uri):
            file = self._open(names, size)
        return None if file is None else reading(file, uri, self._refusals)

    def close(self) -> None:
        """Close the open file, if there is one."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _names(self, name: str) -> list[str]:
        names = name.split("/")
        if not {"", ".", ".."}.isdisjoint(names) or "\0" in name:
            raise Unsafe(f"the file {name!r} is outside the store {self.uri}")
        return names

    @abstractmethod
    def cancel(self) -> None:
        """Give up the requests that are waiting for an answer; their callers get StoreRefused.

        Can be called from another thread, or from a signal handler.
        """

    @abstractmethod
    def _open(self, names: list[str], size: int | None) -> BinaryIO | None:
        """Open a file; return None if the folder exists but the file does not."""
