"""Where parts, archives and manifests lie: a local folder, or any place that universal_pathlib opens (s3://, ...).

    <root>/<source>/<project_id>/<job_id>/project.tar.gz
                                          project.manifest.json
                                          parts/<relation>.<part>.<attempt>.deflate

A file is there whole or not at all: it is written under a temporary name and published by one atomic step. Everything
that the operating system refuses is raised as StoreRefused, with the path, the name of the error, and what to do.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from upath import UPath

from project_export.errors import ArtifactMissing, BadRequest, StoreRefused

log = logging.getLogger(__name__)

BUFFER = 256 << 10
ARCHIVE = "project.tar.gz"
MANIFEST = "project.manifest.json"

# No separator, no leading dot, nothing that a shell, a URI or a file system reads in its own way.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")

NEXT_STEP = {
    errno.ENOSPC: "Free space there, then retry.",
    errno.EDQUOT: "Raise the quota or free space there, then retry.",
    errno.EACCES: "Let the user of the tasks read and write there, then retry.",
    errno.EPERM: "Let the user of the tasks read and write there, then retry.",
    errno.EROFS: "Mount it for writing, then retry.",
    errno.ENOENT: "It was removed, or is not mounted here: export it again, or mount the store.",
    errno.EMFILE: "Raise the limit of open files, then retry.",
    errno.ENFILE: "Raise the limit of open files, then retry.",
}
OTHER_STEP = "See that the store is reachable and healthy, then retry."


@dataclass(frozen=True)
class JobKey:
    """What places a job in the store."""

    source: str
    project_id: int
    job_id: int


@dataclass(frozen=True)
class Target:
    """A file to be in the store. owner: the job, for the names of temporary files."""

    uri: str
    owner: str

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Give a file to write to, and publish it under `uri` when the block ends; an exception leaves nothing of it.

        A local file is synced, then renamed over the one before. For another place it is written to a local temporary
        file, then uploaded: no upload starts before all is written. Raises StoreRefused.
        """
        local = local_of(self.uri)
        folder = local.parent if local else Path(tempfile.gettempdir())
        name = self.uri.rpartition("/")[2]
        temporary = folder / f".{name}.job-{self.owner}.pid-{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with refusing(temporary):
            folder.mkdir(parents=True, exist_ok=True)
            raw = temporary.open("xb", buffering=0)
        out = io.BufferedWriter(_Refusing(raw, self.uri), BUFFER)
        try:
            yield out
            with refusing(self.uri):
                out.flush()
                if local:
                    os.fsync(raw.fileno())
                    temporary.replace(local)
                    _sync_folder(folder)
                else:
                    remote = UPath(self.uri)
                    remote.fs.put_file(str(temporary), remote.path)
        finally:
            # Only after a failure is there anything left to write, and then the first error is the one to raise.
            with suppress(StoreRefused):
                out.close()
            _discard(temporary)


class Store:
    """The artifact store at `uri`: file:// or an absolute path, or the URI of any fsspec file system.

    uri: also readable as attribute, without a slash at its end. Raises BadRequest when it is
    relative or names no folder.
    """

    def __init__(self, uri: str) -> None:
        self.uri = folder_uri(uri)

    def part(self, job: JobKey, relation: str, part: int, attempt: int) -> Target:
        """The file of one attempt at a part of a relation."""
        return self._target(job, "parts", f"{_checked(relation)}.{int(part)}.{int(attempt)}.deflate")

    def archive(self, job: JobKey) -> Target:
        """The job's archive."""
        return self._target(job, ARCHIVE)

    def manifest(self, job: JobKey) -> Target:
        """What the archive is made of, beside it."""
        return self._target(job, MANIFEST)

    def open(self, uri: str) -> BinaryIO:
        """Open a file of the store for reading. Raises BadRequest if it lies outside, ArtifactMissing, StoreRefused."""
        self._inside(uri)
        local = local_of(uri)
        with refusing(uri):
            raw = local.open("rb", buffering=0) if local else UPath(uri).open("rb")
        return io.BufferedReader(_Refusing(raw, uri), BUFFER)

    def remove(self, uri: str) -> None:
        """Remove a file of the store; it need not be there. Raises BadRequest when it lies outside, StoreRefused."""
        self._inside(uri)
        with refusing(uri), suppress(FileNotFoundError):
            (local_of(uri) or UPath(uri)).unlink()

    def remove_others(self, job: JobKey, keep: set[str]) -> list[str]:
        """Remove all that lies here for a job but the URIs in `keep`, and give back what was removed.

        That are the outputs of attempts that no longer count, and temporary files of dead processes.
        """
        unreferenced = sorted(self.files(job).keys() - keep)
        for uri in unreferenced:
            self.remove(uri)
        return unreferenced

    def files(self, job: JobKey) -> dict[str, int]:
        """Return what lies in the store for a job: the URI and size (bytes) of each file, temporary ones included."""
        found = {}
        for folder in (self._folder(job), self._folder(job, "parts")):
            with refusing(folder):
                path = local_of(folder) or UPath(folder)
                for one in path.iterdir() if path.is_dir() else ():
                    with suppress(FileNotFoundError):  # it was removed or published meanwhile
                        if not one.is_dir():
                            found[f"{folder}/{one.name}"] = one.stat().st_size
        return found

    def remove_folder(self, job: JobKey) -> None:
        """Remove a job's folder, whose files were removed before; where folders are only names, there is none."""
        for folder in (self._folder(job, "parts"), self._folder(job)):
            local = local_of(folder)
            if local:
                with refusing(folder), suppress(FileNotFoundError):
                    local.rmdir()

    def free_bytes(self) -> int | None:
        """Return how much can be written here, None where nothing says so (a store that is not local)."""
        local = local_of(self.uri)
        if local is None:
            return None
        with refusing(local):
            local.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(local).free

    def local_path(self, uri: str) -> Path | None:
        """Path of a file of the store, None where it is not in the local file system; BadRequest if it lies outside."""
        self._inside(uri)
        return local_of(uri)

    def check(self) -> None:
        """Raise StoreRefused when nothing can be written here."""
        probe = Target(f"{self.uri}/.probe-{secrets.token_hex(4)}", "none")
        with probe.writing() as out:
            out.write(b"probe")
        self.remove(probe.uri)

    def _folder(self, job: JobKey, *below: str) -> str:
        return "/".join((self.uri, _checked(job.source), str(int(job.project_id)), str(int(job.job_id)), *below))

    def _target(self, job: JobKey, *names: str) -> Target:
        return Target(self._folder(job, *names), str(int(job.job_id)))

    def _inside(self, uri: str) -> None:
        names = uri.removeprefix(self.uri + "/").split("/")
        if not uri.startswith(self.uri + "/") or not set(names).isdisjoint({"", ".", ".."}):
            raise BadRequest(
                f"{uri} lies outside of the store {self.uri}. Set PROJECT_EXPORT_STORE to the store that has it."
            )


class _Refusing(io.RawIOBase):
    """A raw file that raises StoreRefused for its OSErrors, and leaves those of the block around it as they are."""

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def readinto(self, buffer: Any) -> int:
        with refusing(self._path):
            return int(self._file.readinto(buffer))

    def write(self, data: Any) -> int:
        with refusing(self._path):
            return int(self._file.write(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            with refusing(self._path):
                self._file.close()


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be part of a path in the store. Use letters, digits, '_', '-' and '.', no '.' in front, "
            "and at most 100 characters."
        )
    return name


def folder_uri(uri: str) -> str:
    """Return the URI of a folder, without a slash at its end. Raises BadRequest as `Store` does."""
    scheme, path = uri.split("://", 1) if "://" in uri else ("file", uri)
    if not path.strip("/") or (scheme == "file" and not path.startswith("/")):
        raise BadRequest(
            f"The store {uri!r} is no absolute path and no URI of a folder. Give e.g. file:///srv/exports."
        )
    return f"{scheme}://{path.rstrip('/')}"


def local_of(uri: str) -> Path | None:
    """Return the path of a file:// URI, None of any other."""
    return Path(uri.removeprefix("file://")) if uri.startswith("file://") else None


@contextmanager
def refusing(path: object) -> Iterator[None]:
    """Raise what the operating system refuses in this block as StoreRefused or ArtifactMissing, naming the path."""
    try:
        yield
    except OSError as error:
        # Remote file systems raise some of these without a number.
        by_class = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}
        code = error.errno or by_class.get(type(error), 0)
        kind = ArtifactMissing if code == errno.ENOENT else StoreRefused
        name = errno.errorcode.get(code, type(error).__name__)
        raise kind(f"{path}: {name}, {error.strerror or error}. {NEXT_STEP.get(code, OTHER_STEP)}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        # The file may be found by its name later; an error in flight says more than this one.
        log.warning("%s could not be removed: %s. Remove it by hand.", temporary, error)
