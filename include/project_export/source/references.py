"""References of a tree as SQL: columns of a row, of the rows beside it, of the root; lookups; conditions.

A row beside is joined laterally, once for all columns that are read of it. A lookup is a subquery, which
PostgreSQL runs only if it needs the value. Rails sets several times of a row at once, so one of them is formed once,
and its text is used for all that equal it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from project_export.source.names import ROW, Params, column, comma, every, named, ordered
from project_export.source.types import TIMES, formed
from project_export.tree import Beside, Catalogue, Climb, Condition, Lookup, Ref, Relation
from project_export.tree.forms import ROOT, Source
from project_export.tree.refs import refs

_THERE = sql.Identifier("is there")
_SHARED = sql.Identifier("s")
_TEXT = column("text", _SHARED)


@dataclass(frozen=True)
class Scope:
    """What references are resolved in: a row, its table, and the tables of the rows beside it, by name.

    time: the own column of the time whose text is shared; None if there is none.
    """

    table: str
    row: sql.Identifier = field(default_factory=lambda: ROW)
    beside: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0
    time: str | None = None


class References:
    """Makes SQL expressions of references.

    catalogue: types of all columns. root: the tree's; references to it become values. values: the root's, by its own
    references to them, as PostgreSQL's texts. zoned: see `types.formed`.
    """

    def __init__(
        self, catalogue: Catalogue, root: Relation, values: Mapping[str, bytes | None], *, zoned: bool
    ) -> None:
        self._catalogue = catalogue
        self._root = {ROOT: root.table} | {f"{ROOT}.{row.name}": row.table for row in root.beside}
        self._values = values
        self._zoned = zoned

    def of(self, relation: Relation) -> Scope:
        """Return the scope of a relation's rows."""
        return Scope(
            relation.table, beside={row.name: row.table for row in relation.beside}, time=self._shared(relation)
        )

    def value(self, ref: Ref, scope: Scope, params: Params) -> sql.Composable:
        """Return a reference's value; without a column, whether its row exists."""
        if ref.row in self._root:
            value = self._values.get(str(Ref(ref.column, ref.row.removeprefix(ROOT).removeprefix("."))))
            text = None if value is None else value.decode()
            kind = named(self.type_of(ref, scope))
            return sql.SQL("{}::text::{}").format(params(text), kind)
        if not ref.row:
            return column(ref.column, scope.row)
        beside = _beside(ref.row)
        if ref.column:
            return column(ref.column, beside)
        return sql.SQL("({}.{} IS TRUE)").format(beside, _THERE)

    def type_of(self, ref: Ref, scope: Scope) -> str:
        """Return the type of a reference's value."""
        if not ref.column:
            return "bool"
        table = self._root.get(ref.row) or scope.beside.get(ref.row) or scope.table
        return self._catalogue[table][ref.column]

    def read(self, source: Source, scope: Scope, params: Params, *, form: bool) -> sql.Composable:
        """Return the value of a source. form: in the form in which it is exported."""
        if isinstance(source, Ref):
            value = self.value(source, scope, params)
            return self._formed(source, value, scope) if form else value
        return self._lookup(source, scope, params, form=form)

    def type_read(self, source: Source, scope: Scope) -> str:
        """Return the type of a source's value."""
        if isinstance(source, Ref):
            return self.type_of(source, scope)
        return "int8" if source.value is None else self.type_read(source.value, Scope(source.row.table))

    def joined(self, relation: Relation, params: Params, more: Iterable[Ref] = ()) -> sql.Composable:
        """Return the joins for the rows beside a relation's rows. more: references that are not its own."""
        used: dict[str, set[str]] = {row.name: set() for row in relation.beside}
        for ref in (*refs(relation), *more):
            if ref.row in used and ref.column:
                used[ref.row].add(ref.column)
        scope, other = self.of(relation), sql.Identifier("l")
        joins = [
            sql.SQL(" LEFT JOIN LATERAL (SELECT {} FROM {}) AS {} ON true").format(
                comma([*(column(c, other) for c in sorted(used[row.name])), sql.SQL("true AS {}").format(_THERE)]),
                self._found(row, other, scope, params),
                _beside(row.name),
            )
            for row in relation.beside
        ]
        if scope.time is not None:
            text = self._form(column(scope.time), Ref(scope.time), scope)
            joins.append(  # the offset keeps the planner from forming it wherever it is read
                sql.SQL(" CROSS JOIN LATERAL (SELECT {} AS text OFFSET 0) AS {}").format(text, _SHARED)
            )
        return sql.SQL("").join(joins)

    def climb(self, climb: Climb, scope: Scope, params: Params) -> sql.Composable:
        """Return the keys of a row and of all rows above it as an array; see `Climb`."""
        table, key, parent = named(climb.table), named(climb.key), named(climb.parent)
        where = self.conditions(climb.where, Scope(climb.table, sql.Identifier("g")), params)
        fulfilled = sql.SQL("").join(sql.SQL(" AND {}").format(one) for one in where)
        path: sql.Composable = sql.SQL("'{}'::int8[]")
        by_path: sql.Composable = sql.SQL("")
        if climb.path is not None:
            path = column(climb.path, sql.Identifier("g"))
            by_path = sql.SQL(
                " UNION SELECT g.{key} FROM own JOIN {table} AS a ON a.{key} = own.parent"
                " JOIN {table} AS g ON g.{key} = ANY (a.{path}){fulfilled} WHERE cardinality(own.path) > 0"
            ).format(key=key, table=table, path=named(climb.path), fulfilled=fulfilled)
        return sql.SQL(
            "ARRAY(WITH RECURSIVE own AS ("
            "SELECT g.{key} AS key, g.{parent} AS parent, {path} AS path"
            " FROM {table} AS g WHERE g.{key} = {start}{where}"
            "), up AS ("
            "SELECT g.{key} AS key, g.{parent} AS parent FROM own JOIN {table} AS g ON g.{key} = own.parent{where}"
            " WHERE cardinality(own.path) = 0"
            " UNION SELECT g.{key}, g.{parent} FROM up JOIN {table} AS g ON g.{key} = up.parent{where}"
            ") SELECT key FROM own{by_path} UNION SELECT key FROM up)"
        ).format(
            key=key,
            parent=parent,
            path=path,
            table=table,
            start=column(climb.start, scope.row),
            where=fulfilled,
            by_path=by_path,
        )

    def conditions(self, when: Iterable[Condition], scope: Scope, params: Params) -> list[sql.Composable]:
        """Return conditions that are true or false, never NULL."""
        return [self._condition(condition, scope, params) for condition in when]

    def either(self, either: Sequence[Sequence[Condition]], scope: Scope, params: Params) -> list[sql.Composable]:
        """Return the condition that one of these lists is fulfilled; nothing if there are no lists."""
        lists = [sql.SQL("({})").format(every(self.conditions(one, scope, params))) for one in either]
        return [sql.SQL("({})").format(sql.SQL(" OR ").join(lists))] if lists else []

    def _condition(self, condition: Condition, scope: Scope, params: Params) -> sql.Composable:
        value = self.value(condition.ref, scope, params)
        if not condition.ref.column:
            wanted = "{}" if condition.values == (True,) else "(NOT {})"
            if condition.ref.row in self._root:
                value = sql.SQL("coalesce({}, false)").format(value)
            return sql.SQL(wanted).format(value)
        values = [params(item) for item in condition.values if item is not None]
        null = None in condition.values
        if condition.test == "over":
            return sql.SQL("coalesce({} > {}, false)").format(value, values[0])
        if condition.test == "in":
            either = [sql.SQL("{} IN ({})").format(value, comma(values))] if values else []
            either += [sql.SQL("{} IS NULL").format(value)] if null else []
            return sql.SQL("({})").format(sql.SQL(" OR ").join(either))
        if not values:
            return sql.SQL("{} IS NOT NULL").format(value)
        form = "({0} IS NOT NULL AND {0} NOT IN ({1}))" if null else "({0} IS NULL OR {0} NOT IN ({1}))"
        return sql.SQL(form).format(value, comma(values))

    def _lookup(self, lookup: Lookup, scope: Scope, params: Params, *, form: bool) -> sql.Composable:
        row = lookup.row
        other = sql.Identifier(f"l{scope.depth}")
        there = Scope(row.table, other, depth=scope.depth + 1)
        if lookup.value is None:
            value: sql.Composable = sql.SQL("count(*)")
            found = self._found(row, other, scope, params, first=False)
        else:
            value = self.read(lookup.value, there, params, form=form)
            found = self._found(row, other, scope, params)
        return sql.SQL("(SELECT {} FROM {})").format(value, found)

    def _found(
        self, row: Beside, other: sql.Identifier, scope: Scope, params: Params, *, first: bool = True
    ) -> sql.Composable:
        """Return what follows FROM for a row of another table; if not `first`, for all rows that match."""
        equal: list[sql.Composable] = [
            sql.SQL("{} = {}").format(column(its, other), self._first(match, scope, params)) for its, match in row.match
        ]
        equal += self.conditions(row.where, Scope(row.table, other), params)
        where = sql.SQL(" WHERE {}").format(every(equal)) if equal else sql.SQL("")
        order = sql.SQL(" ORDER BY {}").format(comma(ordered(row.order, other))) if row.order else sql.SQL("")
        limit = sql.SQL(" LIMIT 1" if first else "")
        return sql.SQL("{} AS {}{}{}{}").format(named(row.table), other, where, order, limit)

    def _first(self, match: Sequence[Ref], scope: Scope, params: Params) -> sql.Composable:
        """Return the first of these references that is not NULL."""
        there = [ref for ref in match if self._has(ref, scope)]
        values = [self.value(ref, scope, params) for ref in there]
        return values[0] if len(values) == 1 else sql.SQL("coalesce({})").format(comma(values))

    def _has(self, ref: Ref, scope: Scope) -> bool:
        table = self._root.get(ref.row) or scope.beside.get(ref.row) or (scope.table if not ref.row else "")
        return ref.column in self._catalogue.get(table, {})

    def _shared(self, relation: Relation) -> str | None:
        """Return the first time that a relation exports, if it exports more of the same type."""
        types = self._catalogue[relation.table]
        sources = [source for key in relation.keys for form in key.forms for source in form.sources]
        times = [one.column for one in sources if isinstance(one, Ref) and not one.row and types[one.column] in TIMES]
        same = {time for time in times if types[time] == types[times[0]]}
        return times[0] if len(same) > 1 else None

    def _formed(self, ref: Ref, value: sql.Composable, scope: Scope) -> sql.Composable:
        if scope.time is None or ref.row or self.type_of(ref, scope) != self.type_of(Ref(scope.time), scope):
            return self._form(value, ref, scope)
        if ref.column == scope.time:
            return _TEXT
        return sql.SQL("CASE WHEN {} = {} THEN {} ELSE {} END").format(
            value, column(scope.time, scope.row), _TEXT, self._form(value, ref, scope)
        )

    def _form(self, value: sql.Composable, ref: Ref, scope: Scope) -> sql.Composable:
        return formed(value, self.type_of(ref, scope), zoned=self._zoned)


def _beside(name: str) -> sql.Identifier:
    return sql.Identifier(f"beside {name}".replace("%", "%%"))
