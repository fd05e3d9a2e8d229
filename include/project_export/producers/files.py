"""Relations of kind `files`: files outside the database, each named by a record, as a run of tar members.

The run's layout follows from the list of files alone, so that parts are ranges of it: a small file belongs to the part
in which it starts, a large one is cut where a part ends. Its header is in the first of its parts.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

from project_export.archive.files import RunFile
from project_export.errors import FilesMissing, StoreRefused, listed
from project_export.external import External, Unsafe
from project_export.producers.base import Estimate, Needs, Project
from project_export.producers.entries import Entries, Entry, estimate
from project_export.producers.packed import chunks as packed_chunks
from project_export.producers.run import BLOCK, FileProducer, end, header, refused_name
from project_export.source import Chunk

log = logging.getLogger(__name__)

CUT = 8 << 20
"""Bytes above which a file may be cut at the end of a part."""
_OVERHEAD = 1024
"""Bytes that a file weighs besides its content: header and padding."""
_FETCHERS = 16
"""Threads that fetch small files of an object store at the same time, where a request takes much longer than a read."""

_UNSAFE = "it is a link, a device or a pipe, which are not followed or opened"
_MISSING = "the source has no such file"
_SIZE = "its size is not the one that the source names"
_DIGEST = "its SHA-256 is not the one that the source names"


class Files:
    """The kind `files`; see `Kind`."""

    needs = Needs(session=True, snapshot=True)

    def estimates(self, project: Project, relations: Sequence[str]) -> Mapping[str, Estimate]:
        """Return number and total size of the files that the source names, in locations that are set."""
        return {name: self._estimate(project, name) for name in relations}

    def producer(self, project: Project, relation: str, part: int, parts: int) -> FilesProducer:
        """See `Kind.producer`."""
        project.tables.require([relation])
        return FilesProducer(project, relation, part, parts)

    @staticmethod
    def _estimate(project: Project, relation: str) -> Estimate:
        content = project.bound.relation(relation).content
        there = content is not None and project.locations.has(content.location)
        return estimate(project, relation, lambda entry: entry.bytes if there else 0, divisible=True)


class FilesProducer(FileProducer):
    """One part of a relation of files; see `Producer`."""

    def __init__(self, project: Project, relation: str, part: int, parts: int) -> None:
        super().__init__(project, relation, part)
        self._entries = Entries(project, relation)
        self._part, self._parts = part, parts
        self._report = project.missing_files == "report"
        self._bad: list[str] = []

    def read(self) -> Iterator[Chunk]:
        """See `Producer.chunks`. Raises FilesMissing, with all files of the part that are missing or altered."""
        if not self.project.locations.has(self.content.location):
            for span in self._spans():
                if not span.start:
                    self.lacks(span.name, self.unplaced)
            return
        spans = self._spans()
        for first in islice(spans, 1):  # without a file, no connection is needed
            for found in _fetched(self.project.locations.files(self.content.location), chain([first], spans)):
                yield from self._file(found)
        if self._bad:
            setting = "set PROJECT_EXPORT_MISSING_FILES=report to leave them out, and list them in the manifest"
            raise FilesMissing(
                f"{listed(f'{len(self._bad)} file(s) of {self.relation} cannot be exported', self._bad)}\n"
                f"Restore them, or {setting}."
            )

    def _spans(self) -> Iterator[_Span]:
        """Yield what this part has of each file; note the files whose names are refused."""
        total = sum(_weight(entry) for entry in self._entries.read()) if self._parts > 1 else 0
        first, last = total * self._part // self._parts, total * (self._part + 1) // self._parts
        taken: set[bytes] = set()
        at = 0
        for entry in self._entries.read():
            start, at = at, at + _weight(entry)
            starts_here = self._parts == 1 or first <= start < last
            if entry.name is None:
                if starts_here and entry.present and not self.content.present:
                    self.oddities["a record names no file"] += 1
                continue
            why = refused_name(entry.name, taken)
            if why is not None:
                if starts_here:
                    self.lacks(entry.name, why)
            elif not self._cut(entry):
                if starts_here:
                    yield _Span(entry, entry.name, 0, None)
            else:
                size = entry.bytes or 0
                low, high = min(max(first - start, 0), size), min(max(last - start, 0), size)
                if low < high:
                    yield _Span(entry, entry.name, low, high)

    def _cut(self, entry: Entry) -> bool:
        """Return whether the file may be in several parts.

        A file that is left out if its SHA-256 is wrong must be read as a whole before any of it is written.
        """
        return self._parts > 1 and (entry.bytes or 0) > CUT and not (self._report and entry.sha256)

    def _file(self, found: _Found) -> Iterator[Chunk]:
        """Yield one file, or the range of it; note it, or why it is missing."""
        span, entry, file = found.span, found.span.entry, found.file
        if found.unsafe:
            if span.start == 0:
                self.lacks(span.name, _UNSAFE, found.path)
            return
        if file is None:
            self._lack(span, _MISSING, ", ".join(entry.paths))
            return
        with file:
            size = file.seek(0, 2)
            if entry.bytes is not None and size != entry.bytes:
                self._lack(span, _SIZE, f"{found.path}: {size} bytes, not {entry.bytes}")
                return
            if self._report and entry.sha256 and _digest(file) != entry.sha256:
                # Once its bytes are written, they cannot be taken back.
                self._lack(span, _DIGEST, found.path)
                return
            yield from self._written(span, file, size, found.path)

    def _written(self, span: _Span, file: BinaryIO, size: int, path: str) -> Iterator[Chunk]:
        start, stop = span.start, size if span.stop is None else span.stop
        if start == 0:
            yield header(span.name, size, self.project.mtime)
        hashed = hashlib.sha256()
        file.seek(start)
        yield from packed_chunks(_blocks(file, stop - start, hashed, path))
        own = hashed.hexdigest()
        expected = span.entry.sha256
        if expected and not self._report and start == 0:
            # The part that starts a cut file reads all of it: its SHA-256 cannot be combined from those of ranges.
            for _ in _blocks(file, size - stop, hashed, path):
                pass
            if hashed.hexdigest() != expected:
                self._bad.append(f"{span.name}: {_DIGEST} ({path})")
        values = span.entry.values if start == 0 else ()
        self.written.append(RunFile(span.name, stop - start, own, start, size, values))
        if stop == size:
            yield end(size)

    def _lack(self, span: _Span, why: str, detail: str) -> None:
        """Note a file that is missing or altered: as a failure, or as left out."""
        if not self._report:
            self._bad.append(f"{span.name}: {why} ({detail})")
        elif span.start == 0:
            self.lacks(span.name, why, detail)


@dataclass(frozen=True)
class _Span:
    """What a part has of a file: bytes from start to stop, None for its end."""

    entry: Entry
    name: str
    start: int
    stop: int | None


@dataclass(frozen=True)
class _Found:
    """An open file, None if there is none. unsafe: whether there is something else that must not be opened."""

    span: _Span
    file: BinaryIO | None = None
    path: str = ""
    unsafe: bool = False


def _fetched(external: External, spans: Iterator[_Span]) -> Iterator[_Found]:
    """Yield the files in order. Small ones of an object store are fetched ahead, several at the same time."""
    if not external.remote:
        for span in spans:
            yield _find(external, span)
        return
    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch") as pool:
        ahead: list[Future[_Found]] = [pool.submit(_find, external, span) for span in islice(spans, _FETCHERS)]
        try:
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(_find, external, span) for span in islice(spans, 1)]
        finally:
            for future in ahead:
                if not future.cancel() and future.exception() is None and (file := future.result().file):
                    file.close()


def _find(external: External, span: _Span) -> _Found:
    for path in span.entry.paths:
        try:
            file = external.open(path, span.entry.bytes)
        except Unsafe as error:
            log.warning("%s: %s", span.name, error)
            return _Found(span, path=path, unsafe=True)
        if file is not None:
            return _Found(span, file, path)
    return _Found(span)


def _blocks(file: BinaryIO, size: int, hashed: Any, path: str) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file. Raises StoreRefused if it ends earlier."""
    while size:
        block = file.read(min(BLOCK, size))
        if not block:
            raise StoreRefused(
                f"{path} became {size} bytes shorter while it was read. Is it still being written? Retry."
            )
        hashed.update(block)
        size -= len(block)
        yield block


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    hashed = hashlib.sha256()
    while block := file.read(BLOCK):
        hashed.update(block)
    return hashed.hexdigest()


def _weight(entry: Entry) -> int:
    return (entry.bytes or 0) + _OVERHEAD
