"""Temporary files of an export: records that were read before their turn wait in one."""

from __future__ import annotations

import errno
import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from project_export.errors import TemporaryRefused
from project_export.variables import variable

TEMPORARY_BYTES = 512 << 20
_WRITE_BYTES = 256 << 10
_ABSENT, _LATER = -1, -2
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = ("tmpfs", "ramfs")
_REMEDY = (
    f"Free space there, or set {variable('temporary_folder')} to another folder or {variable('temporary_bytes')} to "
    "fewer bytes, then retry."
)


@dataclass(frozen=True)
class Temporary:
    """Where a process keeps temporary files, and how many bytes of them at most.

    folder: empty for that of the system (TMPDIR).
    """

    folder: str = ""
    bytes: int = TEMPORARY_BYTES

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder or tempfile.gettempdir())

    @property
    def in_memory(self) -> bool:
        """Whether the folder is in memory, so that its files count as memory; False if that is unknown."""
        try:
            device = self.path.stat().st_dev
            mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
        except OSError:
            return False
        wanted = f"{os.major(device)}:{os.minor(device)}"
        return any(mount[2] == wanted and mount[mount.index("-") + 1] in _IN_MEMORY for mount in mounts)

    @property
    def warning(self) -> str:
        """What is not wrong with the folder, but costs more than expected; empty if nothing does."""
        if not self.in_memory:
            return ""
        return f"{self.path} is in memory: up to {self.bytes} bytes of temporary files of an export count as memory"

    def require(self, most: int | None = None) -> None:
        """Raise TemporaryRefused unless a file can be made there, and the bytes are free.

        most: the bytes that are needed at most, if that is known.
        """
        wanted = self.bytes if most is None else min(most, self.bytes)
        with self.refusals():
            self.open().close()
            found = os.statvfs(self.path)
            if found.f_bavail * found.f_frsize < wanted:
                raise OSError(errno.ENOSPC, f"{found.f_bavail * found.f_frsize} bytes are free, {wanted} are needed")

    def open(self) -> BinaryIO:
        """Return a new file without a name, which the system removes when it is closed. Raises OSError."""
        return tempfile.TemporaryFile(dir=self.path, buffering=0)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Convert each OSError in the block to TemporaryRefused."""
        try:
            yield
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, type(error).__name__)
            raise TemporaryRefused(f"temporary files in {self.path}: {name}, {error.strerror}. {_REMEDY}") from error


class Spool:
    """Documents that wait for their turn, by their positions in a window of this size.

    The file is made when the first document has to wait. size: its bytes. waiting: those that have not been taken.
    """

    def __init__(self, temporary: Temporary, positions: int) -> None:
        self.size = 0
        self.waiting = 0
        self._temporary = temporary
        self._file: BinaryIO | None = None
        self._offsets = array("q", [_ABSENT]) * positions
        self._sizes = array("q", [0]) * positions

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def keep(self, documents: Mapping[int, bytes]) -> None:
        """Keep documents by their positions. Raises TemporaryRefused."""
        gathered: list[bytes] = []
        size = 0
        for position, document in documents.items():
            self._offsets[position], self._sizes[position] = self.size + size, len(document)
            gathered.append(document)
            size += len(document)
            if size >= _WRITE_BYTES:
                self._write(b"".join(gathered))
                gathered.clear()
                size = 0
        self._write(b"".join(gathered))

    def postpone(self, position: int) -> None:
        """Note that the record at a position will be read at its turn."""
        self._offsets[position] = _LATER

    def postponed(self, position: int) -> bool:
        """Return whether the record at a position was postponed."""
        return self._offsets[position] == _LATER

    def take(self, position: int) -> bytes | None:
        """Return the document that was kept at a position, None if there is none. Raises TemporaryRefused."""
        offset, size = self._offsets[position], self._sizes[position]
        if offset < 0 or self._file is None:
            return None
        with self._temporary.refusals():
            data = os.pread(self._file.fileno(), size, offset)
            if len(data) != size:
                raise OSError(errno.EIO, "a temporary file lost its content")
        self.waiting -= size
        return data

    def _write(self, data: bytes) -> None:
        if not data:
            return
        with self._temporary.refusals():
            if self._file is None:
                self._file = self._temporary.open()
            view = memoryview(data)
            while view:
                written = os.pwrite(self._file.fileno(), view, self.size)
                view = view[written:]
                self.size += written
                self.waiting += written
