"""Relations of kind `bundle`: Git repositories, each as a bundle of all its refs.

A relation of one is a file whose part is the bundle, streamed: its size is known only at the end, so the ledger makes
the tar header. A relation of many is a run of tar members; each bundle goes to a temporary file first, for its size.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

from project_export.archive.files import RunFile
from project_export.errors import FilesMissing, ProjectExportError, RepositoryRefused, StoreRefused
from project_export.producers.base import Estimate, Needs, Project
from project_export.producers.entries import Entries, Entry, estimate
from project_export.producers.measure import first_repository, repository_bytes
from project_export.producers.packed import chunks as packed_chunks
from project_export.producers.run import BLOCK, FileProducer, end, header, refused_name
from project_export.repositories import Repository, mirrored
from project_export.source import Chunk
from project_export.store.uris import place

log = logging.getLogger(__name__)

_IN_MEMORY = 8 << 20
_MOST_MOVED = 5

_MISSING = "the source has no such repository"
_UNADVERTISED = "refs that a server does not advertise, such as refs/keep-around, are not in the bundle"
_EMPTY = "the repository has no refs, so there is no bundle"
_ABSENT = "there is no repository"


class Bundles:
    """The kind `bundle`; see `Kind`."""

    needs = Needs(session=True)

    def estimates(self, project: Project, relations: Sequence[str]) -> Mapping[str, Estimate]:
        """Return the number of repositories, and the size of those on disk.

        Repositories of a relation of many are not measured: there may be thousands, each of them small.
        """
        return {name: self._estimate(project, name) for name in relations}

    def producer(self, project: Project, relation: str, part: int, parts: int) -> BundlesProducer:
        """See `Kind.producer`."""
        project.tables.require([relation])
        return BundlesProducer(project, relation, part, parts)

    @staticmethod
    def _estimate(project: Project, name: str) -> Estimate:
        relation = project.bound.relation(name)
        content = relation.content
        assert content is not None, "the tree gives every relation of this kind a content"

        def measure(entry: Entry) -> int | None:
            return repository_bytes(project, content.location, entry) if relation.one else entry.bytes

        return estimate(project, name, measure)


class BundlesProducer(FileProducer):
    """One part of a relation of bundles; see `Producer`."""

    def __init__(self, project: Project, relation: str, part: int, parts: int) -> None:
        super().__init__(project, relation, part)
        self._one = project.bound.relation(relation).one
        self._entries = Entries(project, relation).read(part, parts)

    def read(self) -> Iterator[Chunk]:
        """See `Producer.chunks`. Raises RepositoryRefused, GitFailed, FilesMissing."""
        taken: set[bytes] = set()
        for entry in self._entries:
            if entry.name is None:
                continue
            if why := refused_name(entry.name, taken):
                self.lacks(entry.name, why)
                continue
            with self._found(entry) as repository:
                if repository is not None:
                    yield from (
                        self._alone(entry.name, repository) if self._one else self._member(entry.name, repository)
                    )

    @contextmanager
    def _found(self, entry: Entry) -> Iterator[Repository | None]:
        """Open an entry's repository; without one, yield None and note why."""
        assert entry.name is not None
        uri = self.project.locations.uri(self.content.location, entry.part_of)
        if uri is None:
            if entry.present:
                self.lacks(entry.name, self.unplaced)
            yield None
            return
        with self._at(uri, entry) as repository:
            if repository is None and entry.present:
                self._miss(entry, uri)
            elif repository is None:
                self.oddities[_ABSENT] += 1
            yield repository

    def _at(self, uri: str, entry: Entry) -> AbstractContextManager[Repository | None]:
        root = place(uri)
        if isinstance(root, Path):
            return nullcontext(first_repository(root, entry.paths, self.project.git))
        if not entry.present:  # a server does not say whether there is none, or whether it may not be read
            return nullcontext()
        if entry.url is None:
            raise RepositoryRefused(f"{entry.name} cannot be fetched from {root}: its path there is unknown.")
        self.omitted[_UNADVERTISED] += 1
        url, password = self.project.locations.login(f"{root}/{quote(entry.url)}")
        folder = Path(tempfile.gettempdir())
        return mirrored(url, self.project.git, folder, password, size=entry.bytes)

    def _miss(self, entry: Entry, uri: str) -> None:
        assert entry.name is not None
        where = f"{uri}: {', '.join(entry.paths)}"
        if self.project.missing_files == "fail":
            raise FilesMissing(
                f"{entry.name}: {_MISSING} ({where}). Restore it, or set PROJECT_EXPORT_MISSING_FILES=report to leave "
                "it out, and list it in the manifest."
            )
        self.lacks(entry.name, _MISSING, where)

    def _alone(self, name: str, repository: Repository) -> Iterator[Chunk]:
        """Yield a bundle that is a part by itself."""
        hashed, size = hashlib.sha256(), 0
        with closing(self._bundle(repository)) as blocks:
            for chunk in packed_chunks(blocks):
                hashed.update(chunk.data)
                size += len(chunk.data)
                yield chunk
        if size:
            self.written.append(RunFile(name, size, hashed.hexdigest(), size=size))
            yield Chunk(b"", 1)

    def _member(self, name: str, repository: Repository) -> Iterator[Chunk]:
        """Yield a bundle with its tar header and padding."""
        with closing(self._bundle(repository)) as blocks, _spooled(blocks) as (spool, size, digest):
            if not size:
                return
            self.written.append(RunFile(name, size, digest, size=size))
            yield header(name, size, self.project.mtime)
            yield from packed_chunks(iter(lambda: spool.read(BLOCK), b""))
            yield end(size)

    def _bundle(self, repository: Repository) -> Generator[bytes, None, None]:
        """Yield a repository's bundle; nothing if it has no refs."""
        found = False
        with repository.bundle() as bundle:
            for block in bundle:
                found = True
                yield block
        if not found:
            self.oddities[_EMPTY] += 1
        moved = sorted(bundle.moved)
        if moved:
            shown = ", ".join(moved[:_MOST_MOVED]) + (
                f" and {more} more" if (more := len(moved) - _MOST_MOVED) > 0 else ""
            )
            self.oddities[f"refs moved while the bundle was written; it has them from its start: {shown}"] += 1


@contextmanager
def _spooled(blocks: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int, str]]:
    """Keep blocks in memory, or in a temporary file if they are many; yield it with its size and SHA-256."""
    hashed = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        try:
            for block in blocks:
                hashed.update(block)
                spool.write(block)
        except ProjectExportError:
            raise
        except OSError as error:
            raise StoreRefused(
                f"{tempfile.gettempdir()}: {error.strerror or error}. A bundle is kept there until its size is known. "
                "Free space there, or set TMPDIR to another folder, then retry."
            ) from error
        size = spool.tell()
        spool.seek(0)
        yield cast(BinaryIO, spool), size, hashed.hexdigest()
