"""How often each key of each relation has a value in one project's export."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from project_export.source.read import Reader
from project_export.tree import BoundTree, Key, Relation


@dataclass(frozen=True)
class Seen:
    """One key of the relation at a dotted path.

    values: the records in which it is not null. records: all records. why: why it may be null in all of them.
    """

    path: str
    key: str
    values: int
    records: int
    why: str | None

    @property
    def unseen(self) -> bool:
        """Whether no record has a value although nothing says why."""
        return self.values == 0 and self.why is None


def coverage(reader: Reader, bound: BoundTree) -> list[Seen]:
    """Read a whole project and count the values of its keys, in the tree's order. Memory: one batch, or one record."""
    records: Counter[str] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    tops = (bound.tree.root, *bound.tree.relations)
    for relation in tops:
        begun: list[bytes] = []
        for chunk in reader.read(relation.name):
            begun.append(chunk.data)
            if not chunk.records:
                continue  # the record goes on in the next chunk
            for line in b"".join(begun).splitlines():
                _count(relation, relation.name, json.loads(line), records, values)
            begun.clear()
    return [
        Seen(path, key.name, values[path, key.name], records[path], _why(key, relation))
        for path, relation in bound.tree.walk()
        for key in relation.keys
    ]


def _count(
    relation: Relation,
    path: str,
    record: Mapping[str, Any],
    records: Counter[str],
    values: Counter[tuple[str, str]],
) -> None:
    records[path] += 1
    values.update((path, key.name) for key in relation.keys if record[key.name] is not None)
    for child in relation.children:
        for nested in _listed(record.get(child.name)):
            _count(child, f"{path}.{child.name}", nested, records, values)


def _listed(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def _why(key: Key, relation: Relation) -> str | None:
    """Return why a key may be null in every record; None if it needs a value somewhere."""
    if key.constant is not None:
        return key.why or f"always {key.constant}"
    if key.why is not None:
        return key.why
    if any(c.column == key.column and c.values == (None,) and c.test == "in" for c in relation.where):
        return f"only rows whose {key.column} is NULL are exported"
    return None
