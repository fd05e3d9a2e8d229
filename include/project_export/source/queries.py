"""The statements that an export runs for one relation, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from project_export.source.node import Node
from project_export.source.read import Reader
from project_export.source.session import Session
from project_export.source.sql import Select, Statements
from project_export.tree import BoundTree, Relation

_BATCH_ROWS = 1000


@dataclass(frozen=True)
class Asked:
    """One statement.

    path: the relation that it reads, with `(keys)` if it only finds the keys. query: for psql; the keys of a batch are
    its variables key0, key1, ... plan: the lines of EXPLAIN, if they were asked for.
    """

    path: str
    query: str
    plan: tuple[str, ...] = ()


def asked(bound: BoundTree, name: str) -> Iterator[Asked]:
    """Yield the statements for a relation and its nested ones; none for a relation without a table.

    The values of the project on which it joins are zero.
    """
    relation, root = bound.relation(name), bound.tree.root
    nothing = Statements(bound.catalogue, root)
    links = {link for top in bound.tree.tops for source in top.sources for _, link in source.join}
    zero = {link: b"{0}" if nothing.many(link) else b"0" for link in links}
    yield from _Asking(bound, Statements(bound.catalogue, root, zero), zero).of(relation)


def explained(session: Session, bound: BoundTree, name: str, project_id: int) -> Iterator[Asked]:
    """Yield them with PostgreSQL's plans for the first batch of a project's table rows.

    Raises ProjectNotFound, SourceRefused, SourceBusy.
    """
    reader = Reader(session, bound, project_id)
    values = dict(reader.root_values)
    statements = Statements(bound.catalogue, bound.tree.root, values)
    yield from _Asking(bound, statements, values, session, project_id).of(bound.relation(name))


@dataclass(frozen=True)
class _Asking:
    bound: BoundTree
    statements: Statements
    values: Mapping[str, Any]
    session: Session | None = None
    project_id: int = 0

    def of(self, relation: Relation) -> Iterator[Asked]:
        root = self.bound.tree.root
        if not relation.table:
            return
        keys: Sequence[tuple[bytes, ...]]
        if relation is root:
            keys, select = [(str(self.project_id).encode(),)], self.statements.by_key(root)
        else:
            parent = [self.values[link] for _, link in relation.join]
            if None in parent:  # then the project has none, and nothing is run
                return
            if relation.one:
                keys, select = [tuple(parent)], self.statements.children(relation)
            else:
                query, params = self.statements.page_keys(relation, self.values)
                yield self._asked(f"{relation.name} (keys)", query.as_bytes(None), params, params)
                keys, select = self._page(query, params), self.statements.by_key(relation)
        yield from self._node(Node(relation, self.statements, select), keys)

    def _node(self, node: Node, keys: Sequence[tuple[bytes, ...]]) -> Iterator[Asked]:
        select = node.select
        yield self._asked(node.path, select.query, select.params, select.bind(keys) if keys else None)
        rows = self._rows(select, keys)
        for child in node.children:
            values = list(dict.fromkeys(value for value in child.values(rows) if value is not None))
            for one in child.nodes:
                yield from self._node(one, one.keys(values))

    def _asked(self, path: str, query: bytes, values: Mapping[str, Any], bound: Mapping[str, Any] | None) -> Asked:
        """Return a statement, with its plan if there are a session and keys to plan for."""
        plan: tuple[str, ...] = ()
        if self.session is not None and bound is not None:
            plan = tuple(line.decode() for (line,) in self.session.rows(b"EXPLAIN " + query, bound, f"explain {path}"))
        literals = _Literals({name: sql.Literal(value).as_string(None) for name, value in values.items()})
        return Asked(path, query.decode() % literals, plan)

    def _page(self, query: Any, params: Mapping[str, Any]) -> Sequence[tuple[bytes, ...]]:
        if self.session is None:
            return []
        pages = self.session.pages(query, params, lambda: _BATCH_ROWS, binary=True)
        return next(pages, [])

    def _rows(self, select: Select, keys: Sequence[tuple[bytes, ...]]) -> list[tuple[Any, ...]]:
        if self.session is None or not keys:
            return []
        return list(self.session.rows(select.query, select.bind(keys)))


class _Literals(dict[str, str]):
    """Values as SQL; a name without a value, the keys of a batch, is a variable of psql."""

    def __missing__(self, name: str) -> str:
        return f":'{name}'"
