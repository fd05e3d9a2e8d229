"""A bare repository in a storage, once it has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from project_export.errors import RepositoryRefused
from project_export.repositories import objects, refs
from project_export.repositories.bundle import Bundle
from project_export.repositories.files import below, reading, small_file
from project_export.repositories.format import Format, format_of
from project_export.repositories.git import Git
from project_export.repositories.objects import Pools
from project_export.repositories.refs import Refs, refs_of
from project_export.repositories.standin import head, stand_in

CLUSTER = "@cluster"


@dataclass(frozen=True)
class Repository:
    """A repository below a storage root; `open` makes it. path: of its folder. Nothing is ever written to it."""

    path: Path
    _git: Git
    _format: Format
    _pools: Pools

    @classmethod
    def open(cls, root: Path, name: str, git: Git) -> Repository | None:
        """Return the repository `name` below the storage root, None if it does not exist.

        No link is followed below the root, and nothing but regular files is opened. Raises RepositoryRefused if it is
        unsafe, shallow, unreadable or in a format that git does not know; GitUnusable; and GitFailed if git or the
        storage does not answer. Whether it is whole is known after its bundle.
        """
        git.check()
        if name.split("/")[0] == CLUSTER:
            raise RepositoryRefused(
                f"{name} is in a Gitaly Cluster (Praefect), whose files are only valid through it. Set a URL template, "
                "so that repositories are fetched from GitLab."
            )
        path = below(root, name)
        if path is None:
            return None
        head(path)
        with reading(path):
            refs.checked(path)
            if small_file(path / "shallow"):
                raise RepositoryRefused(
                    f"{path} is shallow: its history is cut off, so no bundle of it can be cloned. "
                    "Fetch the rest into it (git fetch --unshallow), or restore it from a backup."
                )
            pools = objects.pools(path / "objects", root)
            for folder in (path / "objects", *pools.folders):
                objects.checked(folder)
            form = format_of(path, git)
        with stand_in(git, path, form) as shown:
            code, _, said = shown.ask("rev-parse", "--git-dir") if form.version else (0, b"", "")
        if code:
            raise RepositoryRefused(
                f"git cannot open {path}{said}. Install a git that knows its format, or set a URL template, so that "
                "repositories are fetched."
            )
        return cls(path, git, form, pools)

    def refs(self) -> Refs:
        """Return the refs of this moment. Raises RepositoryRefused if git cannot read one of them, and GitFailed."""
        with stand_in(self._git, self.path, self._format) as shown:
            return refs_of(shown, self._format)

    def bundle(self) -> Bundle:
        """Return a bundle of all refs, to be read once."""
        return Bundle(self._git, self.path, self._format, self._pools)

    def size(self) -> int:
        """Return the bytes of its objects on disk, without those of its object pools."""
        with reading(self.path):
            return objects.size(self.path / "objects")

    def pools_size(self) -> int:
        """Return the bytes of its object pools on disk; a bundle contains what the repository needs of them."""
        with reading(self.path):
            return sum(map(objects.size, self._pools.folders))
