"""Files below a local folder, which no name can leave."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from project_export.external.base import External, Unsafe
from project_export.store.refusals import local_refusals
from project_export.store.uris import uri_of

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Local(External):
    """Files below a local folder.

    A path is opened folder by folder, without following links: a name from the database cannot refer to any other
    place.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(uri_of(root), local_refusals)
        self._root = root

    def cancel(self) -> None:
        """See `External.cancel`. There are no requests."""

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
