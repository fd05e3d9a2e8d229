"""Which index serves each join of a bound tree, by pg_index: a join without one reads a whole table per batch.

An index serves a join if all of the join's columns, or at least one, are among its leading columns that are compared
with equality. Invalid indexes and expressions do not count. A partial index counts only if the comparison implies its
condition (column IS NOT NULL); other partial indexes are reported, but not relied upon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg import sql

from project_export.source.session import Session
from project_export.tree import Beside, BoundTree, Condition, Form, Lookup, Relation
from project_export.tree.forms import Source

_INDEXES = sql.SQL("""
    SELECT c.relname::text, i.relname::text, coalesce(pg_get_expr(x.indpred, x.indrelid), ''),
        ARRAY(
            SELECT coalesce(a.attname::text, '')
            FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
            LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
            WHERE k.place <= x.indnkeyatts
            ORDER BY k.place
        )
    FROM pg_index x
    JOIN pg_class c ON c.oid = x.indrelid
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_am m ON m.oid = i.relam
    WHERE c.relname = ANY({tables}) AND pg_table_is_visible(c.oid) AND x.indisvalid AND m.amname IN ('btree', 'hash')
    ORDER BY c.relname, x.indnkeyatts, i.relname
""")


@dataclass(frozen=True)
class Index:
    """An index: its leading key columns ('' for an expression) and the condition of a partial one."""

    name: str
    columns: tuple[str, ...]
    condition: str


@dataclass(frozen=True)
class Join:
    """One way of finding table rows: where in the tree, by which columns, and the index that serves it.

    index: None if there is none. missing: columns of the join that are not among the index's leading ones. partial:
    partial indexes on the columns, with their conditions; only the planner knows whether it uses them.
    """

    path: str
    table: str
    columns: tuple[str, ...]
    index: str | None
    missing: tuple[str, ...]
    partial: tuple[str, ...]

    def __str__(self) -> str:
        what = f"{self.table} ({', '.join(self.columns)})"
        if self.index is None:
            maybe = f"; only partial ones: {', '.join(self.partial)}" if self.partial else ""
            return f"{what}: NO INDEX{maybe}"
        return f"{what}: {self.index}" + (f", but without {', '.join(self.missing)}" if self.missing else "")


class Indexes:
    """The indexes of these tables, as the session's search path finds them."""

    def __init__(self, session: Session, tables: Iterable[str]) -> None:
        self._found: dict[str, list[Index]] = {}
        query = _INDEXES.format(tables=sql.Placeholder("tables"))
        for page in session.pages(query, {"tables": sorted(tables)}, lambda: 1000):
            for table, name, condition, columns in page:
                self._found.setdefault(table, []).append(Index(name, tuple(columns), condition))

    def join(self, path: str, table: str, columns: tuple[str, ...], fixed: frozenset[str]) -> Join:
        """Return a join by these columns with its index. fixed: columns that are also compared with one value."""
        best: tuple[str | None, tuple[str, ...]] = (None, columns)
        partial = []
        for index in self._found.get(table, ()):
            missing = tuple(column for column in columns if column not in _leading(index, {*columns, *fixed}))
            if len(missing) == len(columns):
                continue
            if index.condition and not _follows(index.condition, columns):
                partial.append(f"{index.name} WHERE {index.condition}")
            elif best[0] is None or len(missing) < len(best[1]):
                best = (index.name, missing)
        return Join(path, table, columns, *best, tuple(partial))

    def serve(self, table: str, columns: tuple[str, ...], where: Iterable[Condition]) -> bool:
        """Return whether an index serves all of these columns where rows are found by them. where: what else holds."""
        found = self.join(table, table, columns, _fixed(where))
        return found.index is not None and not found.missing


def joins(session: Session, bound: BoundTree) -> list[Join]:
    """Return every join and lookup of the tree with its index, in the tree's order."""
    indexes = Indexes(session, bound.catalogue)
    return [indexes.join(*way) for way in _ways(bound)]


def _ways(bound: BoundTree) -> Iterator[tuple[str, str, tuple[str, ...], frozenset[str]]]:
    """Yield path, table, joined columns, and the columns that are also compared with one value."""
    root = bound.tree.root
    yield root.name, root.table, root.key, frozenset()
    title = bound.tree.title
    if title is not None:
        yield f"{root.name}.title", title.row.table, tuple(its for its, _ in title.row.match), _fixed(title.row.where)
    for path, relation in (*bound.tree.walk(), *((top.name, top) for top in bound.tree.files)):
        if not relation.table:
            continue
        fixed = _fixed(relation.where)
        if relation is not root:
            yield path, relation.table, tuple(own for own, _ in relation.join), fixed
        for name, row in _rows(relation):
            if row.match:
                yield f"{path}.{name}", row.table, tuple(its for its, _ in row.match), _fixed(row.where)


def _fixed(where: Iterable[Condition]) -> frozenset[str]:
    """Return the columns that are compared with one value."""
    return frozenset(c.column for c in where if c.test == "in" and len(c.values) == 1 and not c.ref.row)


def _rows(relation: Relation) -> Iterator[tuple[str, Beside]]:
    """Yield the rows of other tables that are looked up for each row, with the name of what reads them."""
    yield from ((row.name, row) for row in relation.beside)
    forms = [(name, value) for name, value in relation.derived if isinstance(value, Form)]
    forms += [(key.name, form) for key in relation.keys for form in key.forms]
    for name, form in forms:
        yield from ((name, row) for source in form.sources for row in _of_source(source))


def _of_source(source: Source) -> Iterator[Beside]:
    if isinstance(source, Lookup):
        yield source.row
        if source.value is not None:
            yield from _of_source(source.value)


def _leading(index: Index, compared: set[str]) -> tuple[str, ...]:
    """Return the columns at the head of an index that are compared with equality."""
    end = next((place for place, column in enumerate(index.columns) if column not in compared), len(index.columns))
    return index.columns[:end]


def _follows(condition: str, columns: tuple[str, ...]) -> bool:
    """Return whether an index's condition only says that one of the joined columns is not NULL."""
    match = re.fullmatch(r'\("?(\w+)"? IS NOT NULL\)', condition)
    return match is not None and match[1] in columns
