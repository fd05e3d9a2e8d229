"""Check a whole archive, as a stream: the memory it takes is that of its longest line."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from project_export.archive.layout import FORMAT_VERSION, GITLAB_REVISION, GITLAB_VERSION, LFS_OBJECTS, VERSION
from project_export.archive.manifest import Manifest, ManifestRelation
from project_export.archive.reading import Entry, Gunzip, entries
from project_export.archive.strict import lines, parse
from project_export.errors import ArchiveBroken, ArtifactMissing, StoreRefused

PROBLEMS_PER_FILE = 20
LONGEST_VERSION = 256

ROOT_FILE = re.compile(r"tree/([^/]+)\.json")
# Control characters, and what the reader makes of invalid UTF-8.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
RELATION_FILE = re.compile(r"tree/([^/]+)/([^/]+)\.ndjson")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with an archive.

    code: damaged (the file cannot be read further), name, kind, missing, version, json, manifest. where: the file in
    the archive, with a line number if there is one, else the archive.
    """

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]"


@dataclass(frozen=True)
class Report:
    """What an archive holds.

    records: by relation, the root among them; a file with `null` has none. bytes: of the archive file, as far as read.
    """

    records: dict[str, int]
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Path, manifest: Manifest | None = None, on_progress: Callable[[int], None] | None = None) -> Report:
    """Check the archive at `path`, against its manifest if there is one.

    on_progress: called now and then with the bytes of the file read so far. Raises StoreRefused when the file cannot be
    opened, and OSError when it cannot be read to its end; what is wrong with its content is in the report.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        kind = ArtifactMissing if isinstance(error, FileNotFoundError) else StoreRefused
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        raise kind(f"{path}: {name}, {error.strerror}. Give the path of an archive that can be read.") from error
    with file:
        return verify_file(file, path.name, manifest, on_progress)


def verify_file(
    file: BinaryIO, name: str, manifest: Manifest | None = None, on_progress: Callable[[int], None] | None = None
) -> Report:
    """As verify, for an archive that does not lie in the local file system; `name` stands for it in the report."""
    check = _Check(name, manifest)
    stream = Gunzip(file, on_progress)
    try:
        for entry in entries(stream):
            check.entry(entry)
        stream.finish()
    except ArchiveBroken as error:
        check.problem("damaged", name, str(error))
    else:
        check.end(stream.bytes, stream.sha256.hexdigest())
    return Report(check.records, stream.bytes, tuple(check.problems))


class _Check:
    """What is known of an archive while it is read."""

    def __init__(self, name: str, manifest: Manifest | None) -> None:
        self.records: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._manifest = manifest
        self._expected = (
            {relation.file: relation for relation in manifest.relations if relation.file} if manifest else {}
        )
        self._seen: set[str] = set()
        self._files: set[str] = set()
        self._roots: list[str] = []

    def problem(self, code: str, where: str, message: str) -> None:
        self.problems.append(Problem(code, where, message))

    def entry(self, entry: Entry) -> None:
        name = entry.name.removeprefix("./").removesuffix("/")
        if entry.kind == "directory" and name in ("", "."):
            return
        if wrong := _wrong_name(name):
            self.problem("name", repr(entry.name), f"a name {wrong}")
        elif name in self._seen:
            self.problem("name", name, "it is there twice")
        elif entry.kind == "other":
            self.problem("kind", name, "neither a file nor a directory")
        elif entry.kind == "file":
            self._files.add(name)
            self._file(name, entry)
        self._seen.add(name)

    def end(self, size: int, sha256: str) -> None:
        """Look for what is missing, once all has been read."""
        for name in (VERSION, GITLAB_VERSION, GITLAB_REVISION, LFS_OBJECTS):
            if name not in self._files:
                self.problem("missing", name, "it is not there")
        if len(self._roots) != 1:
            self.problem("missing", "tree", f"it has {len(self._roots)} files *.json instead of the one of the root")
        for name in sorted(self._files):
            relation = RELATION_FILE.fullmatch(name)
            if relation and relation[1] not in self._roots:
                self.problem("name", name, "it belongs to no root file")
        if self._manifest:
            for file in sorted(self._expected.keys() - self._files):
                self.problem("manifest", file, "it is not there")
            facts = self._manifest.archive
            if (size, sha256) != (facts.bytes, facts.sha256):
                self.problem(
                    "manifest",
                    self._name,
                    f"{size} bytes with SHA-256 {sha256} instead of {facts.bytes} bytes with {facts.sha256}",
                )

    def _file(self, name: str, entry: Entry) -> None:
        if name == VERSION:
            self._version(name, entry, FORMAT_VERSION)
        elif name in (GITLAB_VERSION, GITLAB_REVISION):
            self._version(name, entry, None)
        elif name == LFS_OBJECTS:
            self._json(name, entry.chunks, single=True)
        elif root := ROOT_FILE.fullmatch(name):
            self._roots.append(root[1])
            self._relation(root[1], name, entry, single=True)
        elif relation := RELATION_FILE.fullmatch(name):
            self._relation(relation[2], name, entry, single=False)

    def _version(self, name: str, entry: Entry, expected: str | None) -> None:
        content = next(entry.chunks, b"")[:LONGEST_VERSION]
        if expected and content != expected.encode():
            self.problem("version", name, f"it says {content!r} instead of {expected!r}")
        elif not re.fullmatch(rb"[\w.+-]+", content):
            self.problem("version", name, f"{content!r} is no version")

    def _relation(self, relation: str, name: str, entry: Entry, *, single: bool) -> None:
        expected = self._expected.get(name)
        if not self._manifest:
            self.records[relation] = self._json(name, entry.chunks, single=single)
        elif not expected:
            self.problem("manifest", name, "the manifest does not know it")
        else:
            hashes = _Hashes(expected)
            self.records[relation] = records = self._json(name, hashes.passing(entry.chunks), single=single)
            if (records, entry.size) != (expected.rows, expected.bytes):
                self.problem(
                    "manifest",
                    name,
                    f"{records} records in {entry.size} bytes instead of {expected.rows} in {expected.bytes}",
                )
            for part in hashes.wrong():
                self.problem("manifest", name, f"part {part} has another SHA-256 than was written")

    def _json(self, name: str, chunks: Iterator[bytes], *, single: bool) -> int:
        """Check a file of JSON, and count its records. single: it is one object."""
        records = number = wrong = 0
        for number, line in enumerate(lines(chunks), 1):
            message = None
            try:
                value = parse(line)
            except ArchiveBroken as error:
                message = str(error)
            else:
                message = _wrong_record(value, line, first=number == 1, single=single)
                records += value is not None
            if message:
                wrong += 1
                if wrong <= PROBLEMS_PER_FILE:
                    self.problem("json", f"{name}:{number}", message)
        if single and not number:
            self.problem("json", name, "it is empty instead of one object")
        if wrong > PROBLEMS_PER_FILE:
            self.problem("json", name, f"{wrong - PROBLEMS_PER_FILE} more wrong lines")
        return records


class _Hashes:
    """SHA-256 of each part of a file, taken as its content goes by; the parts' lengths tell which bytes are whose."""

    def __init__(self, relation: ManifestRelation) -> None:
        self._parts = [(part, hashlib.sha256()) for part in relation.parts]
        self._ends = list(accumulate(part.raw_bytes for part in relation.parts))
        self._current = 0
        self._position = 0

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        for chunk in chunks:
            view = memoryview(chunk)
            while view and self._current < len(self._parts):
                taken = view[: self._ends[self._current] - self._position]
                self._parts[self._current][1].update(taken)
                self._position += len(taken)
                self._current += self._position == self._ends[self._current]
                view = view[len(taken) :]
            yield chunk

    def wrong(self) -> list[int]:
        """Numbers of the parts that are not as the manifest has them."""
        return [part.part for part, hashed in self._parts if hashed.hexdigest() != part.sha256]


def _wrong_name(name: str) -> str | None:
    if name.startswith("/"):
        return "that is absolute"
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        return "that climbs or is not plain"
    if UNPRINTABLE.search(name):
        return "with control characters or invalid UTF-8"
    return None


def _wrong_record(value: Any, line: bytes, *, first: bool, single: bool) -> str | None:
    """What is wrong with a valid JSON line. A newline ends each record, but not the one of a one-to-one relation."""
    ended = line.endswith(b"\n")
    if not isinstance(value, dict) and (value is not None or ended or single or not first):
        return f"{line[:20]!r} is not an object"
    if single and (ended or not first):
        return "more than one object, or a newline behind it"
    if not ended and not first:
        return "the last line has no newline"
    return None
