"""How often each key of each relation has a value in one project's export: what the export was not seen to do."""

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
    """One key: its relation's dotted path, in how many of how many records it is not null, and why it may never be."""

    path: str
    key: str
    values: int
    records: int
    why: str | None

    @property
    def unseen(self) -> bool:
        """Whether the key has never had a value and nothing says that it cannot have one."""
        return self.values == 0 and self.why is None


def coverage(reader: Reader, bound: BoundTree) -> list[Seen]:
    """Read a whole project and count, in the tree's order. Memory: one batch, or one record."""
    records: Counter[str] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    tops = (bound.tree.root, *bound.tree.relations)
    for relation in tops:
        begun: list[bytes] = []
        for chunk in reader.read(relation.name):
            begun.append(chunk.data)
            if not chunk.rows:
                continue  # a record's end is still to come
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
    """Say why a key may be null in every record, None when it has to be seen."""
    if key.constant is not None:
        return key.why or f"always {key.constant}"
    if key.why is not None:
        return key.why
    if any(c.column == key.column and c.values == (None,) and c.test == "in" for c in relation.where):
        return f"only rows whose {key.column} is NULL leave"
    return None
