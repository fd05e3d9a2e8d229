"""What parts of files and bundles have in common: the files that are in them, and those that are not."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from project_export.archive.files import RunFile
from project_export.archive.names import wrong_name
from project_export.archive.tar import file_header, padding
from project_export.producers.base import Project
from project_export.source import Chunk

log = logging.getLogger(__name__)

BLOCK = 256 << 10
"""Bytes that are read at once."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


class FileProducer(ABC):
    """What the producers of files and of bundles have in common: what they have written and left out, in order."""

    def __init__(self, project: Project, relation: str, part: int) -> None:
        content = project.bound.relation(relation).content
        assert content is not None, "the tree gives every relation of this kind a content"
        self.project, self.relation, self.content = project, relation, content
        self.written: list[RunFile] = []
        self.oddities: Counter[str] = Counter()
        self.omitted: Counter[str] = Counter()
        # Remarks and omissions of the whole relation are reported once, with its first part.
        self._known = (project.bound, project.tables) if part == 0 else ()

    def chunks(self) -> Generator[Chunk, None, None]:
        """See `Producer.chunks`. The session may be idle for hours while files or repositories are read."""
        with self.project.session.waiting():
            yield from self.read()

    def cancel(self) -> None:
        """See `Producer.cancel`."""
        self.project.git.cancel()
        self.project.locations.cancel()

    @abstractmethod
    def read(self) -> Iterator[Chunk]:
        """Yield the chunks; see `Producer.chunks`."""

    @property
    def unplaced(self) -> str:
        """Why nothing can be read if the location is not set."""
        return f"the setting PROJECT_EXPORT_LOCATIONS has no location {self.content.location}"

    def lacks(self, name: str, why: str, detail: str = "") -> None:
        """Note a file that the archive lacks. detail: for the log."""
        log.warning("%r is left out: %s%s", name, why, detail and f" ({detail})")
        self.written.append(RunFile(name, why=why))

    @property
    def remarks(self) -> Sequence[str]:
        """See `Producer.remarks`."""
        known = [text for one in self._known for text in one.remarks(self.relation)]
        return [*known, *_counted(self.oddities)]

    @property
    def omissions(self) -> Sequence[str]:
        """See `Producer.omissions`. Files are counted by the reason; the manifest has their names."""
        known = [text for one in self._known for text in one.omissions(self.relation)]
        reasons = Counter(file.why for file in self.written if file.why)
        return [
            *known,
            *_counted(self.omitted),
            *(f"{count} file(s) left out: {why}" for why, count in reasons.items()),
        ]

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """See `Producer.files`."""
        return [file.kept() for file in self.written]


def refused_name(name: str, taken: set[bytes]) -> str | None:
    """Return why a file cannot have this name in the archive, None if it can; the name then counts as taken.

    Names that differ only by case would replace each other on some file systems.
    """
    folded = name.casefold().encode("utf-8", "surrogatepass")
    if _UNSAFE.search(name):
        return "its name has a control character or a backslash"
    if any(part in ("", ".", "..") for part in name.split("/")) or wrong_name(name):
        return "its name is not safe to unpack"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if folded in taken:
        return "another file has the same name, apart from case"
    taken.add(folded)
    return None


def header(name: str, size: int, mtime: int) -> Chunk:
    """Return what precedes a file in a run."""
    return Chunk(file_header(f"./{name}", size, mtime), 0)


def end(size: int) -> Chunk:
    """Return what follows a file in a run; the file counts as one record."""
    return Chunk(padding(size), 1)


def _counted(found: Counter[str]) -> list[str]:
    return [f"{text} ({count} times)" if count > 1 else text for text, count in found.items()]
