"""Files that an application keeps outside its database; the export only reads them."""

from __future__ import annotations

import errno
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from project_export.errors import BadRequest, SettingRefused, nearest
from project_export.store.refusals import Refusals, local_refusals, reading, remote_refusals
from project_export.store.uris import place, uri_of

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
                self._file, self._name = self._open(names), name
            if self._file is None:
                return None
            there = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(offset, there))
            return self._file.read(min(size, max(there - offset, 0)))

    def open(self, name: str) -> BinaryIO | None:
        """Open a file for reading, which the caller closes; return None if it does not exist.

        Links are not followed, and devices and pipes are not opened. Can be called from several threads. Raises Unsafe;
        StoreRefused if the folder does not exist or cannot be read; reading raises StoreRefused as well.
        """
        uri, names = f"{self.uri}/{name}", self._names(name)
        with self._refusals(uri):
            file = self._open(names)
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
                raise Unsafe(f"{'/'.join(names)!r} in the store {self.uri} is not a file")
            return os.fdopen(os.dup(folder), "rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Unsafe(f"{'/'.join(names)!r} in the store {self.uri} contains a link") from error
            raise
        finally:
            os.close(folder)


class _Remote(External):
    """Files of an object store."""

    remote = True

    def __init__(self, uri: str) -> None:
        super().__init__(uri, remote_refusals)

    def _open(self, names: list[str]) -> BinaryIO | None:
        try:
            return UPath(self.uri, *names).open("rb")
        except FileNotFoundError:
            if not UPath(self.uri).is_dir():
                raise
            return None


def open_external(uri: str) -> External:
    """Return the files below `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    Nothing is opened yet. Raises BadRequest if `uri` is relative or does not name a folder.
    """
    found = place(uri)
    return _Local(found) if isinstance(found, Path) else _Remote(found)


_SEPARATED = re.compile(r"[,\s]+(?=[A-Za-z_][\w.-]*=)")


class Locations:
    """The places of a source's content outside its database, by the names that its tree declares.

    uris: by name, or by name and part, such as `repositories.default`.
    """

    def __init__(self, uris: Mapping[str, str] | None = None) -> None:
        self._uris = uris or {}
        self._opened: dict[str, External] = {}

    @classmethod
    def of(cls, setting: str, declared: Collection[str]) -> Locations:
        """Return the locations of a setting: `uploads=file:///srv/uploads, repositories.default=/srv/repositories`.

        declared: the names of the tree. Raises SettingRefused, which names what is wrong.
        """
        uris: dict[str, str] = {}
        for item in _SEPARATED.split(setting.strip()) if setting.strip() else ():
            name, equals, uri = item.partition("=")
            base = name.partition(".")[0]
            if not equals or not uri.strip():
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {item!r} is not name=URI. Separate several of them by commas."
                )
            if base not in declared:
                known = nearest(base, declared) if declared else "the tree declares none"
                raise SettingRefused(f"PROJECT_EXPORT_LOCATIONS: location {base} is unknown; {known}")
            uris[name] = uri.strip().rstrip(",")
            try:
                place(uris[name])
            except BadRequest as error:
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {name} is neither an absolute path nor a URI; got {uris[name]!r}"
                ) from error
        return cls(uris)

    def uri(self, name: str, part: str = "") -> str | None:
        """Return the URI of a location; of its part, if there is one for it; None if the setting has neither."""
        return self._uris.get(f"{name}.{part}", self._uris.get(name))

    def has(self, name: str) -> bool:
        """Return whether the setting has this location."""
        return self.uri(name) is not None

    def has_any(self, name: str) -> bool:
        """Return whether the setting has this location, or one of its parts."""
        return any(one.partition(".")[0] == name for one in self._uris)

    def files(self, name: str) -> External:
        """Return the files of a location that the setting has. Nothing is opened yet. Raises BadRequest."""
        if name not in self._opened:
            self._opened[name] = open_external(self._uris[name])
        return self._opened[name]

    def read(self, name: str, file: str, offset: int, size: int) -> bytes | None:
        """Return a range of bytes of a file; see `External.read`."""
        return self.files(name).read(file, offset, size)

    def close(self) -> None:
        """Close what is open."""
        for external in self._opened.values():
            external.close()
