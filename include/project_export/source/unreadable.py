"""Finds the table row whose text made a batch fail, by halving the batch, in the same snapshot.

A SQL_ASCII database accepts any bytes, and other encodings have characters that UTF-8 lacks. PostgreSQL reports which
bytes it cannot convert, not where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from project_export.errors import SourceRefused
from project_export.source.node import Child, Node, Value
from project_export.source.session import Session
from project_export.source.sql import Statements
from project_export.tree import Catalogue, Relation

Keys = Sequence[tuple[bytes, ...]]

STATES = ("22021", "22P05")
"""SQLSTATEs of bytes that are not characters, and of characters without an equivalent."""
_PRIMARY_KEY = """
    SELECT ARRAY(
        SELECT a.attname::text
        FROM pg_index x
        JOIN unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) ON true
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
        WHERE x.indrelid = to_regclass(quote_ident(%s)) AND x.indisprimary AND k.place <= x.indnkeyatts
        ORDER BY k.place
    )
"""
_RUN = 100
_REPAIR = "Repair the row, or remove the key from the tree."


class Search:
    """Looks for the first unreadable table row. The session's transaction must be usable again."""

    def __init__(self, session: Session, statements: Statements, catalogue: Catalogue) -> None:
        self._session = session
        self._statements = statements
        self._catalogue = catalogue

    def named(self, error: SourceRefused, node: Node, keys: Keys) -> SourceRefused:
        """Return an error that names the row; the same error if it is not found. keys: of the batch.

        Raises SourceBusy.
        """
        found = self._find(node, keys)
        return error if found is None else SourceRefused(f"{error}: {found}. {_REPAIR}", error.sqlstate)

    def _find(self, node: Node, keys: Keys) -> str | None:
        narrowed = self._narrowed(node, keys)
        if narrowed is not None:
            return self._row(node, narrowed)
        for start in range(0, len(keys), _RUN) if node.children else ():
            rows = [row[:-1] for row in self._rows(node, keys[start : start + _RUN])]
            for child in node.children:
                found = self._below(child, rows)
                if found is not None:
                    return found
        return None

    def _below(self, child: Child, rows: Sequence[tuple[bytes, ...]]) -> str | None:
        """Search a nested relation as a batch reads it: a successor only for parents without a row before it."""
        missing: list[Value] = [value for value in dict.fromkeys(child.values(rows)) if value is not None]
        for node in child.nodes:
            found = self._find(node, node.keys(missing)) if missing else None
            if found is not None:
                return found
            if len(child.nodes) > 1:
                there = set(node.joins(list(self._rows(node, node.keys(missing)))))
                missing = [value for value in missing if value not in there]
        return None

    def _narrowed(self, node: Node, keys: Keys) -> tuple[bytes, ...] | None:
        """Return the first key under which a row of the node itself cannot be read.

        None if all can be read, and if the statement itself has a character that the database lacks.
        """
        if not keys or self._readable(node, keys) or not self._readable(node, []):
            return None
        while len(keys) > 1:
            half = keys[: len(keys) // 2]
            keys = keys[len(half) :] if self._readable(node, half) else half
        return keys[0]

    def _readable(self, node: Node, keys: Keys) -> bool:
        try:
            with self._session.attempt(f"search {node.path}"):
                for _ in self._rows(node, keys):
                    pass
        except SourceRefused as error:
            if error.sqlstate not in STATES:
                raise
            return False
        return True

    def _rows(self, node: Node, keys: Keys) -> Iterator[tuple[bytes, ...]]:
        return self._session.rows(node.select.query, node.select.bind(keys), node.described)

    def _row(self, node: Node, key: tuple[bytes, ...]) -> str:
        """Describe the row under a key; if the key is its parent's, search for the row's own key."""
        relation, names = node.relation, node.select.join
        own = self._key(relation)
        if own and names != own:
            bare = Relation("", join=tuple((name, name) for name in own))
            select = self._statements.children(replace(relation, keys=(), children=(bare,)))
            rows = self._session.rows(select.query, select.bind([key]), node.described)
            keys = [row[select.join_width :][: len(own)] for row in rows]
            keyed = replace(relation, key=own, children=())
            narrowed = self._narrowed(Node(keyed, self._statements, self._statements.by_key(keyed), node.path), keys)
            if narrowed is not None:
                names, key = own, narrowed
        values = ", ".join(f"{name} {value.decode()}" for name, value in zip(names, key, strict=True))
        return f"it is in the row of {relation.table} with {values}"

    def _key(self, relation: Relation) -> tuple[str, ...]:
        """Return the columns that identify a row: the tree's, or the primary key if the table lacks those."""
        if set(relation.key) <= self._catalogue[relation.table].keys():
            return relation.key
        return tuple(self._session.one(_PRIMARY_KEY, [relation.table])[0])
