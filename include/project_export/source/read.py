"""Records of a project as lines of JSON, read in batches of bounded size. Memory: one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from project_export.errors import ProjectNotFound, SourceRefused
from project_export.external import Locations
from project_export.formats import Escapes
from project_export.source.changes import Window
from project_export.source.documents import Documents, ReadBranches, Row, split
from project_export.source.encodings import known
from project_export.source.node import Node
from project_export.source.session import Session
from project_export.source.slices import Slices
from project_export.source.sql import Statements
from project_export.source.unreadable import STATES, Keys, Search
from project_export.source.values import SPACES
from project_export.tree import BoundTree, Relation
from project_export.tree.refs import root_refs

_FIRST_BATCH = 100
_CHUNK_BYTES = 256 << 10
_BUDGET_BATCHES = 2  # times the size that a batch aims at; a batch that becomes larger is read in smaller ones


@dataclass(frozen=True)
class Chunk:
    """A run of bytes of a relation's file.

    records: how many records end in it; 0 while a large one goes on. packed: whether it is compressed already.
    """

    data: bytes
    records: int
    packed: bool = False


class Reader:
    """Reads one project through one session.

    batch_rows: top-level records in a batch at most. batch_bytes: the size at which a batch aims.
    parameters: values of the request's parameters, by name; None: the source's values stay.
    locations: where values outside the database are; those in other places are left out and counted.
    branches: returns those of a repository. window: only what changed in it is read, of the relations that it limits.
    Raises ProjectNotFound if the root's table has no row with this id.
    """

    def __init__(
        self,
        session: Session,
        bound: BoundTree,
        project_id: int,
        *,
        batch_rows: int = 1000,
        batch_bytes: int = 4 << 20,
        parameters: Mapping[str, Any] | None = None,
        locations: Locations | None = None,
        branches: ReadBranches = lambda _: None,
        window: Window | None = None,
    ) -> None:
        self._session = session
        self._bound = bound
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._documents = Documents(
            session, _BUDGET_BATCHES * batch_bytes, parameters or {}, locations or Locations(), branches
        )
        self._slices = Slices(session, self._documents)
        self._writer = _Writer(bound.tree.format.escapes)
        self._batch: tuple[Node, Keys] | None = None
        root = bound.tree.root
        zoned = session.zone != "UTC"
        of_others = dict.fromkeys(ref for relation in bound.tree.tops for ref in root_refs(relation))
        spaces = known(SPACES, session.encoding)
        first = Statements(bound.catalogue, root, zoned=zoned, locations=locations, spaces=spaces)
        select = first.by_key(_linked(root, bound.tree.tops[1:]), list(of_others))
        self._root = Node(root, first, select)
        self._root_key = (str(project_id).encode(),)
        what = f"{self._root.described}, {root.key[0]} {project_id}"
        rows = list(session.rows(select.query, select.bind([self._root_key]), what))
        if not rows:
            raise ProjectNotFound(f"project {project_id} is not in {root.table} of the source; nothing was exported")
        self._root_values = dict(zip(select.links, rows[0][select.join_width :], strict=False))
        self._statements = Statements(
            bound.catalogue,
            root,
            self._root_values,
            zoned=zoned,
            locations=locations,
            spaces=spaces,
            window=window,
        )

    @property
    def root_values(self) -> Mapping[str, bytes | None]:
        """The project's values to which its relations refer or on which they join, as PostgreSQL's texts."""
        return self._root_values

    @property
    def oddities(self) -> Counter[str]:
        """Remarks on values that were read, and how often each applies; no data are missing."""
        return self._documents.oddities

    @property
    def omissions(self) -> Counter[str]:
        """What the source has or names and the records lack, and how often."""
        return self._documents.omissions

    def count(self, name: str) -> int:
        """Return the number of top-level records of a relation."""
        relation = self._bound.relation(name)
        if relation is self._bound.tree.root or not relation.table:
            return 1
        parent = self._parent(relation)
        if parent is None:
            return 0
        query, params = self._statements.count(relation, self._root_values)
        rows = int(self._session.one(query, params)[0])
        return min(rows, 1) if relation.one else rows

    def read(self, name: str, part: int = 0, parts: int = 1) -> Iterator[Chunk]:
        """Yield a relation's records in order: the run numbered `part`, from 0, of `parts` equal runs.

        A relation of many has one line per record; a relation of one is an object or `null`, without a newline.
        Raises SourceRefused, also for a text that cannot be converted, with the key of its row.
        """
        self._batch = None
        self._session.mark()
        try:
            yield from self._read(name, part, parts)
        except SourceRefused as error:
            if error.sqlstate not in STATES or self._batch is None:
                raise
            self._session.back()
            search = Search(self._session, self._statements, self._bound.catalogue)
            raise search.named(error, *self._batch) from error

    def _read(self, name: str, part: int, parts: int) -> Iterator[Chunk]:
        relation = self._bound.relation(name)
        if not relation.table:
            if relation.constant is not None:
                yield Chunk(relation.constant.encode(), 0)
            return
        if relation is self._bound.tree.root:
            yield from self._one(self._root, self._root_key)
            return
        parent = self._parent(relation)
        if relation.one:
            if parent is None:
                yield Chunk(b"null", 0)
            else:
                yield from self._one(Node(relation, self._statements, self._statements.children(relation)), parent)
        elif parent is not None:
            yield from self._many(relation, *self._run(name, part, parts))

    def _run(self, name: str, part: int, parts: int) -> tuple[int, int | None]:
        """Return offset and limit of a part; the last part has no limit."""
        if parts == 1:
            return 0, None
        total = self.count(name)
        start, end = total * part // parts, total * (part + 1) // parts
        return start, None if part == parts - 1 else end - start

    def _one(self, node: Node, key: tuple[bytes, ...]) -> Iterator[Chunk]:
        """Yield the record of a relation of one."""
        self._batch = node, [key]
        read = self._documents.of_keys(node, [key])
        if read is None:
            yield from self._writer.pieces(self._slices.record(node, key))
        else:
            _, documents = read
            yield from self._writer.pieces(_cut(documents[0])) if documents else [Chunk(b"null", 0)]

    def _many(self, relation: Relation, offset: int, limit: int | None) -> Iterator[Chunk]:
        """Yield the records of a relation of many, from an offset on."""
        node = Node(relation, self._statements, self._statements.by_key(relation))
        query, params = self._statements.page_keys(relation, self._root_values, offset=offset, limit=limit)
        pace = _Pace(self._batch_rows, self._batch_bytes)
        for keys in self._session.pages(query, params, pace.records, node.described, binary=True):
            yield from self._lines(node, keys, pace)

    def _lines(self, node: Node, keys: Sequence[tuple[bytes, ...]], pace: _Pace) -> Iterator[Chunk]:
        """Yield the records of these keys, in order; a few at a time if they do not fit into memory."""
        self._batch = node, keys
        read = self._documents.of_keys(node, keys)
        if read is not None:
            documents = self._ordered(node, keys, *read)
            pace.learn(len(documents), sum(map(len, documents)))
            yield from self._writer.chunks(documents)
        elif len(keys) > 1:
            for fewer in split(keys):
                yield from self._lines(node, fewer, pace)
        else:
            yield from self._writer.pieces(self._slices.record(node, keys[0]), end=b"\n")
            pace.learn(1, self._batch_bytes)

    def _ordered(
        self, node: Node, keys: Sequence[tuple[bytes, ...]], rows: Sequence[Row], documents: Sequence[bytes]
    ) -> list[bytes]:
        """Return the documents in the order of the keys."""
        found = dict(zip(node.joins(rows), documents, strict=True))
        if not len(keys) == len(rows) == len(found):
            raise node.refused(len(keys), len(rows))
        return [found[value] for value in node.joins(keys)]

    def _parent(self, relation: Relation) -> tuple[bytes, ...] | None:
        """Return the root's values on which a relation joins; None if one is NULL: then it has no records."""
        values = tuple(self._root_values[parent] for _, parent in relation.join)
        return None if None in values else values


class _Pace:
    """The number of records in the next batch: as many as should fit, by the size of the last ones."""

    def __init__(self, most: int, aim_bytes: int) -> None:
        self._most = most
        self._aim = aim_bytes
        self._records = min(_FIRST_BATCH, most)

    def records(self) -> int:
        return self._records

    def learn(self, records: int, size: int) -> None:
        fitting = records * self._aim // max(size, 1)
        self._records = max(1, min(fitting, self._most, 4 * self._records))


def _linked(root: Relation, relations: Sequence[Relation]) -> Relation:
    """Return the root with the top-level relations as children, so that their join values are read with it."""
    return Relation(**{**vars(root), "children": (*root.children, *relations)})


class _Writer:
    """Makes chunks of records and escapes them, a few at a time: large blocks of memory are slow to allocate."""

    def __init__(self, escapes: Escapes) -> None:
        self._escapes = escapes

    def chunks(self, documents: Iterable[bytes]) -> Iterator[Chunk]:
        """Yield records, one per line."""
        lines: list[bytes] = []
        size = 0
        escape = self._escapes.escape
        for document in documents:
            if lines and size + len(document) > _CHUNK_BYTES:
                yield Chunk(b"\n".join([*lines, b""]), len(lines))
                lines.clear()
                size = 0
            if len(document) > _CHUNK_BYTES:
                yield from self.pieces(_cut(document), end=b"\n")
            else:
                lines.append(escape(document))
                size += len(document)
        if lines:
            yield Chunk(b"\n".join([*lines, b""]), len(lines))

    def pieces(self, pieces: Iterable[bytes], end: bytes = b"") -> Iterator[Chunk]:
        """Yield one record from its pieces, a few hundred kilobytes at a time. end: what follows it."""
        gathered: list[bytes] = []
        size = 0
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= _CHUNK_BYTES:
                data = b"".join(gathered)
                whole = self._escapes.whole(data)
                yield Chunk(self._escapes.escape(data[:whole]), 0)
                gathered = [data[whole:]]
                size -= whole
        yield Chunk(self._escapes.escape(b"".join(gathered)) + end, 1)


def _cut(document: bytes) -> Iterator[bytes]:
    for at in range(0, len(document), _CHUNK_BYTES):
        yield document[at : at + _CHUNK_BYTES]
