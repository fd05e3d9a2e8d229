"""The interface between a worker and a producer."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from project_export.external import Locations
from project_export.repositories import Git
from project_export.settings import GIT_SECONDS, MissingFiles
from project_export.source import Chunk, Reader, Session, Tables, Temporary, Window
from project_export.source.own import ReadBranches
from project_export.tree import BoundTree


@dataclass(frozen=True)
class Needs:
    """What a kind of relation needs of the worker that exports it.

    session: a session on the source. snapshot: a session that sees the same state of the source as all other relations
    of the job; a relation that is split needs that in any case. line_limit: a report of records that are too long for
    the importer.
    """

    session: bool = False
    snapshot: bool = False
    line_limit: bool = False


@dataclass(frozen=True)
class Estimate:
    """The size of a relation: its records, and its bytes before compression, as far as they are known.

    bytes: None if nothing is known. divisible: whether a part can be less than a record.
    """

    records: int
    bytes: int | None = None
    divisible: bool = False


@dataclass(frozen=True)
class Project:
    """The project that is exported, as one session sees it.

    parameters: the parameters of the request that the tree declares. locations: of content outside the database.
    branches: returns those of the repository of a relation.
    missing_files: what a missing file does; see the setting. git: how git is called. mtime: of files in the archive, in
    seconds since 1970. batch_rows, batch_bytes, window, temporary: see `Reader`.
    """

    session: Session
    bound: BoundTree
    tables: Tables
    project_id: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    locations: Locations = field(default_factory=Locations)
    branches: ReadBranches = lambda _: None
    missing_files: MissingFiles = "fail"
    git: Git = field(default_factory=lambda: Git(timeout_seconds=GIT_SECONDS))
    mtime: int = 0
    batch_rows: int = 1000
    batch_bytes: int = 2 << 20
    window: Window | None = None
    temporary: Temporary = field(default_factory=Temporary)

    @cached_property
    def reader(self) -> Reader:
        """What reads its records; a producer reads with `again`. Raises ProjectNotFound, SourceRefused, SourceBusy."""
        return Reader(
            self.session,
            self.bound,
            self.project_id,
            batch_rows=self.batch_rows,
            batch_bytes=self.batch_bytes,
            temporary=self.temporary,
            parameters=self.parameters,
            locations=self.locations,
            branches=self.branches,
            window=self.window,
        )


class Producer(Protocol):
    """Makes one part of a relation, once.

    Remarks and omissions are complete after the last chunk.
    """

    def chunks(self) -> Generator[Chunk, None, None]:
        """Yield the part's bytes in order, with the number of records that end in each chunk.

        If the generator is closed early, what it has started ends with it.
        """

    def cancel(self) -> None:
        """Stop at once what works outside this process; `chunks` then raises. Safe to call from a signal handler."""

    @property
    def remarks(self) -> Sequence[str]:
        """Remarks on the part: what is odd although nothing is missing."""

    @property
    def omissions(self) -> Sequence[str]:
        """What the source has, or may have, and the part lacks."""

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """The files of the part as `RunFile.kept` returns them, in order; none for records."""


class Kind(Protocol):
    """A kind of relation: its needs, estimates and producers."""

    @property
    def needs(self) -> Needs:
        """What a worker must provide."""

    def estimates(self, project: Project, relations: Sequence[str]) -> Mapping[str, Estimate]:
        """Return the estimated size of each of these relations, which must be of this kind.

        If a relation cannot be estimated, logs it and assumes that it is small: its export will report what is wrong.
        Raises SourceBusy if the session is lost.
        """

    def producer(self, project: Project, relation: str, part: int, parts: int) -> Producer:
        """Return the producer of one part of a relation. Raises SourceFiltered if the source may hide rows from it."""
