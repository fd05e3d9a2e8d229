"""Entries: what the source knows of the files and repositories of a relation, one for each record."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from project_export.coders import exact
from project_export.errors import SourceBusy, SourceRefused
from project_export.producers.base import Estimate, Project

_SHA256 = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A file or repository of the source.

    name: of the file in the archive; None if the record names none. paths: where its content may be, in order.
    url: of a repository on a server, below its location; None if it cannot be fetched.
    part_of: which of several places its location is, empty if there is one. bytes, sha256: None if the source does not
    know them. present: whether the source has content, as far as it knows. values: for the index.
    """

    name: str | None
    paths: tuple[str, ...]
    url: str | None = None
    part_of: str = ""
    bytes: int | None = None
    sha256: str | None = None
    present: bool = True
    values: tuple[Any, ...] = ()


class Entries:
    """The entries of one relation, read from its records in the order of the tree. Memory: one batch."""

    def __init__(self, project: Project, relation: str) -> None:
        content = project.bound.relation(relation).content
        assert content is not None, "the tree gives every relation of this kind a content"
        self._reader = project.reader.again(ahead=False)  # files are read meanwhile, which can take hours
        self._relation = relation
        self._content = content

    def read(self, part: int = 0, parts: int = 1) -> Iterator[Entry]:
        """Yield the entries. Records in succession with the same name are one entry with the values of all.

        part, parts: only the records of this part.
        """
        last: Entry | None = None
        for record in self._records(part, parts):
            entry = self._entry(record)
            if last is not None and last.name == entry.name and self._content.index is not None:
                added = tuple(value for value in entry.values if value not in last.values)
                last = Entry(**{**vars(last), "values": (*last.values, *added)})
                continue
            if last is not None:
                yield last
            last = entry
        if last is not None:
            yield last

    def _records(self, part: int, parts: int) -> Iterator[dict[str, Any]]:
        begun: list[bytes] = []
        for chunk in self._reader.read(self._relation, part, parts):
            begun.append(chunk.data)
            if chunk.records:
                for line in b"".join(begun).splitlines():
                    record = exact.read(line.decode())
                    if record is not None:
                        yield record
                begun.clear()

    def _entry(self, record: dict[str, Any]) -> Entry:
        content = self._content
        record = content.values(record)
        paths = (path.of(record) for path in content.paths)
        size, sha256 = record.get(content.bytes), record.get(content.sha256)
        return Entry(
            name=content.name.render(record),
            paths=tuple(path for path in paths if path is not None),
            url=content.url.render(record) if content.url else None,
            part_of=str(record.get(content.part_of) or ""),
            bytes=None if size is None else int(size),
            sha256=sha256 if sha256 is not None and _SHA256.fullmatch(sha256) else None,
            present=not content.present or bool(record.get(content.present)),
            values=(record.get(content.index.key),) if content.index else (),
        )


def estimate(
    project: Project, relation: str, measure: Callable[[Entry], int | None], *, divisible: bool = False
) -> Estimate:
    """Return the number of a relation's entries, and the total size of those that will be exported.

    measure: returns the bytes of an entry, None if they are unknown. If the entries cannot be listed, logs it: the
    export will report what is wrong. Raises SourceBusy if the session is lost.
    """
    number = total = unknown = 0
    try:
        with project.session.attempt(f"list {relation}"):
            for entry in Entries(project, relation).read():
                size = measure(entry) if entry.name is not None else 0
                number, total, unknown = number + 1, total + (size or 0), unknown + (size is None)
    except (SourceRefused, SourceBusy) as error:
        if project.session.lost:
            raise
        log.warning("%s cannot be listed: %s", relation, error)
        return Estimate(1)
    return Estimate(number, None if number and unknown == number else total, divisible)
