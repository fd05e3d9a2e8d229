"""An archive's records, line by line, from a temporary folder: a tar in gzip can only be read from front to back."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any, cast

from project_export.archive.names import plain, wrong_name
from project_export.errors import ArchiveBroken, BadRequest, StoreRefused
from project_export.formats.gitlab import LFS_OBJECTS

Record = dict[str, Any]

ROOT = "tree/project.json"
_MEMBER = re.compile(r"(?:\./)?(tree/project\.json|tree/project/\w+\.ndjson)")
_FOLDERS = ("uploads/", "lfs-objects/", "snippets/", "avatar/")


class Unpacked:
    """A context manager that unpacks the tree of an archive, and the project's other files if they have a folder.

    files: that folder. others: by name, the path of each file that is not part of the tree; it has another name there.
    unsafe: how many have a name that is not safe; they are not unpacked.
    Raises BadRequest if there is no such file, ArchiveBroken if it is not a tar.gz or has no tree/project.json, and
    StoreRefused if space or permissions to unpack it are missing.
    """

    def __init__(self, archive: Path, files: Path | None = None) -> None:
        self.archive = archive
        self.others: dict[str, Path] = {}
        self.unsafe = 0
        self._files: dict[str, Path] = {}
        self._others_folder = files

    def __enter__(self) -> Unpacked:
        if not self.archive.is_file():
            raise BadRequest(f"There is no archive at {self.archive}. Give the path of a project.tar.gz.")
        with ExitStack() as stack:
            others = self._others_folder
            folders = [
                Path(stack.enter_context(TemporaryDirectory(prefix="project-export-load-", dir=where)))
                for where in ([None, others] if others else [None])
            ]
            self._unpack(*folders)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _unpack(self, folder: Path, others: Path | None = None) -> None:
        try:
            with tarfile.open(self.archive, "r|gz") as tar:
                for member in tar:
                    found = _MEMBER.fullmatch(member.name)
                    if not member.isreg():
                        continue
                    if found:
                        path = self._files[found[1]] = folder / str(len(self._files))
                    elif others and _is_of_project(name := plain(member.name)):
                        if wrong_name(member.name):
                            self.unsafe += 1
                            continue
                        path = self.others[name] = others / str(len(self.others))
                    else:
                        continue
                    with cast(IO[bytes], tar.extractfile(member)) as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            message = f"{self.archive} is not a readable tar.gz: {error}"
            raise ArchiveBroken(f"{message}. Fetch or export it again.") from error
        except OSError as error:
            where = f"{folder} and {others}" if others else str(folder)
            message = f"{self.archive} could not be unpacked into {where}: {error.strerror}"
            raise StoreRefused(f"{message}. Set TMPDIR to another folder.") from error
        if ROOT not in self._files:
            raise ArchiveBroken(f"{self.archive} has no {ROOT}. Is it a project's export of GitLab 13 or newer?")

    def names(self) -> list[str]:
        """Return the names of the relations that have a file."""
        return [Path(name).stem for name in self._files if name != ROOT]

    def root(self) -> tuple[str, Record]:
        """Return the location of the root's record, for messages, and the record."""
        for where, record in self._records(ROOT):
            return where, record
        raise ArchiveBroken(f"{self.archive}: {ROOT} holds no record. Fetch or export it again.")

    def records(self, relation: str) -> Iterator[tuple[str, Record]]:
        """Yield each record of a relation with its location; no file, an empty one and `null` contain none."""
        return self._records(f"tree/project/{relation}.ndjson")

    def _records(self, name: str) -> Iterator[tuple[str, Record]]:
        if name not in self._files:
            return
        with self._files[name].open("rb") as file:
            for number, line in enumerate(file, 1):
                where = f"{self.archive}: {name}:{number}"
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise ArchiveBroken(f"{where}: not JSON: {error}. Fetch or export the archive again.") from error
                if record is None:
                    continue
                if not isinstance(record, dict):
                    raise ArchiveBroken(f"{where}: not an object. Fetch or export the archive again.")
                yield where, record


def _is_of_project(name: str) -> bool:
    """Whether a member is one of the files of a project."""
    return name.endswith(".bundle") or name == LFS_OBJECTS or name.startswith(_FOLDERS)
