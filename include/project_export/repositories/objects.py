"""The objects of a repository on disk: its own folder, and the object pools that it borrows from (alternates)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project_export.errors import RepositoryRefused
from project_export.repositories.files import below, small_file, walk

DEEPEST = 5
"""How many pools git follows from one to the next."""


@dataclass(frozen=True)
class Pools:
    """The object folders that a repository borrows from, and those of them that do not exist."""

    folders: tuple[Path, ...]
    missing: tuple[Path, ...]


def pools(objects: Path, root: Path) -> Pools:
    """Return the pools of a folder of objects, and theirs.

    root: of the storage; all pools must be below it. Raises RepositoryRefused if one is not, or is behind a link.
    """
    found: list[Path] = []
    missing: list[Path] = []
    borders = [objects]
    for _ in range(DEEPEST + 1):
        borrowed = [pool for folder in borders for pool in _alternates(folder, root)]
        borders = []
        for pool in borrowed:
            if pool in (objects, *found, *missing):
                continue
            exists = below(root, str(pool.relative_to(os.path.realpath(root))))
            (found if exists else missing).append(pool)
            borders += [pool] if exists else []
        if not borders:
            return Pools(tuple(found), tuple(missing))
    raise RepositoryRefused(f"{objects} borrows objects through more than {DEEPEST} pools, one after another.")


def _alternates(objects: Path, root: Path) -> Iterator[Path]:
    """Yield what a folder of objects borrows from. Format: git's Documentation/gitrepository-layout."""
    file = objects / "info" / "alternates"
    real = Path(os.path.realpath(root))
    for line in (small_file(file) or b"").split(b"\n"):
        if not line or line.startswith(b"#"):
            continue
        if line.startswith(b'"'):
            raise RepositoryRefused(f"{file} has a quoted path, which is not read. Write it without quotes.")
        path = Path(os.path.normpath(objects / os.fsdecode(line)))
        if path.is_relative_to(root):
            path = real / path.relative_to(root)
        if not path.is_relative_to(real) or path == real:
            raise RepositoryRefused(
                f"{file} borrows objects from {path}, outside the storage root {root}, which is not read. "
                "Unlink the repository from this pool (git repack -a -d), or move the pool below the root."
            )
        yield path


def checked(objects: Path) -> None:
    """Raise RepositoryRefused if a folder of objects has a link or special file."""
    for _ in walk(objects):
        pass


def size(objects: Path) -> int:
    """Return the bytes of the files in a folder of objects. Raises RepositoryRefused at a link or special file."""
    total = 0
    for entry in walk(objects):
        with contextlib.suppress(FileNotFoundError):  # git has just packed it
            total += entry.stat(follow_symlinks=False).st_size
    return total


def packs(objects: Path) -> frozenset[str]:
    """Return the names of the packs in a folder of objects; they change when it is repacked."""
    return frozenset(entry.name for entry in walk(objects / "pack", depth=0))
