"""Records of a project as lines of JSON, read in batches of bounded size. Memory: one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from functools import partial
from typing import Any

from project_export.errors import ProjectNotFound, SourceRefused
from project_export.external import Locations
from project_export.source.changes import Window
from project_export.source.documents import Documents
from project_export.source.encodings import known
from project_export.source.indexes import Indexes
from project_export.source.key_windows import KeyWindows
from project_export.source.lines import Chunk, Writer, cut
from project_export.source.node import Node
from project_export.source.own import ReadBranches
from project_export.source.session import Session
from project_export.source.slices import Slices
from project_export.source.sorted_keys import SortedKeys
from project_export.source.sql import Statements
from project_export.source.temporary import Temporary
from project_export.source.unreadable import STATES, Search
from project_export.source.values import SPACES
from project_export.tree import BoundTree, Relation
from project_export.tree.refs import root_refs

_BUDGET_BATCHES = 2  # times the size that a batch aims at; a batch that becomes larger is read in smaller ones


class Reader:
    """Reads one project through one session, whose transaction must last as long.

    batch_rows: top-level records in a batch at most. batch_bytes: the size at which a batch aims.
    parameters: values of the request's parameters, by name; None: the source's values stay.
    locations: where values outside the database are; those in other places are left out and counted.
    window: only what changed in it is read, of the relations that it limits.
    branches: returns those of a repository. temporary: where records wait that are read before their turn.
    Raises ProjectNotFound if the root's table has no row with this id.
    """

    def __init__(
        self,
        session: Session,
        bound: BoundTree,
        project_id: int,
        *,
        batch_rows: int = 1000,
        batch_bytes: int = 2 << 20,
        parameters: Mapping[str, Any] | None = None,
        locations: Locations | None = None,
        branches: ReadBranches = lambda _: None,
        window: Window | None = None,
        temporary: Temporary | None = None,
    ) -> None:
        self._session = session
        self._bound = bound
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._ahead = True
        self._temporary = temporary or Temporary()
        self._new_documents = partial(
            Documents, session, _BUDGET_BATCHES * batch_bytes, parameters or {}, locations or Locations(), branches
        )
        self._begin()
        self._writer = Writer(bound.tree.format.escapes)
        root = bound.tree.root
        zoned = session.zone != "UTC"
        of_others = dict.fromkeys(ref for relation in bound.tree.tops for ref in root_refs(relation))
        spaces = known(SPACES, session.encoding)
        indexes = None if session.pooled else Indexes(session, bound.catalogue)  # a pooler would keep what is prepared
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
            indexes=indexes,
        )
        self._nodes: dict[str, Node] = {}
        self._keys = SortedKeys(session)

    def again(self, *, ahead: bool = True) -> Reader:
        """Return a reader of the same project with counts of its own, without reading the project again.

        ahead: whether records may be read before the last ones are taken, which keeps the session busy meanwhile.
        """
        reader = copy(self)
        reader._ahead = ahead
        reader._begin()
        return reader

    def _begin(self) -> None:
        self._documents = self._new_documents()
        self._slices = Slices(self._session, self._documents, self._temporary)

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
        Raises SourceRefused, also for a text that cannot be converted, with the key of its row, and TemporaryRefused.
        """
        batches = self._documents.batches
        batches.keys = None
        self._session.mark()
        try:
            yield from self._read(name, part, parts)
        except SourceRefused as error:
            batches.close()
            if error.sqlstate not in STATES or batches.keys is None:
                raise
            self._session.back()
            search = Search(self._session, self._statements, self._bound.catalogue)
            raise search.named(error, *batches.keys) from error
        finally:
            batches.close()

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
                yield from self._one(self._node(relation), parent)
        elif parent is not None:
            yield from self._many(relation, part, parts)

    def _one(self, node: Node, key: tuple[bytes, ...]) -> Iterator[Chunk]:
        """Yield the record of a relation of one."""
        read = self._documents.of_keys(node, [key])
        if read is None:
            yield from self._writer.pieces(self._slices.record(node, key))
        else:
            _, documents = read
            yield from self._writer.pieces(cut(documents[0])) if documents else [Chunk(b"null", 0)]

    def _many(self, relation: Relation, part: int, parts: int) -> Iterator[Chunk]:
        """Yield the records of a part of a relation of many; the last part has no limit."""
        node = self._node(relation)
        total = self.count(relation.name) if parts > 1 else 0
        offset, end = (total * number // parts for number in (part, part + 1))
        limit = None if part == parts - 1 else end - offset
        with (
            self._keys.run(
                relation.name,
                partial(self._statements.page_keys, relation, self._root_values),
                offset,
                None if limit is None else end,
                node.described,
            ) as cursor,
            closing(
                KeyWindows(
                    node,
                    cursor,
                    self._documents,
                    self._slices,
                    self._writer,
                    self._temporary,
                    limit=limit,
                    batch_rows=self._batch_rows,
                    batch_bytes=self._batch_bytes,
                    most_bytes=_BUDGET_BATCHES * self._batch_bytes,
                    ahead=self._ahead,
                )
            ) as windows,
        ):
            yield from windows.chunks()

    def _node(self, relation: Relation) -> Node:
        """Return a top-level relation with its statements, which are made once for all parts."""
        node = self._nodes.get(relation.name)
        if node is None:
            select = self._statements.children(relation) if relation.one else self._statements.by_key(relation)
            node = self._nodes[relation.name] = Node(relation, self._statements, select)
        return node

    def _parent(self, relation: Relation) -> tuple[bytes, ...] | None:
        """Return the root's values on which a relation joins; None if one is NULL: then it has no records."""
        values = tuple(self._root_values[parent] for _, parent in relation.join)
        return None if None in values else values


def _linked(root: Relation, relations: Sequence[Relation]) -> Relation:
    """Return the root with the top-level relations as children, so that their join values are read with it."""
    return Relation(**{**vars(root), "children": (*root.children, *relations)})
