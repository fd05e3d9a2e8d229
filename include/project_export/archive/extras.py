"""Files that an archive has besides the records: what `verify` knows of them, by the archive's format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from project_export.archive.contents import Contents
from project_export.archive.findings import Findings
from project_export.archive.gitlab import GitlabFiles
from project_export.formats import Format
from project_export.tree import Tree


class Extras(Protocol):
    """Checks the files of one archive; what is found goes to the findings that it was made with."""

    version: str | None
    """The application's version that the archive gives, once it has been read."""

    def __init__(self, tree: Tree, contents: Contents, findings: Findings) -> None: ...

    def file(self, name: str, chunks: Iterator[bytes]) -> bool:
        """Check a file; return False for one that the format does not have."""
        ...

    def end(self, files: Collection[str]) -> None:
        """Check what is missing, given the names of all files, once all has been read."""
        ...

    def stored(self, path: Path) -> None:
        """Check the archive's own file, for an importer with limits."""
        ...


class NoExtras:
    """A format with nothing besides the records."""

    version: str | None = None

    def __init__(self, tree: Tree, contents: Contents, findings: Findings) -> None: ...

    def file(self, name: str, chunks: Iterator[bytes]) -> bool:
        """Know no file."""
        return False

    def end(self, files: Collection[str]) -> None:
        """Miss nothing."""

    def stored(self, path: Path) -> None:
        """Accept any file."""


_BY_FORMAT: Mapping[str, type[Extras]] = {"gitlab": GitlabFiles}


def extras(format: Format) -> type[Extras]:
    """Return what checks the files of a format."""
    return _BY_FORMAT.get(format.name, NoExtras)
