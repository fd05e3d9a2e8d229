"""How `verify` checks the files of an archive other than the records, by the archive's format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from project_export.archive.bundles import BundleCheck
from project_export.archive.contents import Contents
from project_export.archive.findings import Findings
from project_export.archive.gitlab import GitlabFiles
from project_export.formats import Format
from project_export.tree import Tree


class Extras(Protocol):
    """Checks the other files of one archive and adds what is wrong to the findings passed to it."""

    version: str | None
    """The application's version according to the archive, once that file has been read."""

    def __init__(self, tree: Tree, contents: Contents, findings: Findings, bundles: BundleCheck) -> None: ...

    def records(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Return the content of a file with records, which is read along with it."""
        ...

    def file(self, name: str, chunks: Iterator[bytes]) -> bool:
        """Check a file; return False if the format does not have it."""
        ...

    def end(self, files: Collection[str]) -> None:
        """Check that no file is missing, given the names of all files, once the archive has been read."""
        ...

    def stored(self, path: Path) -> None:
        """Check the archive's file itself, for an importer with limits."""
        ...


class NoExtras:
    """Checks for a format without other files."""

    version: str | None = None

    def __init__(self, tree: Tree, contents: Contents, findings: Findings, bundles: BundleCheck) -> None: ...

    def records(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Return the content as it is."""
        return chunks

    def file(self, name: str, chunks: Iterator[bytes]) -> bool:
        """Return False: the format has no other file."""
        return False

    def end(self, files: Collection[str]) -> None:
        """Accept any set of files."""

    def stored(self, path: Path) -> None:
        """Accept any file."""


_BY_FORMAT: Mapping[str, type[Extras]] = {"gitlab": GitlabFiles}


def extras(format: Format) -> type[Extras]:
    """Return the class that checks the files of a format."""
    return _BY_FORMAT.get(format.name, NoExtras)
