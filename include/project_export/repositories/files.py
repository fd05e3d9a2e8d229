"""The files of a repository, seen without following a link or opening anything but regular files.

This protects from what a repository contains, not from a process that changes the storage at the same moment; but even
such a process cannot make git run anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project_export.errors import GitFailed, RepositoryRefused

LONGEST_NAME = 255
LONGEST_SMALL_FILE = 1 << 20

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says while a repository is read into errors of the tree. path: of the repository."""
    try:
        yield
    except PermissionError as error:
        raise RepositoryRefused(
            f"{path} cannot be read: {error.strerror} ({os.fsdecode(error.filename or '')}). "
            "Let the user that runs the tasks read the repositories."
        ) from error
    except OSError as error:
        raise GitFailed(f"{path} cannot be read: {error}. Is its storage mounted and healthy?") from error


def below(root: Path, name: str) -> Path | None:
    """Return the folder `name` below `root`, None if it does not exist.

    root: may itself be a link. name: relative, with `/`; goes from folder to folder and never through a link. Raises
    RepositoryRefused for a name that is not plain, and for a link or a file on the way.
    """
    parts = name.split("/")
    plain = all(part.isprintable() and "\\" not in part and part not in ("", ".", "..") for part in parts)
    if not plain or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise RepositoryRefused(f"{name!r} is not the name of a repository below {root}. Correct where it comes from.")
    path = Path(os.path.realpath(root))
    with reading(root):
        try:
            folder = os.open(path, _FOLDER)
        except FileNotFoundError:
            raise RepositoryRefused(f"The storage root {root} does not exist. Mount it, or correct its path.") from None
        except NotADirectoryError:
            raise RepositoryRefused(f"The storage root {root} is not a folder. Correct its path.") from None
        try:
            for part in parts:
                path /= part
                try:
                    inner = os.open(part, _FOLDER, dir_fd=folder)
                except FileNotFoundError:
                    return None
                except NotADirectoryError:
                    raise RepositoryRefused(
                        f"{path} is a link or a file, not a folder. Links are not followed: replace it by the folder."
                    ) from None
                os.close(folder)
                folder = inner
        finally:
            os.close(folder)
    return path


def small_file(path: Path) -> bytes | None:
    """Return the content of a file, None if it does not exist.

    Raises RepositoryRefused if it is not a regular file, or if it has more than LONGEST_SMALL_FILE bytes.
    """
    if not regular(path):
        return None
    with os.fdopen(os.open(path, _FILE), "rb") as file:
        content = file.read(LONGEST_SMALL_FILE + 1)
    if len(content) > LONGEST_SMALL_FILE:
        raise RepositoryRefused(f"{path} has more than {LONGEST_SMALL_FILE} bytes. Git does not write such a file.")
    return content


def regular(path: Path) -> bool:
    """Return whether a file exists. Raises RepositoryRefused if it is not a regular one."""
    mode = _mode(path)
    if mode and not stat.S_ISREG(mode):
        raise _irregular(path)
    return bool(mode)


def walk(folder: Path, *, depth: int = -1) -> Iterator[os.DirEntry[str]]:
    """Yield all regular files below a folder, however deep; depth: how many levels of folders to enter, -1: all.

    A folder that does not exist, or vanishes meanwhile, has none. Raises RepositoryRefused at a link, a device, or
    anything else that is neither a file nor a folder.
    """
    mode = _mode(folder)
    if not mode:
        return
    if not stat.S_ISDIR(mode):
        raise _irregular(folder)
    waiting = [(str(folder), depth)]
    while waiting:
        path, left = waiting.pop()
        try:
            entries = os.scandir(path)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield entry
                elif not entry.is_dir(follow_symlinks=False):
                    if os.path.lexists(entry.path):
                        raise _irregular(Path(entry.path))
                elif left:
                    waiting.append((entry.path, left - 1))


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0


def _irregular(path: Path) -> RepositoryRefused:
    return RepositoryRefused(
        f"{path} is a link, a device or another special file. It is not read: replace it by what it refers to, or "
        "remove it."
    )
