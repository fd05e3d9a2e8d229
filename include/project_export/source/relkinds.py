"""Whether the tables that a tree reads can hide table rows: by a row policy, or because they are not plain tables.

A view may filter, regardless of row_security; so may a foreign table's server; and a table in another schema than the
root's may be a different table of the same name. None of these is read unless a setting names it. The server rejects
policies one at a time; here all are reported before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from project_export.errors import SourceFiltered, listed
from project_export.source.session import Session
from project_export.tree import BoundTree, tables

_TABLES = sql.SQL("""
    SELECT c.relname::text, n.nspname::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        c.relkind::text, pg_table_is_visible(c.oid), row_security_active(c.oid), EXISTS (
            WITH RECURSIVE below AS (
                SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid
            )
            SELECT 1 FROM below b JOIN pg_class f ON f.oid = b.inhrelid WHERE f.relkind = 'f'
        )
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = ANY({tables}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (n.nspname = ANY(current_schemas(false)) AND n.oid <> pg_my_temp_schema() OR pg_table_is_visible(c.oid))
    ORDER BY c.relname, n.nspname
""")
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_ALLOW = "PROJECT_EXPORT_ALLOW_TABLES={}"
_POLICY = "42501"


@dataclass(frozen=True)
class Found:
    """The table that is read under a name.

    full: `schema.table`, quoted where SQL needs it. kind: pg_class.relkind. policy: whether a row policy applies to
    this role. foreign: whether it has foreign tables as partitions or children. others: tables of the same name in
    other schemas of the search path.
    """

    name: str
    schema: str
    full: str
    kind: str
    policy: bool
    foreign: bool
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Allowed:
    """What may be read although table rows may be hidden.

    tables: as `schema.table`. policies: whether tables with row policies are read.
    """

    tables: frozenset[str] = frozenset()
    policies: bool = False

    @classmethod
    def of(cls, names: str, *, policies: bool) -> Allowed:
        """Return what settings allow. names: of tables, separated by commas, quoted as in SQL.

        >>> sorted(Allowed.of('app.notes, "My, own".labels', policies=False).tables)
        ['"My, own".labels', 'app.notes']
        """
        found = re.findall(r'(?:"(?:[^"]|"")*"|[^",])+', names)
        return cls(frozenset(name.strip() for name in found if name.strip()), policies)


class Tables:
    """The tables that a bound tree reads, in a source as this session sees it."""

    def __init__(self, session: Session, bound: BoundTree, allowed: Allowed) -> None:
        self._bound = bound
        self._allowed = allowed
        self.found = _found(session, tables(bound.tree))

    def require(self, names: Iterable[str]) -> None:
        """Raise SourceFiltered, which lists every reason, if rows of the root or these relations may be hidden."""
        wanted = [self._bound.relation(name) for name in names]
        read = tables(replace(self._bound.tree, relations=tuple(wanted), files=(), title=None))
        doubts = [doubt for table in sorted(read) for doubt in self._doubts(table) if not doubt.allowed]
        if doubts:
            policies = any(doubt.policy for doubt in doubts)
            message = listed("the source may hide rows of what is exported", doubts)
            raise SourceFiltered(message, _POLICY if policies else None)

    def remarks(self, name: str) -> tuple[str, ...]:
        """Return the tables of a relation that may hide rows and that a setting names."""
        return self._allowed_doubts(name, policy=False)

    def omissions(self, name: str) -> tuple[str, ...]:
        """Return the row policies that may hide rows of a relation and that a setting allows."""
        return self._allowed_doubts(name, policy=True)

    def _allowed_doubts(self, name: str, *, policy: bool) -> tuple[str, ...]:
        read = tables(replace(self._bound.tree, root=self._bound.relation(name), relations=(), files=(), title=None))
        doubts = [doubt for table in sorted(read) for doubt in self._doubts(table)]
        return tuple(
            f"rows may be missing: {doubt.what}, which {doubt.setting} allows"
            for doubt in doubts
            if doubt.allowed and doubt.policy == policy
        )

    def _doubts(self, table: str) -> Iterator[_Doubt]:
        root = self.found.get(self._bound.tree.root.table)
        found = self.found.get(table)
        if found is None or root is None:
            return
        allowed, setting = found.full in self._allowed.tables, _ALLOW.format(found.full)
        if found.kind in _KINDS:
            yield _Doubt(f"{found.full} is {_KINDS[found.kind]}", setting, allowed)
        if found.foreign:
            yield _Doubt(f"{found.full} has foreign tables as partitions", setting, allowed)
        if found.schema != root.schema:
            yield _Doubt(f"{found.full} is in another schema than {root.full}", setting, allowed)
        if found.others:
            both = f"{found.full} is one of several on the search path, with {', '.join(found.others)}"
            yield _Doubt(both, setting, allowed)
        if found.policy:
            setting = "PROJECT_EXPORT_ALLOW_ROW_SECURITY=true"
            what = f"row policies of {found.full} apply to this role"
            yield _Doubt(what, setting, self._allowed.policies, policy=True)


@dataclass(frozen=True)
class _Doubt:
    what: str
    setting: str
    allowed: bool
    policy: bool = False

    def __str__(self) -> str:
        if self.policy:
            return f"{self.what} [SQLSTATE {_POLICY}]: use a role with BYPASSRLS, or set {self.setting}"
        return f"{self.what}: make search_path find a table in the root's schema, or set {self.setting}"


def _found(session: Session, names: frozenset[str]) -> Mapping[str, Found]:
    rows: list[tuple[str, str, str, str, bool, bool, bool]] = []
    query = _TABLES.format(tables=sql.Placeholder("tables"))
    for page in session.pages(query, {"tables": sorted(names)}, lambda: 1000):
        rows += page
    return {
        name: Found(
            name,
            schema,
            full,
            kind,
            policy,
            foreign,
            tuple(row[2] for row in rows if row[0] == name and row[2] != full),
        )
        for name, schema, full, kind, visible, policy, foreign in rows
        if visible
    }
