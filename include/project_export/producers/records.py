"""Relations of kind `records`: rows of the source as lines of JSON."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from project_export.errors import SourceBusy, SourceRefused
from project_export.producers.base import Estimate, Needs, Project
from project_export.source import Chunk, Reader
from project_export.source.sizes import Sizes

log = logging.getLogger(__name__)


class Records:
    """The kind `records`; see `Kind`."""

    needs = Needs(session=True, snapshot=True, line_limit=True)

    def estimates(self, project: Project, relations: Sequence[str]) -> Mapping[str, Estimate]:
        """Count each relation's top-level records, and estimate their bytes from the statistics of the database."""
        reader = project.reader
        sizes = Sizes(project.session, project.bound)
        return {name: _estimate(project, reader, sizes, name) for name in relations}

    def producer(self, project: Project, relation: str, part: int, parts: int) -> RecordsProducer:
        """See `Kind.producer`."""
        project.tables.require([relation])
        return RecordsProducer(project, relation, part, parts)


class RecordsProducer:
    """One part of a relation of records; see `Producer`."""

    def __init__(self, project: Project, relation: str, part: int, parts: int) -> None:
        self._relation, self._part, self._parts = relation, part, parts
        self._git, self._locations = project.git, project.locations
        self._reader = project.reader.again()
        # Remarks and omissions of the whole relation are reported once, with its first part.
        self._known = (project.bound, project.tables) if part == 0 else ()

    def chunks(self) -> Generator[Chunk, None, None]:
        """See `Producer.chunks`."""
        yield from self._reader.read(self._relation, self._part, self._parts)

    def cancel(self) -> None:
        """See `Producer.cancel`. The worker itself cancels the query."""
        self._git.cancel()  # it may be listing branches
        self._locations.cancel()

    @property
    def remarks(self) -> list[str]:
        """See `Producer.remarks`."""
        known = [text for one in self._known for text in one.remarks(self._relation)]
        return [*known, *_counted(self._reader.oddities)]

    @property
    def omissions(self) -> list[str]:
        """See `Producer.omissions`."""
        known = [text for one in self._known for text in one.omissions(self._relation)]
        return [*known, *_counted(self._reader.omissions)]

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """See `Producer.files`."""
        return ()


def _estimate(project: Project, reader: Reader, sizes: Sizes, name: str) -> Estimate:
    session = project.session
    try:
        with session.attempt(f"count {name}"):
            records = reader.count(name)
    except (SourceRefused, SourceBusy) as error:
        if session.lost:
            raise
        log.warning("%s cannot be counted: %s", name, error)
        return Estimate(1)
    size = sizes.of(project.bound.relation(name), records)
    return Estimate(records, size if size or not records else None)


def _counted(found: Counter[str]) -> list[str]:
    return [f"{text} ({count} times)" if count > 1 else text for text, count in found.items()]
