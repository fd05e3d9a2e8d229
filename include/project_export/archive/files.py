"""The files of a relation that has no records: what its parts have of each, put together for manifest and index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from project_export.errors import PartCorrupt


@dataclass(frozen=True)
class RunFile:
    """A file of a part, or a range of its bytes; or a file that the archive lacks.

    bytes, sha256: of the range. offset: where it starts, 0 for a whole file. size: of the whole file. values: for the
    index. why: why the archive lacks it, empty if it does not.
    """

    name: str
    bytes: int = 0
    sha256: str = ""
    offset: int = 0
    size: int = 0
    values: tuple[Any, ...] = ()
    why: str = ""

    def kept(self) -> dict[str, Any]:
        """Return what the ledger keeps of it.

        >>> RunFile("avatar/me.png", why="it is a link").kept()
        {'name': 'avatar/me.png', 'why': 'it is a link'}
        """
        return {key: value for key, value in vars(self).items() if value or key == "name"}

    @staticmethod
    def of(kept: Mapping[str, Any]) -> RunFile:
        """Return the file that the ledger keeps so."""
        return RunFile(**{**kept, "values": tuple(kept.get("values", ()))})


@dataclass(frozen=True)
class FileRange:
    """Consecutive bytes of a file. sha256: in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ArchiveFile:
    """A file in the archive, as one or several ranges, since several parts can share a large one."""

    name: str
    bytes: int
    ranges: tuple[FileRange, ...]


@dataclass(frozen=True)
class MissingFile:
    """A file that the source names and the archive lacks, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class RelationFiles:
    """The files of one relation, in the order of the archive, and those that it lacks. index: see `index_text`."""

    files: tuple[ArchiveFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    index: tuple[tuple[str, tuple[Any, ...]], ...] = ()


def relation_files(relation: str, parts: Sequence[tuple[int, Iterable[Mapping[str, Any]]]]) -> RelationFiles:
    """Return the files of a relation's parts. parts: the number of each part, and its files as the ledger keeps them.

    Raises PartCorrupt if the ranges of a file are not the whole file: it appeared, disappeared or grew while its parts
    were exported, so that these have to be exported again.
    """
    files: list[ArchiveFile] = []
    missing: list[MissingFile] = []
    index: list[tuple[str, tuple[Any, ...]]] = []
    open_file: list[RunFile] = []
    for part, kept in parts:
        for file in map(RunFile.of, kept):
            if file.why:
                missing.append(MissingFile(file.name, file.why))
                continue
            before = open_file[-1] if open_file else None
            expected = 0 if before is None else before.offset + before.bytes
            same = before is None or (before.name, before.size) == (file.name, file.size)
            if not same or file.offset != expected:
                raise _changed(relation, part, before or file)
            open_file.append(file)
            if file.offset + file.bytes == file.size:
                first = open_file[0]
                files.append(ArchiveFile(file.name, file.size, tuple(FileRange(f.bytes, f.sha256) for f in open_file)))
                index.append((file.name.rpartition("/")[2], first.values))
                open_file.clear()
    if open_file:
        raise _changed(relation, parts[-1][0], open_file[-1])
    return RelationFiles(tuple(files), tuple(missing), tuple(index))


def index_text(files: RelationFiles) -> str:
    """Return the JSON text of a relation's index: the values of each file, by the last part of its name."""
    return json.dumps(dict(files.index), separators=(",", ":"), ensure_ascii=False)


def with_index(files: RelationFiles, name: str) -> RelationFiles:
    """Return the files together with their index, which has this name."""
    data = index_text(files).encode()
    index = ArchiveFile(name, len(data), (FileRange(len(data), hashlib.sha256(data).hexdigest()),))
    return replace(files, files=(*files.files, index))


def _changed(relation: str, part: int, file: RunFile) -> PartCorrupt:
    return PartCorrupt(relation, part, f"{file.name} changed while the parts of {relation} were exported.")
