"""Values that a source keeps in files outside its database; they are only read.

A local path is walked folder by folder and follows no link below the store's own folder, so that a name from the
database cannot lead anywhere else.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from upath import UPath

from project_export.drafts import local_of, refusing
from project_export.store import folder_uri

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class External:
    """The store at `uri`: file:// or an absolute path, or the URI of any fsspec file system.

    The file that was read last stays open, since values that lie in one file are asked for one after the other.
    Raises BadRequest when the URI is relative or names no folder.
    """

    def __init__(self, uri: str) -> None:
        self._uri = folder_uri(uri)
        self._name = ""
        self._file: BinaryIO | None = None

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """Return `size` bytes of a file from `offset` on, fewer where it is shorter, None where there is no such file.

        Raises ValueError where the name leads out of the store, over a link, or to what is no file; StoreRefused
        where the store is not there or cannot be read.
        """
        names = name.split("/")
        if not {"", ".", ".."}.isdisjoint(names) or "\0" in name:
            raise ValueError(f"the file {name!r} lies outside of the store {self._uri}")
        with refusing(f"{self._uri}/{name}"):
            if self._file is None or name != self._name:
                self.close()
                self._file, self._name = self._open(names), name
            if self._file is None:
                return None
            there = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(offset, there))
            return self._file.read(min(size, max(there - offset, 0)))

    def close(self) -> None:
        """Close the file that is open."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open(self, names: list[str]) -> BinaryIO | None:
        root = local_of(self._uri)
        if root is not None:
            return self._open_local(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), names)
        try:
            return UPath(self._uri, *names).open("rb")
        except FileNotFoundError:
            if not UPath(self._uri).is_dir():
                raise
            return None

    def _open_local(self, folder: int, names: list[str]) -> BinaryIO | None:
        try:
            for name in names:
                above, folder = folder, os.open(name, _OPEN, dir_fd=folder)
                os.close(above)
            if not stat.S_ISREG(os.fstat(folder).st_mode):
                raise ValueError(f"{'/'.join(names)!r} in the store {self._uri} is no file")
            return os.fdopen(os.dup(folder), "rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ValueError(f"{'/'.join(names)!r} in the store {self._uri} leads over a link") from error
            raise
        finally:
            os.close(folder)
