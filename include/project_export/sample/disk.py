"""Where a GitLab installation keeps what is not in its database: repositories, uploads and LFS objects, in one folder.

    repositories/   what a storage of Gitaly has: @hashed, @snippets, @pools, and full paths of the legacy layout
    uploads/        what GitLab's public/uploads has
    lfs-objects/    what its shared/lfs-objects has

Paths: GitLab's app/models/storage/hashed.rb and legacy_project.rb, app/uploaders/file_uploader.rb and
lfs_object_uploader.rb.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from project_export.errors import BadRequest, StoreRefused
from project_export.sample.git import GitError, git
from project_export.sample.pack import Pack

MARK = "project-export-sample.txt"
_NOTE = "Made by `project-export sample`, which may replace everything in this folder.\n"
_FOLDERS = ("repositories", "uploads", "lfs-objects")


class Digest(NamedTuple):
    """A file's size in bytes, and the SHA-256 of its content in hexadecimal digits."""

    size: int
    sha256: str


class Disk:
    """The folder; made if it does not exist.

    Raises BadRequest if it has content that the sample did not make, since a sample replaces what is there, and
    StoreRefused if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        mark = self.folder / MARK
        with written():
            if self.folder.exists() and not mark.exists() and any(self.folder.iterdir()):
                raise BadRequest(f"{folder} has files that the sample did not make. Name a new or an empty folder.")
            self.folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(_NOTE)

    def clear(self) -> None:
        """Remove what an earlier sample has made."""
        for name in _FOLDERS:
            if (self.folder / name).exists():
                shutil.rmtree(self.folder / name)

    def repository(self, disk_path: str) -> Path:
        """Return the folder of a repository. disk_path: as the database has it, without .git."""
        return self.folder / "repositories" / f"{disk_path}.git"

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file; path: below the folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)

    def write_repository(
        self, disk_path: str, head: str, refs: Mapping[str, str], pack: Pack, pool: str | None = None
    ) -> None:
        """Write a bare repository.

        head: the branch that HEAD names. refs: the object's id by the full name of a ref. pack: its objects. pool: the
        disk path of a repository whose objects it borrows. Raises StoreRefused, with git's words, if git cannot write
        it, or if it then lacks an object of its refs.
        """
        folder = self.repository(disk_path)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            git("init", "--quiet", "--bare", "--template=", f"--initial-branch={head}", folder)
            if pool:
                self._borrow(folder, pool)
            if pack.count:
                git(f"--git-dir={folder}", "index-pack", pack.write(folder / "objects" / "pack"))
            lines = sorted(f"{found} {name}\n" for name, found in refs.items())
            (folder / "packed-refs").write_text("".join(lines), "utf-8")
            git(f"--git-dir={folder}", "rev-list", "--quiet", "--objects", "--all")
        except GitError as error:
            raise StoreRefused(f"The repository {folder} could not be written: {error}") from error

    def clone(self, bundle: Path, disk_path: str) -> None:
        """Make a repository of a bundle, instead of what is there.

        Raises GitError, with git's words, if git cannot clone the bundle or an object is missing.
        """
        folder = self.repository(disk_path)
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "--quiet", "--mirror", "--template=", "--", bundle, folder, protocols="file")
        git(f"--git-dir={folder}", "config", "--remove-section", "remote.origin")

    def move(self, file: Path, path: str) -> None:
        """Move a file of this file system to a path below the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)

    def _borrow(self, folder: Path, pool: str) -> None:
        """Make a repository borrow objects, by a relative path as Gitaly writes it."""
        depth = len(folder.relative_to(self.folder / "repositories").parts) + 1  # and the folder objects
        info = folder / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text(f"{'../' * depth}{pool}.git/objects\n", "utf-8")


@contextmanager
def written() -> Iterator[None]:
    """Raise StoreRefused if a file cannot be written inside the block."""
    try:
        yield
    except OSError as error:
        raise StoreRefused(f"The sample's files cannot be written: {error}.") from error


def hashed(prefix: str, number: int) -> str:
    """Return the disk path of a repository. prefix: @hashed, @snippets or @pools. number: its owner's id.

    >>> hashed("@hashed", 1)
    '@hashed/6b/86/6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b'
    """
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return f"{prefix}/{digest[:2]}/{digest[2:4]}/{digest}"


def lfs_path(oid: str) -> str:
    """Return the path of an LFS object below the folder."""
    return f"lfs-objects/{oid[:2]}/{oid[2:4]}/{oid[4:]}"


def digest(chunks: Iterable[bytes]) -> Digest:
    """Return the digest of a content."""
    size, hashed = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        hashed.update(chunk)
    return Digest(size, hashed.hexdigest())
