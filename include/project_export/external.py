"""Values that an application keeps in files outside its database; the export only reads them."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from project_export.store.refusals import Refusals, local_refusals, remote_refusals
from project_export.store.uris import place, uri_of

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class External(ABC):
    """The files of a source. The last one stays open, because the values in one file are read in succession."""

    def __init__(self, uri: str, refusals: Refusals) -> None:
        self._uri = uri
        self._refusals = refusals
        self._name = ""
        self._file: BinaryIO | None = None

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """Return `size` bytes of a file from `offset`, fewer if it ends earlier, and None if it does not exist.

        Raises ValueError if the name points outside the folder, follows a link, or is not a file; StoreRefused if the
        folder does not exist or cannot be read.
        """
        names = name.split("/")
        if not {"", ".", ".."}.isdisjoint(names) or "\0" in name:
            raise ValueError(f"the file {name!r} is outside the store {self._uri}")
        with self._refusals(f"{self._uri}/{name}"):
            if self._file is None or name != self._name:
                self.close()
                self._file, self._name = self._open(names), name
            if self._file is None:
                return None
            there = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(offset, there))
            return self._file.read(min(size, max(there - offset, 0)))

    def close(self) -> None:
        """Close the open file, if there is one."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    @abstractmethod
    def _open(self, names: list[str]) -> BinaryIO | None:
        """Open a file; return None if the folder exists but the file does not."""


class _Local(External):
    """Files below a local folder.

    A path is opened folder by folder, without following links: a name from the database cannot refer to any other
    place.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(uri_of(root), local_refusals)
        self._root = root

    def _open(self, names: list[str]) -> BinaryIO | None:
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                above, folder = folder, os.open(name, _OPEN, dir_fd=folder)
                os.close(above)
            if not stat.S_ISREG(os.fstat(folder).st_mode):
                raise ValueError(f"{'/'.join(names)!r} in the store {self._uri} is not a file")
            return os.fdopen(os.dup(folder), "rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ValueError(f"{'/'.join(names)!r} in the store {self._uri} contains a link") from error
            raise
        finally:
            os.close(folder)


class _Remote(External):
    """Files of an object store."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, remote_refusals)

    def _open(self, names: list[str]) -> BinaryIO | None:
        try:
            return UPath(self._uri, *names).open("rb")
        except FileNotFoundError:
            if not UPath(self._uri).is_dir():
                raise
            return None


def open_external(uri: str) -> External:
    """Return the files below `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    Nothing is opened yet. Raises BadRequest if `uri` is relative or does not name a folder.
    """
    found = place(uri)
    return _Local(found) if isinstance(found, Path) else _Remote(found)
