"""Files that an application keeps outside its database; the export only reads them."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from upath import UPath

from project_export.credentials import Credentials, Opened, without_credentials
from project_export.errors import BadRequest, SettingRefused, nearest
from project_export.store.refusals import Refusals, local_refusals, reading, remote_refusals
from project_export.store.uris import place, uri_of

AT_ONCE = 1 << 20
"""Bytes up to which a file of an object store is fetched with one request, if its size is known."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 8 << 20
"""Bytes of a larger file that one request fetches; a library's own choice may be more (s3fs: 50 MiB)."""
_VERSION = "?versionId="
_WITH_PASSWORD = "https://"


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
            there = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(offset, there))
            return self._file.read(min(size, max(there - offset, 0)))

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
    def _open(self, names: list[str], size: int | None) -> BinaryIO | None:
        """Open a file; return None if the folder exists but the file does not."""


class _Local(External):
    """Files below a local folder.

    A path is opened folder by folder, without following links: a name from the database cannot refer to any other
    place.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(uri_of(root), local_refusals)
        self._root = root

    def _open(self, names: list[str], size: int | None) -> BinaryIO | None:
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
                fs.info(
                    self._root
                )  # the folder may be missing, too; UPath.exists is False if the store does not answer
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


def open_external(uri: str, credentials: Credentials | None = None) -> External:
    """Return the files below `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    Before the bucket, it may name a connection of `credentials`: s3://CONNECTION@bucket/prefix. Nothing is opened yet.
    Call this in the main thread of the process that reads the files. Raises BadRequest if `uri` is relative or does not
    name a folder, and what `Credentials.filesystem` raises.
    """
    found = place(uri)
    if isinstance(found, Path):
        return _Local(found)
    scheme, _, rest = found.partition("://")
    bucket, slash, prefix = rest.partition("/")
    connection, _, bucket = bucket.rpartition("@")
    if not connection:
        return _Remote(found)
    return _Remote(f"{scheme}://{bucket}{slash}{prefix}", (credentials or Credentials()).filesystem(scheme, connection))


_PASSWORD = re.compile(r"://[^/@]*:[^@]*@")  # it may contain an unescaped /
_SEPARATED = re.compile(r"[,\s]+(?=[A-Za-z_][\w.-]*=)")


class Locations:
    """The places of a source's content outside its database, by the names that its tree declares.

    uris: by name, or by name and part, such as `repositories.default`. credentials: for buckets and git servers.
    """

    def __init__(self, uris: Mapping[str, str] | None = None, credentials: Credentials | None = None) -> None:
        self.credentials = credentials or Credentials()
        self._uris = uris or {}
        self._opened: dict[str, External] = {}

    @classmethod
    def of(cls, setting: str, declared: Collection[str], credentials: Credentials | None = None) -> Locations:
        """Return the locations of a setting: `uploads=s3://CONNECTION@bucket, repositories.default=/srv/repositories`.

        declared: the names of the tree. Raises SettingRefused, which names what is wrong.
        """
        uris: dict[str, str] = {}
        for item in _SEPARATED.split(setting.strip()) if setting.strip() else ():
            name, equals, uri = item.partition("=")
            base = name.partition(".")[0]
            if not equals or not uri.strip():
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {without_credentials(item)!r} is not name=URI. Separate several of "
                    "them by commas."
                )
            if base not in declared:
                known = nearest(base, declared) if declared else "the tree declares none"
                raise SettingRefused(f"PROJECT_EXPORT_LOCATIONS: location {base} is unknown; {known}")
            uris[name] = uri.strip().rstrip(",")
            if _PASSWORD.search(uris[name]):
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: location {name} contains a password, and settings are not secret. "
                    "Put it into a connection of Airflow: for a bucket, write its id before the @; for git servers, "
                    "set PROJECT_EXPORT_GIT_CONN_ID."
                )
            try:
                place(uris[name])
            except BadRequest as error:
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {name} is neither an absolute path nor a URI; got {uris[name]!r}"
                ) from error
        return cls(uris, credentials)

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
        """Return the files of a location that the setting has; see `open_external`."""
        if name not in self._opened:
            self._opened[name] = open_external(self._uris[name], self.credentials)
        return self._opened[name]

    def login(self, url: str) -> tuple[str, Callable[[], str] | None]:
        """Return the URL of a repository with a user, if it is known, and what returns the password.

        Only https needs a password; ssh has keys. Raises what `Credentials.login` raises.
        """
        if not url.startswith(_WITH_PASSWORD):
            return url, None
        login, rest = self.credentials.login(), url.removeprefix(_WITH_PASSWORD)
        if login.user and "@" not in rest.partition("/")[0]:
            url = f"{_WITH_PASSWORD}{quote(login.user, safe='')}@{rest}"
        return url, (lambda: login.password) if login.password else None

    def read(self, name: str, file: str, offset: int, size: int) -> bytes | None:
        """Return a range of bytes of a file; see `External.read`."""
        return self.files(name).read(file, offset, size)

    def close(self) -> None:
        """Close what is open."""
        for external in self._opened.values():
            external.close()
