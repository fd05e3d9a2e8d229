"""Compare an archive with its manifest: files, records, bytes and checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import accumulate

from project_export.archive.findings import Findings
from project_export.archive.manifest import Manifest, ManifestRelation


class Expected:
    """What a manifest says about the files of an archive. Without a manifest, everything is as expected."""

    def __init__(self, manifest: Manifest | None, findings: Findings) -> None:
        self._manifest = manifest
        self._findings = findings
        self._relations = (
            {relation.file: relation for relation in manifest.relations if relation.file} if manifest else {}
        )

    def file(self, name: str, chunks: Iterator[bytes]) -> ExpectedFile | None:
        """Return a relation's content, compared while it is read, or None if the manifest does not have the file."""
        relation = self._relations.get(name)
        if relation:
            return ExpectedFile(relation, name, chunks, self._findings)
        if self._manifest:
            self._findings.add("manifest", name, "not in the manifest")
        return None

    def end(self, archive: str, files: set[str], size: int, sha256: str) -> None:
        """Compare the names of the files and the size and SHA-256 of the archive, once it has been read."""
        if not self._manifest:
            return
        for file in sorted(self._relations.keys() - files):
            self._findings.add("manifest", file, "missing")
        facts = self._manifest.archive
        if (size, sha256) != (facts.bytes, facts.sha256):
            message = f"{size} bytes with SHA-256 {sha256}; the manifest has {facts.bytes} bytes with {facts.sha256}"
            self._findings.add("manifest", archive, message)


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
