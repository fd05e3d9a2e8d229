"""A repository in progress: its objects and refs. It is written at the end, or never, with the same ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from project_export.sample.disk import Disk
from project_export.sample.objects import Commit, Folder, Objects, Person, Signature
from project_export.sample.pack import Pack
from project_export.sample.values import FIRST_DAY

SOMEONE = Signature(Person("Zoë O\u2019Brien-Müller", "committer2@example.com"), FIRST_DAY)
"""Who makes a commit that no row describes."""


class Repository:
    """One repository.

    disk: where it is written; None: not at all. path: its disk path. pool: the repository whose objects it borrows.
    """

    def __init__(self, disk: Disk | None, path: str, pool: Repository | None = None) -> None:
        self.path = path
        self.head = "main"
        self.refs: dict[str, str] = {}
        self._disk = disk
        self._pack = Pack(disk.folder) if disk else None
        self.pool = pool
        self.objects: Objects = Objects(self._pack, pool.objects.stored if pool else ())

    def changed(self, files: Folder | None, changes: Mapping[str, bytes]) -> Folder:
        """Return the files with changes: new contents by path."""
        for path, content in changes.items():
            files = self.objects.with_file(files, path, self.objects.blob(content))
        assert files
        return files

    def commit(
        self, parents: Sequence[Commit], changes: Mapping[str, bytes], message: str, by: Signature = SOMEONE
    ) -> Commit:
        """Return a new commit. changes: to the first parent's files."""
        files = self.changed(parents[0].files if parents else None, changes)
        return self.objects.commit(parents, files, by, message)

    def large_file(self, parent: Commit, path: str, size: int, chunks: Iterable[bytes]) -> Commit:
        """Return a new commit with a file of `size` bytes; the repository must be one that is written."""
        assert self._pack
        files = self.objects.with_file(parent.files, path, self._pack.add_large(size, chunks))
        return self.objects.commit([parent], files, SOMEONE, f"Add {path}\n")

    def branch(self, name: str, commit: Commit) -> None:
        """Create or move a branch."""
        self.refs[f"refs/heads/{name}"] = commit.id

    def keep(self, commit: Commit) -> None:
        """Keep a commit that no branch has, as GitLab does for whatever its rows refer to."""
        self.refs[f"refs/keep-around/{commit.id}"] = commit.id

    def write(self) -> None:
        """Write it, if it has a place. Raises StoreRefused if git cannot."""
        if self._disk and self._pack:
            pool = self.pool.path if self.pool else None
            self._disk.write_repository(self.path, self.head, self.refs, self._pack, pool)
            self._pack.close()
