"""Table rows → documents (the JSON texts of records): one flat statement per relation, spliced in the client.

One statement per batch of parents reads all rows of a nested relation under them. Each row is a finished JSON text,
which goes into its parent's text by the value that joins them. A record that several parents share, like an author, is
read once per batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeVar

from project_export.external import Locations
from project_export.source.batches import Asked, Batch, Batches, Making, Row
from project_export.source.node import Child, Node, Value
from project_export.source.own import Own, ReadBranches
from project_export.source.session import Session

_RUNS = 8
_OPENED = itemgetter(slice(-1))
"""Returns a document without its last brace."""

_T = TypeVar("_T")

Made = tuple[list[Value], list[bytes]]
"""The values of keys, and the documents of their rows."""


class Documents:
    """Makes the documents of table rows, as long as they fit into memory with all that nests in them.

    budget: the bytes that they may take. parameters: values of the request's parameters, by name.
    locations: where values outside the database are; those in other places are left out and counted.
    branches: returns those of a repository. own: makes what a row's document has of the row itself.
    """

    def __init__(
        self, session: Session, budget: int, parameters: Mapping[str, Any], locations: Locations, branches: ReadBranches
    ) -> None:
        self.batches = Batches(session)
        self.own = Own(self.batches, parameters, locations, branches)
        self._budget = budget

    @property
    def oddities(self) -> Counter[str]:
        """Remarks on values that were read, and how often each applies; no data are missing."""
        return self.batches.total.oddities

    @property
    def omissions(self) -> Counter[str]:
        """What the source has or names and the records lack, and how often."""
        return self.batches.total.omissions

    def batch(self) -> Batch[Any]:
        """Return a new batch."""
        return Batch(self._budget)

    def of_keys(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> Made | None:
        """Return the documents of these keys; None if they do not fit."""
        batch = self.batch()
        self.batches.start(batch, self.made(batch, node, keys))
        return self.batches.finish(batch)

    def made(self, batch: Batch[Any], node: Node, keys: Sequence[tuple[bytes, ...]]) -> Making[Made]:
        """Make the documents of these keys.

        Nested relations that join the keys do not wait for the rows.
        """
        batch.keys = node, keys
        early = {child: child.values_of_keys(keys) for child in node.children if child.joins_key}
        found = yield [self._rows(node, keys), *(self._found(*one) for one in early.items())]
        rows = found.pop(0)
        return node.joins(rows), (yield from self._documents(node, rows, dict(zip(early, taken(found), strict=True))))

    def of_rows(self, node: Node, rows: Sequence[Row]) -> list[bytes] | None:
        """Return the documents of rows that have been read; None if what nests in them does not fit."""
        batch = self.batch()
        self.batches.start(batch, self._documents(node, list(rows)))
        return self.batches.finish(batch)

    def _documents(
        self, node: Node, rows: list[Row], early: dict[Child, Mapping[Value, bytes]] | None = None
    ) -> Making[list[bytes]]:
        """Make the documents of rows, with their nested relations.

        early: what some of these add, if it is known. It is emptied, like `rows`: a batch is kept once, not at each
        level of its records.
        """
        yield from self.own.look_up(node, rows)
        documents = self.own.documents(node, rows)
        if not node.children:
            rows.clear()
            return documents
        # The pieces are made relation by relation for all rows, then joined row by row: little Python runs per value.
        values = dict(zip(node.children, [child.values(rows) for child in node.children], strict=True))
        after = self.own.after(node, rows)
        rows.clear()
        added = early or {}
        late = [child for child in node.children if child not in added]
        if late:
            found = yield [self._found(child, values[child]) for child in late]
            added |= zip(late, taken(found), strict=True)
        nested = [taken(child.each(added.pop(child), own)) for child, own in values.items()]
        opened = map(_OPENED, taken(documents))
        joined = [b"".join(row) for row in zip(opened, *nested, after, strict=True)]
        return [document.replace(b"{,", b"{", 1) for document in taken(joined)] if node.bare else joined

    def _rows(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> Making[list[Row]]:
        """Make the rows of these keys."""
        rows: list[Row] = yield _asked(node, keys)
        return rows

    def _found(self, child: Child, values: Sequence[Value]) -> Making[dict[Value, bytes]]:
        """Make what a nested relation adds to documents, by the values that join it; nothing where it has no rows."""
        found: defaultdict[Value, list[bytes]] = defaultdict(list)
        missing = [value for value in dict.fromkeys(values) if value is not None]
        for node in child.nodes:
            if missing:
                nested = yield _asked(node, node.keys(missing))
                joins = node.joins(nested)
                for value, document in zip(joins, taken((yield from self._documents(node, nested))), strict=True):
                    found[value].append(document)
                missing = [value for value in missing if value not in found]
        added = {}
        while found:
            value, documents = found.popitem()
            added[value] = child.added(documents)
        if child.varies:
            added |= {value: child.added([], value) for value in missing}
        return added


def taken(items: list[_T]) -> Iterator[_T]:
    """Return an iterator over the items of a list, which keeps none that was yielded."""
    items.reverse()
    return map(list.pop, repeat(items, len(items)))


def split(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield items in up to eight runs: the one record that makes a batch too large is soon found."""
    step = -(-len(items) // _RUNS)
    for start in range(0, len(items), step):
        yield items[start : start + step]


def _asked(node: Node, keys: Sequence[tuple[bytes, ...]]) -> Asked:
    return Asked(node.select.query, node.select.bind(keys), node.described, prepared=node.select.prepared)
