"""The interface of a store, and the names of its files:

    <root>/<source>/<project_id>/<job_id>/<start of the digest of its pieces>/project.tar.gz
                                                                              project.manifest.json
                                          parts/<relation>.<part>.<attempt>.deflate

A file is complete or does not exist. An archive never replaces one that is made of other pieces, so the manifest next
to an archive always belongs to it. The ledger decides which archive counts.
"""

from __future__ import annotations

import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from project_export.errors import BadRequest, StoreRefused, StoreUnusable
from project_export.store.pieces import Assembled, Piece, assemble

log = logging.getLogger(__name__)

ARCHIVE = "project.tar.gz"
MANIFEST = "project.manifest.json"

# No separator, no leading dot, nothing with a special meaning in a shell, a URI or a file system.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class JobKey:
    """Identifies the folder of a job in the store."""

    source: str
    project_id: int
    job_id: int


class Store(ABC):
    """An artifact store. uri: of its folder, without a slash at the end.

    All methods with a URI raise BadRequest if it is outside the store. All methods that read or write raise
    StoreRefused for errors that a retry may cure, ArtifactMissing if the file does not exist, StoreUnusable for a wrong
    set-up.
    """

    uri: str

    def part(self, job: JobKey, relation: str, part: int, attempt: int) -> str:
        """Return the URI of one attempt at a part of a relation."""
        return self._folder(job, "parts", f"{_checked(relation)}.{int(part)}.{int(attempt)}.deflate")

    def archive(self, job: JobKey, digest: str) -> str:
        """Return the URI of the job's archive whose pieces have this digest."""
        return self._folder(job, _checked(digest[:16]), ARCHIVE)

    def assemble(self, job: JobKey, pieces: Sequence[Piece], uri: str) -> Assembled:
        """Make a file of the store from pieces, and return its size and checksum.

        An existing file is replaced and never trusted: the checksum that is returned is that of the bytes just copied.
        Raises PartCorrupt, and publishes nothing, if a part is not what was written.
        """
        with self.writing(job, uri) as out:
            return assemble(pieces, self.open, out)

    @abstractmethod
    def writing(self, job: JobKey, uri: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing, and publish it as `uri` in one atomic step when the block ends.

        An existing file is replaced. After an exception in the block, nothing is published and no temporary file
        remains.
        """

    @abstractmethod
    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading, from any offset.

        What was opened is never mixed with a file that replaces it: reading goes on with the old one, or fails.
        """

    @abstractmethod
    def presigned(self, uri: str, seconds: int, name: str, content_type: str) -> str | None:
        """Return a URL that anybody can GET the file from for some time, or None if the store cannot make one.

        name, content_type: of the file for the client; a store that cannot change them sends its own.
        """

    @abstractmethod
    def remove(self, uri: str) -> None:
        """Remove a file; it need not exist."""

    @abstractmethod
    def files(self, job: JobKey) -> dict[str, int]:
        """Return the URI and size in bytes of each file that the store has for a job, including temporary files."""

    @abstractmethod
    def remove_folder(self, job: JobKey) -> None:
        """Remove a job's folder, once its files have been removed. An object store has no folders."""

    @abstractmethod
    def being_written(self, uri: str) -> bool:
        """Return whether a running process is writing this temporary file."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Return how many bytes can be written, or None if unknown."""

    @abstractmethod
    def local_path(self, uri: str) -> Path | None:
        """Return the path of a file, or None if it is not in the local file system."""

    def discard(self, uri: str) -> None:
        """Remove a file that nothing refers to; if the store refuses, log it: `prune` removes the file later."""
        try:
            self.remove(uri)
        except (StoreRefused, StoreUnusable) as error:
            log.warning("%s remains until it is pruned: %s", uri, error)

    def remove_others(self, job: JobKey, keep: set[str]) -> list[str]:
        """Remove all files of a job except the URIs in `keep`, and return the removed URIs.

        These are files of attempts that no longer count, and temporary files of processes that no longer run.
        """
        unreferenced = [uri for uri in sorted(self.files(job).keys() - keep) if not self.being_written(uri)]
        for uri in unreferenced:
            self.remove(uri)
        return unreferenced

    def check(self) -> None:
        """Raise StoreRefused or StoreUnusable if the store cannot be written to."""
        probe = f"{self.uri}/.probe-{secrets.token_hex(4)}"
        with self.writing(JobKey("probe", 0, 0), probe) as out:
            out.write(b"probe")
        self.remove(probe)

    def _folder(self, job: JobKey, *below: str) -> str:
        """Return the URI of a job's folder, or of a path below it."""
        return "/".join((self.uri, _checked(job.source), str(int(job.project_id)), str(int(job.job_id)), *below))

    def _inside(self, uri: str, plain: str, top: str) -> None:
        """Raise BadRequest unless `plain` is below `top`; both must be in a form that can be compared."""
        names = plain.removeprefix(f"{top}/").split("/")
        if not plain.startswith(f"{top}/") or not set(names).isdisjoint({"", ".", ".."}) or "\0" in plain:
            raise BadRequest(
                f"{uri} is outside the store {self.uri}. Set PROJECT_EXPORT_STORE to the store that contains it."
            )


def manifest_of(archive_uri: str) -> str:
    """Return the URI of an archive's manifest, which is next to it."""
    return f"{archive_uri.rpartition('/')[0]}/{MANIFEST}"


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be part of a path in the store. Use at most 100 letters, digits, '_', '-' and '.', "
            "and no '.' at the start."
        )
    return name
