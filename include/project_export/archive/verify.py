"""Verify an archive as a stream.

It takes the memory of the longest line, and a few bytes for each file, LFS object and iid.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from project_export.archive.bundles import BundleCheck, bundle_problems
from project_export.archive.contents import Contents
from project_export.archive.expected import Expected
from project_export.archive.extras import extras
from project_export.archive.findings import Finding, Findings, Version
from project_export.archive.layout import root_file
from project_export.archive.manifest import Manifest
from project_export.archive.names import plain, wrong_name
from project_export.archive.reading import Entry, Gunzip, entries
from project_export.errors import ArchiveBroken, ArtifactMissing, StoreRefused
from project_export.formats import Limits
from project_export.tree import DEFAULT, Tree, load_all

SPECIAL_BITS = 0o7000
LONGEST_LINE = 1 << 30
"""Maximum bytes of a line if the importer has no limits: PostgreSQL cannot return a longer value."""


@dataclass(frozen=True)
class FileCount:
    """A number of files, and their bytes."""

    number: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Report:
    """The result of a verification.

    records: their number by relation, including the root; a file with `null` has none. files: other files than those of
    records and of the format, by their name or their topmost folder. bytes: read of the archive file. unpacked: read of
    its tar. version: of the application, None if the archive does not contain it. problems: what is wrong. warnings:
    what the importer drops or truncates although the application itself may write it. remarks: what is odd but
    harmless.
    """

    records: dict[str, int]
    files: dict[str, FileCount]
    bytes: int
    unpacked: int
    version: str | None
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    remarks: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(
    path: Path,
    manifest: Manifest | None = None,
    *,
    tree: Tree | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int], None] | None = None,
    bundles: BundleCheck = bundle_problems,
) -> Report:
    """Verify the archive at `path`, and compare it with its manifest if one is given.

    tree: defines the records, with all its editions; by default the tree that the manifest names, or the package's
    default. limits: of the importer that will read the archive, None to skip them. on_progress: called from time to
    time with the bytes of the file read so far. bundles: checks each git bundle. The report contains whatever is wrong
    with the content. Raises ArtifactMissing if the file does not exist, StoreRefused if it cannot be opened, OSError if
    it cannot be read to its end, and TreeError if there is no such tree.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        kind = ArtifactMissing if isinstance(error, FileNotFoundError) else StoreRefused
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        raise kind(f"{path}: {name}, {error.strerror}. Give the path of a readable archive.") from error
    with file:
        check = _Check(path.name, manifest, tree, limits, bundles)
        if limits:
            check.stored(path)
        return check.run(file, on_progress)


def verify_file(
    file: BinaryIO,
    name: str,
    manifest: Manifest | None = None,
    *,
    tree: Tree | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify an open archive, wherever it is stored; see `verify`. name: what the report calls it."""
    return _Check(name, manifest, tree, limits).run(file, on_progress)


class _Check:
    """One verification of an archive."""

    def __init__(
        self,
        name: str,
        manifest: Manifest | None,
        tree: Tree | None,
        limits: Limits | None,
        bundles: BundleCheck = bundle_problems,
    ) -> None:
        tree = tree or load_all(manifest.tree if manifest else DEFAULT)
        self.findings = Findings()
        self._name = name
        self._limits = limits
        self._counts: dict[str, int] = {}
        self._others: dict[str, FileCount] = {}
        self._format = tree.format
        self._root = tree.root.name
        longest = limits.line if limits else LONGEST_LINE
        self._contents = Contents(tree, self.findings, longest, strict=limits is not None)
        self._expected = Expected(manifest, self.findings)
        self._extras = extras(tree.format)(tree, self._contents, self.findings, bundles)
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._relation_file = re.compile(rf"tree/{re.escape(self._root)}/([^/]+)\.ndjson")

    def stored(self, path: Path) -> None:
        """Check the archive's file itself, which is in the local file system."""
        self._extras.stored(path)

    def run(self, file: BinaryIO, on_progress: Callable[[int], None] | None) -> Report:
        stream = Gunzip(file, on_progress)
        try:
            for entry in entries(stream):
                self._entry(entry)
            stream.finish()
        except ArchiveBroken as error:
            self.findings.add("damaged", self._name, str(error))
        else:
            self._missing()
            self._expected.end(self._name, self._files, stream.bytes, stream.sha256.hexdigest())
        self._sizes(stream)
        version = _numbers(self._extras.version)
        return Report(
            records=self._counts,
            files=self._others,
            bytes=stream.bytes,
            unpacked=stream.unpacked,
            version=self._extras.version,
            problems=self.findings.problems(version),
            warnings=self.findings.warnings(version),
            remarks=self.findings.remarks(version),
        )

    def _entry(self, entry: Entry) -> None:
        name = plain(entry.name)
        if wrong := wrong_name(entry.name):
            self.findings.add("name", repr(entry.name), f"a name {wrong}")
        elif entry.kind == "other":
            self.findings.add("kind", name, "neither a file nor a directory; importers delete links")
        elif entry.kind == "directory":
            self._directories.add(name)
        elif name in self._files:
            self.findings.add("name", name, "occurs twice; tar keeps the last one")
        else:
            if entry.mode & SPECIAL_BITS:
                self.findings.add("mode", name, f"its mode is {entry.mode:04o}")
            self._files.add(name)
            self._file(name, entry)

    def _file(self, name: str, entry: Entry) -> None:
        if name == root_file(self._root):
            self._records(self._root, name, entry, root=True)
        elif relation := self._relation_file.fullmatch(name):
            self._records(relation[1], name, entry, root=False)
        else:
            expected = self._expected.content(name, entry.chunks)
            known = self._extras.file(name, expected or entry.chunks)
            if expected:
                expected.end(entry.size)
            if name not in self._format.files:
                top = name.partition("/")[0]
                before = self._others.get(top, FileCount())
                self._others[top] = FileCount(before.number + 1, before.bytes + entry.size)
            if not expected and not known:
                self.findings.add("unknown", name, f"archives of the format {self._format.name} do not have this file")

    def _missing(self) -> None:
        root = root_file(self._root)
        if root not in self._files:
            self.findings.add("missing", root, "missing")
        self._extras.end(self._files)
        for name in sorted(self._files & self._directories):
            self.findings.add("name", name, "occurs as a file and as a directory")

    def _sizes(self, stream: Gunzip) -> None:
        application = self._format.application or "the importer"
        if self._limits:
            for what, size, limit in [
                ("bytes", stream.bytes, self._limits.stored),
                ("bytes once unpacked", stream.unpacked, self._limits.unpacked),
            ]:
                if size > limit:
                    self.findings.add(
                        "limit",
                        self._name,
                        f"{size} {what}; {application} accepts at most {limit}",
                    )

    def _records(self, relation: str, name: str, entry: Entry, *, root: bool) -> None:
        expected = self._expected.file(name, entry.chunks)
        chunks = self._extras.records(name, iter(expected or entry.chunks))
        if root:
            records = int(self._contents.document(name, chunks, relation) is not None)
        else:
            records = self._contents.lines(relation, name, chunks)
        self._counts[relation] = self._counts.get(relation, 0) + records
        if expected:
            expected.end(records, entry.size)


def _numbers(version: str | None) -> Version | None:
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return (int(found[1]), int(found[2])) if found else None
