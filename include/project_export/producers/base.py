"""What a worker asks of a producer, and what a producer is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from project_export.source import Chunk, Session, Tables
from project_export.source.documents import ReadExternal
from project_export.tree import BoundTree


@dataclass(frozen=True)
class Needs:
    """What a kind of relation needs of the worker that exports it.

    session: a session on the source. snapshot: that all relations of the job see the same state of the source; implies
    a session. line_limit: that records which are too long for the importer are reported.
    """

    session: bool = False
    snapshot: bool = False
    line_limit: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a relation will take: its records, and bytes before compression, 0 where nothing says how many."""

    records: int
    bytes: int = 0


@dataclass(frozen=True)
class Project:
    """The project that is exported, as one session sees it.

    parameters: those of the request that the tree may use. external: reads values outside of the database.
    batch_rows, batch_bytes: see `Reader`.
    """

    session: Session
    bound: BoundTree
    tables: Tables
    project_id: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    external: ReadExternal | None = None
    batch_rows: int = 1000
    batch_bytes: int = 4 << 20


class Producer(Protocol):
    """One part of a relation, made once.

    Remarks and omissions are complete when all chunks were taken.
    """

    def chunks(self) -> Iterator[Chunk]:
        """Yield the part's bytes in order, with the number of records that end in each chunk."""

    @property
    def remarks(self) -> Sequence[str]:
        """What is odd, although nothing is missing."""

    @property
    def omissions(self) -> Sequence[str]:
        """What the source has, or may have, and the part lacks."""


class Kind(Protocol):
    """A kind of relation: what it needs, what it will take, and how it is made."""

    @property
    def needs(self) -> Needs:
        """What a worker has to provide."""

    def estimates(self, project: Project, relations: Sequence[str]) -> Mapping[str, Estimate]:
        """Return what each of these relations of the kind will take.

        What cannot be estimated is taken to be small and logged: the relation's own export says what is wrong with it.
        Raises SourceBusy when the session is lost.
        """

    def producer(self, project: Project, relation: str, part: int, parts: int) -> Producer:
        """Return the producer of one part of a relation. Raises SourceFiltered when its rows may be hidden."""
