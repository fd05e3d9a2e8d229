"""Compare an archive with its manifest: files, records, bytes and checksums."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from project_export.archive.files import ArchiveFile
from project_export.archive.findings import Findings
from project_export.archive.manifest import Manifest, ManifestRelation


class Expected:
    """What a manifest says about the files of an archive. Without a manifest, everything is as expected."""

    def __init__(self, manifest: Manifest | None, findings: Findings) -> None:
        self._manifest = manifest
        self._findings = findings
        relations = manifest.relations if manifest else ()
        self._contents = {file.name: file for relation in relations for file in relation.files}
        self._relations = {
            relation.file: relation for relation in relations if relation.file and relation.file not in self._contents
        }

    def file(self, name: str, chunks: Iterator[bytes]) -> ExpectedFile | None:
        """Return a relation's content, compared while it is read, or None if the manifest does not have the file."""
        relation = self._relations.get(name)
        if relation:
            return ExpectedFile(relation, name, chunks, self._findings)
        if self._manifest:
            self._findings.add("manifest", name, "not in the manifest")
        return None

    def content(self, name: str, chunks: Iterator[bytes]) -> ExpectedContent | None:
        """Return the content of a file that is not made of records, compared while it is read, or None if the manifest
        does not have the file."""
        file = self._contents.get(name)
        return ExpectedContent(file, chunks, self._findings) if file else None

    def end(self, archive: str, files: set[str], size: int, sha256: str) -> None:
        """Compare the names of the files and the size and SHA-256 of the archive, once it has been read."""
        if not self._manifest:
            return
        for file in sorted((self._relations.keys() | self._contents.keys()) - files):
            self._findings.add("manifest", file, "missing")
        for relation in self._manifest.relations:
            for lacking in relation.missing:
                self._findings.add("lacking", lacking.name, f"left out by the export: {lacking.why}")
        facts = self._manifest.archive
        if (size, sha256) != (facts.bytes, facts.sha256):
            message = f"{size} bytes with SHA-256 {sha256}; the manifest has {facts.bytes} bytes with {facts.sha256}"
            self._findings.add("manifest", archive, message)


class ExpectedContent:
    """A file of the manifest that is not made of records. Iterating over its content hashes each range."""

    def __init__(self, file: ArchiveFile, chunks: Iterator[bytes], findings: Findings) -> None:
        self._file = file
        self._chunks = chunks
        self._findings = findings
        self._hashed = [hashlib.sha256() for _ in file.ranges]
        self._ends = list(accumulate(one.bytes for one in file.ranges))
        self._position = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        view = memoryview(chunk)
        while view and self._position < self._file.bytes:
            current = bisect_right(self._ends, self._position)
            taken = view[: self._ends[current] - self._position]
            self._hashed[current].update(taken)
            self._position += len(taken)
            view = view[len(taken) :]
        return chunk

    def end(self, size: int) -> None:
        """Read what is left, then compare the size and the SHA-256 of each range."""
        for _ in self:
            pass
        if size != self._file.bytes:
            self._findings.add("manifest", self._file.name, f"{size} bytes; the manifest has {self._file.bytes}")
        elif any(one.hexdigest() != found.sha256 for one, found in zip(self._hashed, self._file.ranges, strict=True)):
            self._findings.add("manifest", self._file.name, "its content has a different SHA-256")


class ExpectedFile:
    """A file of the manifest. Iterating over its content hashes each part; their lengths come from the manifest."""

    def __init__(self, relation: ManifestRelation, name: str, chunks: Iterable[bytes], findings: Findings) -> None:
        self._relation = relation
        self._name = name
        self._chunks = chunks
        self._findings = findings
        self._parts = [(part, hashlib.sha256()) for part in relation.parts]
        self._ends = list(accumulate(part.raw_bytes for part in relation.parts))
        self._current = 0
        self._position = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            view = memoryview(chunk)
            while view and self._current < len(self._parts):
                taken = view[: self._ends[self._current] - self._position]
                self._parts[self._current][1].update(taken)
                self._position += len(taken)
                self._current += self._position == self._ends[self._current]
                view = view[len(taken) :]
            yield chunk

    def end(self, records: int, size: int) -> None:
        """Compare the records and bytes that were read, and the SHA-256 of each part."""
        expected = self._relation
        if (records, size) != (expected.rows, expected.bytes):
            message = f"{records} records in {size} bytes; the manifest has {expected.rows} in {expected.bytes}"
            self._findings.add("manifest", self._name, message)
        for part, hashed in self._parts:
            if hashed.hexdigest() != part.sha256:
                message = f"part {part.part} has a different SHA-256"
                self._findings.add("manifest", self._name, message)
