"""Records of a project as lines of JSON, read in batches: one flat statement per relation, spliced in the client.

For a batch of parents each nested relation is asked once for all its rows under them; each row comes as finished JSON
text and is put into its parent's text by the value that joins them. Nothing is parsed but records that need a
transform. A record that several parents share (an author) is read once per batch. Memory: one batch.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from project_export.errors import ProjectNotFound, SourceRefused
from project_export.source.node import Child, Node, Value
from project_export.source.session import Session
from project_export.source.sql import Statements
from project_export.source.values import BLANK, ELSEWHERE, LOST, SPACES
from project_export.tree import BoundTree, Relation, exact
from project_export.tree.transforms import TRANSFORMS

_FIRST_BATCH_ROWS = 100
_CHUNK_ROWS = 32
_ROOM = 3  # times the size that a batch aims at: if it becomes larger, it is read in halves
_SEPARATORS = re.compile(rb"\xe2\x80[\xa8\xa9]")  # U+2028 and U+2029

ReadExternal = Callable[[str, int, int], bytes | None]
"""Reads so many bytes of a file beside the database from an offset on; None where there is no such file."""


@dataclass(frozen=True)
class Chunk:
    """A run of records as they stand in the file, and how many they are."""

    data: bytes
    rows: int


class Reader:
    """Reads one project through one session.

    batch_rows, batch_bytes: a batch has at most so many top-level records and aims at so many bytes.
    parameters: the request's parameters that a tree may put in the place of a value.
    external: reads values that lie outside of the database; without it they are left out and counted.
    Raises ProjectNotFound when the root has no row with this id.
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
        external: ReadExternal | None = None,
    ) -> None:
        self.oddities: Counter[str] = Counter()
        self._session = session
        self._bound = bound
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._room = math.inf
        self._parameters = {k: v for k, v in (parameters or {}).items() if v is not None}
        self._external = external
        root = bound.tree.root
        zoned = session.zone != "UTC"
        self._statements = Statements(bound.catalogue, root, zoned=zoned, external=external is not None)
        self._root = Node(root, self._statements, self._statements.by_key(_linked(root, bound.tree.relations)))
        rows = self._rows(self._root, [(str(project_id).encode(),)])
        if not rows:
            raise ProjectNotFound(f"project {project_id} is not in {root.table} of the source; nothing was exported")
        self._root_row = rows[0]
        self._root_values = dict(zip(self._root.select.links, rows[0][1:], strict=False))

    def count(self, name: str) -> int:
        """Return the number of records that a relation has at its top level."""
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
        """Yield a relation's records in order; of `parts` equal runs of them the one numbered `part`, from 0.

        A many-relation gives one line per record; a one-to-one relation its object or `null`, without a newline.
        """
        relation = self._bound.relation(name)
        if not relation.table:
            if relation.constant is not None:
                yield Chunk(relation.constant.encode(), 0)
            return
        if relation is self._bound.tree.root:
            yield Chunk(_escaped(self._documents(self._root, [self._root_row])[0]), 1)
            return
        parent = self._parent(relation)
        if relation.one:
            node = Node(relation, self._statements, self._statements.children(relation))
            rows = [] if parent is None else self._rows(node, [parent])
            documents = self._documents(node, rows)
            yield Chunk(_escaped(documents[0]) if documents else b"null", len(documents[:1]))
            return
        if parent is None:
            return
        for documents in self._batches(relation, *self._run(name, part, parts)):
            # Escaped one by one, and given out a few at a time: large blocks of memory are slow to come by.
            for start in range(0, len(documents), _CHUNK_ROWS):
                lines = [_escaped(document) for document in documents[start : start + _CHUNK_ROWS]]
                yield Chunk(b"\n".join([*lines, b""]), len(lines))

    def _run(self, name: str, part: int, parts: int) -> tuple[int, int | None]:
        """Return offset and limit of a part; the last one is open-ended."""
        if parts == 1:
            return 0, None
        total = self.count(name)
        begin, end = total * part // parts, total * (part + 1) // parts
        return begin, None if part == parts - 1 else end - begin

    def _batches(self, relation: Relation, offset: int, limit: int | None) -> Iterator[list[bytes]]:
        node = Node(relation, self._statements, self._statements.by_key(relation))
        query, params = self._statements.page_keys(relation, self._root_values, offset=offset, limit=limit)
        pace = _Pace(self._batch_rows, self._batch_bytes)
        for page in self._session.pages(query, params, pace.rows, node.described):
            keys = [tuple(value.encode() for value in key) for key in page]
            for documents in self._fitting(node, keys):
                pace.learn(len(documents), sum(map(len, documents)))
                yield documents

    def _fitting(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> Iterator[list[bytes]]:
        """Yield the documents of these keys, in order: at once, or half by half where they do not fit into memory."""
        documents = self._batch(node, keys)
        if documents is not None:
            yield documents
        else:
            half = len(keys) // 2
            yield from self._fitting(node, keys[:half])
            yield from self._fitting(node, keys[half:])

    def _batch(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> list[bytes] | None:
        """Return the documents of these keys, None where they are several and too large."""
        self._room = math.inf if len(keys) == 1 else _ROOM * self._batch_bytes
        counted = self.oddities.copy()
        try:
            rows = self._rows(node, keys)
            found = dict(zip(node.joins(rows), self._documents(node, rows), strict=True))
        except _TooLarge:
            self.oddities = counted
            return None
        finally:
            self._room = math.inf
        if not len(keys) == len(rows) == len(found):
            message = f"{node.path}: {len(keys)} keys ({', '.join(node.relation.key)}) lead to {len(rows)} rows"
            raise SourceRefused(
                f"{message} of {node.relation.table}. Give the relation a key that identifies its rows."
            )
        return [found[value] for value in node.joins(keys)]

    def _parent(self, relation: Relation) -> tuple[bytes, ...] | None:
        """Return the root's values by which a relation joins, None where one is NULL: then there are no rows."""
        values = tuple(self._root_values[parent] for _, parent in relation.join)
        return None if None in values else values

    def _rows(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> list[tuple[Any, ...]]:
        """Return all rows of a relation under these keys; raise _TooLarge when there is no room for them.

        They are read to the end all the same: breaking off would cost the transaction.
        """
        rows = []
        for row in self._session.rows(node.select.query, node.select.bind(keys), node.described):
            self._room -= len(row[-1])
            if self._room >= 0:
                rows.append(row)
            else:
                rows.clear()
        if self._room < 0:
            raise _TooLarge
        return rows

    def _documents(self, node: Node, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """Return the document of each row: transformed, and with its nested relations put in."""
        documents = [row[-1] for row in rows]
        if node.select.flagged:
            documents = [row[-1] if not row[-2] else self._looked_at(node, row) for row in rows]
        if node.parameters:
            documents = [self._replaced(node, document) for document in documents]
        if not node.children:
            return documents
        # Pieces of all rows are made relation by relation and then joined row by row: little Python runs per value.
        nested = [self._nested(child, rows) for child in node.children]
        opened = (document[:-1] for document in documents)
        documents = [b"".join(row) for row in zip(opened, *nested, repeat(b"}"))]
        if not node.relation.keys:
            return [document.replace(b"{,", b"{", 1) for document in documents]
        return [self._moved(node, document) for document in documents] if node.last else documents

    def _nested(self, child: Child, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """Return what a nested relation adds to the document of each of these rows."""
        values = child.values(rows)
        found: defaultdict[Value, list[bytes]] = defaultdict(list)
        missing = [value for value in dict.fromkeys(values) if value is not None]
        for node in child.nodes:
            if missing:
                nested = self._rows(node, node.keys(missing))
                for value, document in zip(node.joins(nested), self._documents(node, nested), strict=True):
                    found[value].append(document)
                missing = [value for value in missing if value not in found]
        added = {value: child.added(documents) for value, documents in found.items()}
        nothing = child.added([])
        return [added.get(value, nothing) for value in values]

    def _looked_at(self, node: Node, row: tuple[Any, ...]) -> bytes:
        """Do what a row's flags ask for: count codes without a name, transform values."""
        flags = row[-2]
        for bit, note in node.select.noted:
            if flags & bit:
                self.oddities[f"{node.path}.{note}"] += 1
        due = [(key, transform, default) for bit, key, transform, default in node.select.transforms if flags & bit]
        if not due:
            return bytes(row[-1])
        record = exact.read(row[-1].decode())
        changed = ""
        try:
            for changed, transform, default in due:
                value = record[changed]
                if transform == ELSEWHERE:
                    value = self._fetched(f"{node.path}.{changed}", **value)
                elif transform == BLANK:
                    value = None if isinstance(value, str) and not value.strip(SPACES) else value
                elif value is not None and transform in TRANSFORMS:
                    value = TRANSFORMS[transform](value)
                record[changed] = exact.read(default) if value is None and default is not None else value
            try:
                return exact.write(record)
            except (ValueError, TypeError):
                for changed, _, _ in due:  # to name the one that cannot be written
                    exact.write(record[changed])
                raise
        except (ValueError, TypeError, RecursionError) as error:
            where = f"{node.path}.{changed} of the row with {node.row_described(row)}"
            raise SourceRefused(f"{where}: {error}. Repair the row, or take the key out of the tree.") from error

    def _fetched(self, path: str, file: str | None, offset: int, size: int | None) -> str | None:
        """Return a value that lies outside of the database; of what is not there, what is, and count it.

        So does GitLab (merge_request_diff_file.rb#utf8_diff): it logs the error, and the text is empty.
        """
        assert self._external is not None
        named = file is not None and size is not None and offset >= 0 <= size
        data = self._external(str(file), offset, int(size or 0)) if named else None
        if data is None:
            self.oddities[f"{path}: {LOST}: there is no such file"] += 1
            return None
        if len(data) != size:
            self.oddities[f"{path}: a value that is stored outside of the database is cut short there"] += 1
        self._room -= len(data)
        if self._room < 0:
            raise _TooLarge
        return data.decode("utf-8", "replace")

    def _replaced(self, node: Node, document: bytes) -> bytes:
        record = exact.read(document.decode())
        for key, parameter in node.parameters:
            if parameter in self._parameters:
                record[key] = self._parameters[parameter]
        return exact.write(record)

    def _moved(self, node: Node, document: bytes) -> bytes:
        """Put the keys that stand after the nested relations there."""
        record = exact.read(document.decode())
        record.update({key: record.pop(key) for key in node.last})
        return exact.write(record)


class _TooLarge(Exception):
    """The rows of a batch do not fit; never leaves the reader."""


class _Pace:
    """How many records the next batch has: as many as fit the aim, by the size of the last ones."""

    def __init__(self, most_rows: int, aim_bytes: int) -> None:
        self._most = most_rows
        self._aim = aim_bytes
        self._rows = min(_FIRST_BATCH_ROWS, most_rows)

    def rows(self) -> int:
        return self._rows

    def learn(self, rows: int, size: int) -> None:
        fitting = rows * self._aim // max(size, 1)
        self._rows = max(1, min(fitting, self._most, 4 * self._rows))


def _linked(root: Relation, relations: Sequence[Relation]) -> Relation:
    """Return the root with the top-level relations as children, so that their join values are read with it."""
    return Relation(**{**vars(root), "children": (*root.children, *relations)})


def _escaped(data: bytes) -> bytes:
    """Escape as Rails does what HTML and JavaScript would misread; outside of strings JSON has none of these."""
    data = data.replace(b"<", rb"\u003c").replace(b">", rb"\u003e").replace(b"&", rb"\u0026")
    return _SEPARATORS.sub(lambda found: rb"\u2028" if found[0].endswith(b"\xa8") else rb"\u2029", data)
