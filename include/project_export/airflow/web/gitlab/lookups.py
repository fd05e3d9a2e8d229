"""What clients look up around an export: projects and the namespaces that they are in.

It reads the tables projects, routes and namespaces, and of these only columns that exist and that the role may read. An
export needs few of them, so the role may lack the others: their values are then None, and names come from paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from project_export.source import Session
from project_export.source.names import Params, comma, every

See = Callable[[int, str], bool]
"""Whether the caller may see the project with this id and path."""

MOST_COUNTED = 10_000
"""Projects above which their number is not reported, as in GitLab: counting all would take too long."""

_BATCH = 1000
_OPTIONAL = {
    "projects": ("name", "description", "created_at", "namespace_id", "archived", "visibility_level"),
    "routes": ("name",),
    "namespaces": ("id", "type", "parent_id"),
}
_NAMESPACES = sql.SQL("n.source_type = 'Namespace'")
_NULL, _NO_ID = sql.SQL("NULL"), sql.SQL("NULL::bigint")
_READABLE = """
    SELECT c.relname::text, a.attname::text
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
      AND has_column_privilege(c.oid, a.attnum, 'SELECT')
"""


@dataclass(frozen=True)
class Namespace:
    """A group, or what a user's own projects are in. path: the full path. name: the full name."""

    id: int
    path: str
    name: str
    kind: str | None
    parent_id: int | None


@dataclass(frozen=True)
class Project:
    """A project. path: its full path, empty if it has none. visibility: 0, 10 or 20."""

    id: int
    path: str
    name: str
    description: str | None
    created_at: datetime | None
    archived: bool | None
    visibility: int | None
    namespace: Namespace | None


@dataclass(frozen=True)
class Page:
    """A page of a list. more: whether another one follows. total: of all items, None if there are too many to count."""

    items: tuple[Project, ...]
    more: bool
    total: int | None


class Lookups:
    """Looks things up in one session. Each method raises SourceRefused, SourceBusy."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._readable = {(table, column) for table, column in self._rows(sql.SQL(_READABLE), {"tables": [*_OPTIONAL]})}

    def project(self, wanted: str) -> Project | None:
        """Return the project with this id (digits) or path (in any case), or None."""
        for condition, params in _same(wanted, "p.id", "r.path"):
            for row in self._rows(self._projects(every([condition]), limit=sql.SQL("LIMIT 1")), params.values):
                return _project(row)
        return None

    def namespace(self, wanted: str) -> Namespace | None:
        """Return the namespace with this id (digits) or path (in any case), or None."""
        for condition, params in _same(wanted, "n.source_id", "n.path"):
            query = sql.SQL("SELECT {} FROM {} WHERE {} LIMIT 1").format(
                self._namespace_columns(),
                self._namespaces(),
                every([_NAMESPACES, condition]),
            )
            for row in self._rows(query, params.values):
                return _namespace(row)
        return None

    def page(
        self, number: int, size: int, see: See | None, within: Namespace | None = None, *, deep: bool = False
    ) -> Page:
        """Return a page of projects, newest first.

        number: counts from 1. see: which of them count; None: all. within: only those of this namespace; deep: also of
        those below it.
        """
        params = Params()
        conditions: list[sql.Composable] = [sql.SQL("r.path IS NOT NULL")]
        if within is not None and deep:
            conditions.append(sql.SQL("starts_with(lower(r.path), lower({}))").format(params(f"{within.path}/")))
        elif within is not None:
            conditions.append(self._directly_in(within, params))
        first = (number - 1) * size
        if see is None:
            limit = sql.SQL("LIMIT {} OFFSET {}").format(params(size + 1), params(first))
            found = [_project(row) for row in self._rows(self._projects(every(conditions), limit), params.values)]
            return Page(tuple(found[:size]), len(found) > size, self._count(conditions, params))
        seen = [number for number, path in self._ids(conditions, params) if see(number, path)]
        chosen = seen[first : first + size]
        one = sql.SQL("p.id = ANY ({})")
        params = Params()
        query = self._projects(one.format(params(chosen)), sql.SQL(""))
        found = [_project(row) for row in self._rows(query, params.values)] if chosen else []
        return Page(tuple(found), len(seen) > first + size, len(seen))

    def any(self, see: See, within: Namespace) -> bool:
        """Return whether the namespace, or one below it, has a project that counts."""
        params = Params()
        condition = sql.SQL("starts_with(lower(r.path), lower({}))").format(params(f"{within.path}/"))
        return any(see(number, path) for number, path in self._ids([condition], params))

    def _count(self, conditions: Sequence[sql.Composable], params: Params) -> int | None:
        limited = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS counted").format(
            self._with_routes(), every(conditions), params(MOST_COUNTED + 1)
        )
        ((count,),) = self._rows(limited, params.values)
        return int(count) if count <= MOST_COUNTED else None

    def _ids(self, conditions: Sequence[sql.Composable], params: Params) -> Iterator[tuple[int, str]]:
        query = sql.SQL("SELECT p.id, r.path FROM {} WHERE {} ORDER BY p.id DESC").format(
            self._with_routes(), every(conditions)
        )
        return self._rows(query, params.values)

    def _directly_in(self, namespace: Namespace, params: Params) -> sql.Composed:
        if self._has("projects", "namespace_id"):
            return sql.SQL("p.namespace_id = {}").format(params(namespace.id))
        parent = sql.SQL("regexp_replace(r.path, '/[^/]*$', '')")
        return sql.SQL("lower({}) = lower({})").format(parent, params(namespace.path))

    def _projects(self, condition: sql.Composable, limit: sql.Composable) -> sql.Composed:
        columns: list[sql.Composable] = [sql.SQL("p.id"), sql.SQL("r.path")]
        columns += [self._column("p", "projects", name) for name in _OPTIONAL["projects"]]
        its = self._column("p", "projects", "namespace_id", _NO_ID)
        return sql.SQL(
            "SELECT {columns}, {namespace} FROM {projects} LEFT JOIN {namespaces} ON {join}"
            " WHERE {condition} ORDER BY p.id DESC {limit}"
        ).format(
            columns=comma(columns),
            namespace=self._namespace_columns(),
            projects=self._with_routes(),
            namespaces=self._namespaces(nested=True),
            join=every([sql.SQL("n.source_id = {}").format(its), _NAMESPACES]),
            condition=condition,
            limit=limit,
        )

    def _with_routes(self) -> sql.Composable:
        return sql.SQL("projects AS p LEFT JOIN routes AS r ON r.source_id = p.id AND r.source_type = 'Project'")

    def _namespaces(self, *, nested: bool = False) -> sql.Composable:
        joined = sql.SQL("routes AS n")
        if self._has("namespaces", "id"):
            joined = sql.SQL("routes AS n LEFT JOIN namespaces AS s ON s.id = n.source_id")
        return sql.SQL("({})").format(joined) if nested and self._has("namespaces", "id") else joined

    def _namespace_columns(self) -> sql.Composable:
        more = [self._column("s", "namespaces", name) for name in ("type", "parent_id")]
        return comma([sql.SQL("n.source_id"), sql.SQL("n.path"), self._column("n", "routes", "name"), *more])

    def _column(self, alias: str, table: str, name: str, instead: sql.Composable = _NULL) -> sql.Composable:
        if not self._has(table, name) or (table == "namespaces" and not self._has(table, "id")):
            return instead
        return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(name))

    def _has(self, table: str, name: str) -> bool:
        return (table, name) in self._readable

    def _rows(self, query: sql.Composable, params: Any) -> Iterator[tuple[Any, ...]]:
        for page in self._session.pages(sql.Composed([query]), params, lambda: _BATCH, "look up"):
            yield from page


def _same(wanted: str, number: str, path: str) -> Iterator[tuple[sql.Composed, Params]]:
    """Yield the conditions under which a row has this id or path, the one with the better index first."""
    if wanted.isascii() and wanted.isdecimal():
        if len(wanted) < 20 and int(wanted) < 1 << 63:
            params = Params()
            yield sql.SQL("{} = {}").format(_dotted(number), params(int(wanted))), params
    elif "\0" not in wanted:
        for form in ("{} = {}", "lower({}) = lower({})"):
            params = Params()
            yield sql.SQL(form).format(_dotted(path), params(wanted)), params


def _dotted(name: str) -> sql.Composable:
    return sql.SQL(".").join(map(sql.Identifier, name.split(".")))


def _project(row: tuple[Any, ...]) -> Project:
    number, path, name, description, created_at, _, archived, visibility, *namespace = row
    path = path or ""
    return Project(
        number,
        path,
        name or path.rpartition("/")[2] or str(number),
        description,
        created_at,
        archived,
        visibility,
        _namespace(tuple(namespace)) if namespace[0] is not None else None,
    )


def _namespace(row: tuple[Any, ...]) -> Namespace:
    number, path, name, kind, parent = row
    return Namespace(number, path, name or path, kind, parent)
