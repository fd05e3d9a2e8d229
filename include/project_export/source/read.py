"""Records of a project as lines of JSON, read in batches: one flat statement per relation, spliced in the client.

For a batch of parents each nested relation is asked once for all its rows under them; each row comes as finished JSON
text and is put into its parent's text by the value that joins them. Nothing is parsed but records that need a
transform. A record that several parents share (an author) is read once per batch. Memory: one batch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from project_export.errors import ProjectNotFound, SourceRefused
from project_export.source.session import Session
from project_export.source.sql import Select, Statements
from project_export.tree import BoundTree, Relation
from project_export.tree.transforms import TRANSFORMS

Value = bytes | tuple[bytes, ...] | None
_FIRST_BATCH_ROWS = 100
_ESCAPES = (
    (b"<", rb"\u003c"),
    (b">", rb"\u003e"),
    (b"&", rb"\u0026"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)
_COMPACT: Mapping[str, Callable[[Any], Any]] = {"compact": lambda value: value}


@dataclass(frozen=True)
class Chunk:
    """A run of records as they stand in the file, and how many they are."""

    data: bytes
    rows: int


class Reader:
    """Reads one project through one session.

    batch_rows, batch_bytes: a batch has at most so many top-level records and aims at so many bytes.
    parameters: the request's parameters that a tree may put in the place of a value.
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
    ) -> None:
        self.oddities: Counter[str] = Counter()
        self._session = session
        self._bound = bound
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._parameters = {k: v for k, v in (parameters or {}).items() if v is not None}
        root = bound.tree.root
        self._statements = Statements(bound.catalogue, root, zoned=session.zone != "UTC")
        self._root = _Node(root, self._statements, self._statements.by_key(_linked(root, bound.tree.relations)))
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
            yield Chunk(_escaped(self._shaped(self._root, [self._root_row])[0][1]), 1)
            return
        parent = self._parent(relation)
        if relation.one:
            node = _Node(relation, self._statements, self._statements.children(relation))
            rows = [] if parent is None else self._rows(node, [parent])
            documents = [document for _, document in self._shaped(node, rows)]
            yield Chunk(_escaped(documents[0]) if documents else b"null", len(documents[:1]))
            return
        if parent is None:
            return
        for documents in self._batches(relation, *self._run(name, part, parts)):
            yield Chunk(_escaped(b"\n".join(documents) + b"\n"), len(documents))

    def _run(self, name: str, part: int, parts: int) -> tuple[int, int | None]:
        """Return offset and limit of a part; the last one is open-ended."""
        if parts == 1:
            return 0, None
        total = self.count(name)
        begin, end = total * part // parts, total * (part + 1) // parts
        return begin, None if part == parts - 1 else end - begin

    def _batches(self, relation: Relation, offset: int, limit: int | None) -> Iterator[list[bytes]]:
        node = _Node(relation, self._statements, self._statements.by_key(relation))
        query, params = self._statements.page_keys(relation, self._root_values, offset=offset, limit=limit)
        pace = _Pace(self._batch_rows, self._batch_bytes)
        for page in self._session.pages(query, params, pace.rows):
            keys = [tuple(value.encode() for value in key) for key in page]
            rows = self._rows(node, keys)
            found = dict(self._shaped(node, rows))
            if not len(keys) == len(rows) == len(found):
                message = f"{relation.name}: {len(keys)} keys ({', '.join(relation.key)}) lead to {len(rows)} rows"
                raise SourceRefused(f"{message} of {relation.table}. Give the relation a key that identifies its rows.")
            documents = [found[node.single(key)] for key in keys]
            pace.learn(len(documents), sum(map(len, documents)))
            yield documents

    def _parent(self, relation: Relation) -> tuple[bytes, ...] | None:
        """Return the root's values by which a relation joins, None where one is NULL: then there are no rows."""
        values = tuple(self._root_values[parent] for _, parent in relation.join)
        return None if None in values else values

    def _rows(self, node: _Node, keys: Sequence[tuple[bytes, ...]]) -> list[tuple[Any, ...]]:
        return self._session.copy(node.select.query, node.select.bind(keys), node.select.types)

    def _shaped(self, node: _Node, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Value, bytes]]:
        """Return (join value, document) of each row: transformed, and with its nested relations put in."""
        if node.select.flagged:
            rows = [row if not row[-2] else (*row[:-1], self._looked_at(node, row)) for row in rows]
        if node.parameters:
            rows = [(*row[:-1], self._replaced(node, row[-1])) for row in rows]
        if not node.children:
            return [(node.join(row), row[-1]) for row in rows]
        nested = [(child, self._nested(child, rows)) for child in node.children]
        return [(node.join(row), _spliced(row, nested)) for row in rows]

    def _nested(self, child: _Child, rows: Sequence[tuple[Any, ...]]) -> dict[Value, list[bytes]]:
        """Return the documents of a nested relation under these parents, by the value that joins them."""
        values = dict.fromkeys(child.value(row) for row in rows)
        keys = [value if isinstance(value, tuple) else (value,) for value in values if value is not None]
        found: dict[Value, list[bytes]] = {}
        for node in child.nodes:
            if keys:
                for value, document in self._shaped(node, self._rows(node, keys)):
                    found.setdefault(value, []).append(document)
            keys = [key for key in keys if node.single(key) not in found]
        return found

    def _looked_at(self, node: _Node, row: tuple[Any, ...]) -> bytes:
        """Do what a row's flags ask for: count codes without a name, transform values."""
        flags = row[-2]
        for bit, note in node.select.noted:
            if flags & bit:
                self.oddities[f"{node.path}.{note}"] += 1
        due = [(key, transform, default) for bit, key, transform, default in node.select.transforms if flags & bit]
        if not due:
            return bytes(row[-1])
        record = json.loads(row[-1])
        key = ""
        try:
            for key, transform, default in due:
                value = (TRANSFORMS.get(transform) or _COMPACT[transform])(record[key])
                record[key] = json.loads(default) if value is None and default is not None else value
                _dumped(record[key])
            return _dumped(record)
        except (ValueError, TypeError, RecursionError) as error:
            where = f"{node.path}.{key} of the row with {node.described(row)}"
            raise SourceRefused(f"{where}: {error}. Repair the row, or take the key out of the tree.") from error

    def _replaced(self, node: _Node, document: bytes) -> bytes:
        record = json.loads(document)
        for key, parameter in node.parameters:
            if parameter in self._parameters:
                record[key] = self._parameters[parameter]
        return _dumped(record)


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


class _Node:
    """A relation ready to be read: its statement, and how to take its rows apart."""

    def __init__(self, relation: Relation, statements: Statements, select: Select, path: str | None = None) -> None:
        self.relation = relation
        self.path = path or relation.name
        self.select = select
        self.parameters = [(key.name, key.parameter) for key in relation.keys if key.parameter]
        self.children = [_Child(child, self, statements) for child in relation.children]

    def join(self, row: tuple[Any, ...]) -> Value:
        """Return the value that joins this row to its parent, or the row's own key."""
        return self.single(row[: self.select.join_width])

    def single(self, values: tuple[bytes, ...]) -> Value:
        """Return a key as it is looked up: bare when it has one column."""
        return values[0] if self.select.join_width == 1 else values

    def described(self, row: tuple[Any, ...]) -> str:
        """Name a row for a message by what is known of it."""
        values = dict(zip((*self.select.join, *self.select.links), row, strict=False))
        return ", ".join(f"{name} {value.decode()}" for name, value in values.items() if value is not None)


class _Child:
    """A nested relation under its parent's rows. nodes: itself, then its successors."""

    def __init__(self, relation: Relation, parent: _Node, statements: Statements) -> None:
        self.nodes: list[_Node] = []
        source: Relation | None = relation
        while source is not None:
            select = statements.children(source)
            self.nodes.append(_Node(source, statements, select, f"{parent.path}.{relation.name}"))
            source = source.successor
        self.one = relation.one
        name = json.dumps(relation.name).encode()
        self.opening = b"," + name + (b":" if relation.one else b":[")
        first = parent.select.join_width
        self._at = [first + parent.select.links.index(link) for _, link in relation.join]

    def value(self, row: tuple[Any, ...]) -> Value:
        """Return the value by which a parent's row is joined, None when it has none."""
        if len(self._at) == 1:
            return row[self._at[0]]  # type: ignore[no-any-return]
        values = tuple(row[i] for i in self._at)
        return None if None in values else values


def _spliced(row: tuple[Any, ...], nested: Sequence[tuple[_Child, dict[Value, list[bytes]]]]) -> bytes:
    document = row[-1]
    pieces = [document[:-1]]
    for child, found in nested:
        documents = found.get(child.value(row))
        if child.one:
            if documents:
                pieces += (child.opening, documents[0])
        elif documents:
            pieces += (child.opening, b",".join(documents), b"]")
        else:
            pieces += (child.opening, b"]")
    pieces.append(b"}")
    joined = b"".join(pieces)
    return joined if document != b"{}" else joined.replace(b"{,", b"{", 1)


def _linked(root: Relation, relations: Sequence[Relation]) -> Relation:
    """Return the root with the top-level relations as children, so that their join values are read with it."""
    return Relation(**{**vars(root), "children": (*root.children, *relations)})


def _dumped(record: Any) -> bytes:
    """Return JSON text; raise ValueError for what neither JSON (NaN, infinity) nor UTF-8 (half a surrogate) has."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _escaped(data: bytes) -> bytes:
    """Escape as Rails does what HTML and JavaScript would misread; outside of strings JSON has none of these."""
    for raw, escaped in _ESCAPES:
        data = data.replace(raw, escaped)
    return data
