"""Where parts, archives and manifests are kept: a local folder, or whatever universal_pathlib opens (s3://).

    <root>/<source>/<project_id>/<job_id>/<begin of the archive's SHA-256>/project.tar.gz
                                                                          project.manifest.json
                                          parts/<relation>.<part>.<attempt>.deflate

A file is there whole or not at all. An archive takes no other one's place, and so the manifest beside it always is its
own; which archive counts, the ledger says.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from upath import UPath

from project_export.drafts import Draft, Target, being_written, local_of, reading, refusing, uri_of
from project_export.errors import BadRequest, StoreRefused, StoreUnusable

log = logging.getLogger(__name__)

ARCHIVE = "project.tar.gz"
MANIFEST = "project.manifest.json"

# No separator, no leading dot, nothing that a shell, a URI or a file system reads in its own way.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class JobKey:
    """What places a job in the store."""

    source: str
    project_id: int
    job_id: int


class Store:
    """The artifact store at `uri`: file:// or an absolute path, or the URI of any fsspec file system.

    A path is taken as it is, a file:// URI is percent-decoded, and every URI that a store gives for a local file is
    percent-encoded, as RFC 8089 has it.

    uri: also readable as attribute, without a slash at its end. Raises BadRequest when it is relative or names no
    folder.
    """

    def __init__(self, uri: str) -> None:
        self.uri = folder_uri(uri)

    def part(self, job: JobKey, relation: str, part: int, attempt: int) -> Target:
        """The file of one attempt at a part of a relation."""
        name = f"{_checked(relation)}.{int(part)}.{int(attempt)}.deflate"
        return Target(self._folder(job, "parts", name), str(int(job.job_id)))

    def new_archive(self, job: JobKey) -> Draft:
        """An archive of the job that is to be written, and published as `archive` when its checksum is known."""
        return Draft(self._folder(job, ARCHIVE), str(int(job.job_id)))

    def archive(self, job: JobKey, sha256: str) -> str:
        """The URI of the job's archive that has this checksum."""
        return self._folder(job, _checked(sha256[:16]), ARCHIVE)

    def manifest(self, job: JobKey, sha256: str) -> Target:
        """What that archive is made of, beside it."""
        return Target(manifest_of(self.archive(job, sha256)), str(int(job.job_id)))

    def open(self, uri: str) -> BinaryIO:
        """Open a file of the store for reading. Raises BadRequest if it lies outside, ArtifactMissing, StoreRefused."""
        self._inside(uri)
        local = local_of(uri)
        with refusing(uri):
            raw = local.open("rb", buffering=0) if local else UPath(uri).open("rb")
        return reading(raw, uri)

    def remove(self, uri: str) -> None:
        """Remove a file of the store; it need not be there. Raises BadRequest when it lies outside, StoreRefused."""
        self._inside(uri)
        with refusing(uri), suppress(FileNotFoundError):
            local = local_of(uri)
            if local:
                local.unlink()
            else:
                remote = UPath(uri)
                remote.fs.rm_file(remote.path)  # UPath.unlink takes a store that does not answer for an empty one

    def discard(self, uri: str) -> None:
        """Remove a file that nothing refers to; if the store refuses, that is logged, and `prune` removes it later."""
        try:
            self.remove(uri)
        except (StoreRefused, StoreUnusable) as error:
            log.warning("%s stays until it is pruned: %s", uri, error)

    def remove_others(self, job: JobKey, keep: set[str]) -> list[str]:
        """Remove all that lies here for a job but the URIs in `keep`, and give back what was removed.

        That are the outputs of attempts that no longer count, and temporary files of dead processes; a living one's
        are left alone.
        """
        unreferenced = [uri for uri in sorted(self.files(job).keys() - keep) if not being_written(uri)]
        for uri in unreferenced:
            self.remove(uri)
        for folder in {local.parent for uri in unreferenced if (local := local_of(uri))}:
            with suppress(OSError):  # it has other files
                folder.rmdir()
        return unreferenced

    def files(self, job: JobKey) -> dict[str, int]:
        """Return what lies in the store for a job: the URI and size (bytes) of each file, temporary ones included."""
        found = {}
        top = self._folder(job)
        folders = [top]
        for folder in folders:
            with refusing(folder), suppress(FileNotFoundError, NotADirectoryError):
                for uri, size in _entries(folder):
                    if size is not None:
                        found[uri] = size
                    elif folder == top:
                        folders.append(uri)
        return found

    def remove_folder(self, job: JobKey) -> None:
        """Remove a job's folder, whose files were removed before; where folders are only names, there is none."""
        local = local_of(self._folder(job))
        if local and local.is_dir():
            with refusing(local):
                for folder in (*local.iterdir(), local):
                    folder.rmdir()

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

    def _inside(self, uri: str) -> None:
        path, top = _plain(uri), f"{_plain(self.uri)}/"
        names = path.removeprefix(top).split("/")
        if not path.startswith(top) or not set(names).isdisjoint({"", ".", ".."}) or "\0" in path:
            raise BadRequest(
                f"{uri} lies outside of the store {self.uri}. Set PROJECT_EXPORT_STORE to the store that has it."
            )


def _entries(folder: str) -> Iterator[tuple[str, int | None]]:
    """Yield what is in a folder: URIs and sizes, of a folder None; a link to a folder is left out, never followed."""
    local = local_of(folder)
    if local is None:
        remote = UPath(folder)  # whose own is_dir and iterdir take a store that does not answer for an empty one
        remote.fs.invalidate_cache(remote.path)
        for entry in remote.fs.ls(remote.path, detail=True):
            path = str(entry["name"]).rstrip("/")
            if path.strip("/") != remote.path.strip("/"):  # some stores keep an empty object in place of a folder
                size = None if entry["type"] == "directory" else int(entry["size"] or 0)
                yield f"{folder}/{path.rpartition('/')[2]}", size
        return
    for one in local.iterdir():
        with suppress(FileNotFoundError):  # it was removed or published meanwhile
            if not one.is_dir():
                yield uri_of(one), one.stat().st_size
            elif not one.is_symlink():
                yield uri_of(one), None


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be part of a path in the store. Use letters, digits, '_', '-' and '.', no '.' in front, "
            "and at most 100 characters."
        )
    return name


def folder_uri(uri: str) -> str:
    """Return the URI of a folder, without a slash at its end. Raises BadRequest as `Store` does."""
    local = local_of(uri) if "://" in uri else Path(uri)
    if local is None and uri.partition("://")[2].strip("/"):
        return uri.rstrip("/")
    if local is not None and local.is_absolute() and local.name:
        return uri_of(local)
    raise BadRequest(f"The store {uri!r} is no absolute path and no URI of a folder. Give e.g. file:///srv/exports.")


def _plain(uri: str) -> str:
    """Return a URI in the one form in which two of them can be compared: what an encoded slash or dot means, shows."""
    return unquote(uri, errors="surrogateescape") if local_of(uri) else uri


def manifest_of(archive_uri: str) -> str:
    """Return the URI of the manifest of an archive."""
    return f"{archive_uri.rpartition('/')[0]}/{MANIFEST}"
