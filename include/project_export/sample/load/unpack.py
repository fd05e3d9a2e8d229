"""An archive's records, line by line, from a temporary folder: a tar in gzip can only be read from front to back."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from project_export.errors import ArchiveBroken, BadRequest

Record = dict[str, Any]

ROOT = "tree/project.json"
_MEMBER = re.compile(r"(?:\./)?(tree/project\.json|tree/project/\w+\.ndjson)")


class Unpacked:
    """A context manager that holds the tree of an archive, and nothing else of it.

    Raises BadRequest when there is no such file, ArchiveBroken when it is no tar.gz or has no tree/project.json.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self._folder = tempfile.TemporaryDirectory(prefix="project-export-load-")
        self._files: dict[str, Path] = {}

    def __enter__(self) -> Unpacked:
        try:
            self._unpack()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._folder.cleanup()

    def _unpack(self) -> None:
        if not self.archive.is_file():
            raise BadRequest(f"There is no archive at {self.archive}. Give the path of a project.tar.gz.")
        try:
            with tarfile.open(self.archive, "r|gz") as tar:
                for member in tar:
                    found = _MEMBER.fullmatch(member.name)
                    if found is None or not member.isreg():
                        continue
                    path = Path(self._folder.name, str(len(self._files)))
                    with cast(IO[bytes], tar.extractfile(member)) as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target)
                    self._files[found[1]] = path
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ArchiveBroken(
                f"{self.archive} is not a readable tar.gz: {error}. Fetch or export it again."
            ) from error
        if ROOT not in self._files:
            raise ArchiveBroken(f"{self.archive} has no {ROOT}. Is it a project's export of GitLab 13 or newer?")

    def names(self) -> list[str]:
        """Return the names of the relations that have a file."""
        return [Path(name).stem for name in self._files if name != ROOT]

    def root(self) -> tuple[str, Record]:
        """Return where the root's record stands, for messages, and the record."""
        for where, record in self._records(ROOT):
            return where, record
        raise ArchiveBroken(f"{self.archive}: {ROOT} holds no record. Fetch or export it again.")

    def records(self, relation: str) -> Iterator[tuple[str, Record]]:
        """Yield where each record of a relation stands, and the record; no file, an empty one and `null` have none."""
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
