"""A relation of a bound tree → one SQL statement: all its table rows under a set of parents, each as JSON text.

    SELECT join columns, link columns, flags, row_to_json(record) FROM table WHERE join = ANY(keys)

The join and link columns are texts, so that integers of different widths compare equal in the client. Names become
identifiers, values are bound. A record is cut after a megabyte; the client then reads it in slices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any

from psycopg import sql

from project_export.external import Locations
from project_export.source.changes import Changes, Window
from project_export.source.indexes import Indexes
from project_export.source.names import Params, column, comma, directed, every, named, ordered
from project_export.source.references import References, Scope
from project_export.source.values import SPACES, Due, Note, Values
from project_export.tree import Also, Catalogue, Order, Ref, Relation
from project_export.tree.forms import ROOT, Condition

LONGEST = 1 << 20
"""Bytes of a record that a statement returns; a longer record is cut after one byte more."""
SLICE = 8 << 10
"""Bytes in a slice of a record."""

_INTEGERS = ("int2", "int4", "int8")

Query = tuple[sql.Composed, dict[str, Any]]


@dataclass(frozen=True)
class Select:
    """A relation's statement. Its result rows have join values, link values, flags (if any), the record of the keys
    after the nested relations (if any), and the record of the others.

    query: as bytes, since composing it for each batch costs the client 5 %.
    sliced: makes the statement for the table rows of one parent. It returns one row per slice of a record, in order;
    before the slice it has the number of bytes from there to the record's end.
    join, links: the columns or derived names of these values. arrays: what makes the text of an array of join values,
    by column. transforms: see `Due`.
    noted: what is counted, after the path of the relation.
    prepared: whether it may be prepared: an index finds its table rows, so a plan for unknown keys is as good as one
    for these, and saves making one for each batch.
    """

    query: bytes
    sliced: Callable[[], sql.Composed]
    params: dict[str, Any]
    join: tuple[str, ...]
    arrays: tuple[Callable[[Sequence[bytes]], str], ...]
    links: tuple[str, ...]
    transforms: tuple[Due, ...]
    noted: tuple[Note, ...]
    prepared: bool

    @property
    def join_width(self) -> int:
        """The number of join columns."""
        return len(self.join)

    @property
    def flagged(self) -> bool:
        """Whether its rows have flags."""
        return bool(self.transforms or self.noted)

    def bind(self, keys: Sequence[tuple[bytes, ...]]) -> dict[str, Any]:
        """Return the values to bind for these join values."""
        columns = {f"key{i}": form(list(map(itemgetter(i), keys))) for i, form in enumerate(self.arrays)}
        return {**self.params, **columns}


class Statements:
    """Makes the statements of a bound tree.

    root: the tree's. values: the root's values to which other relations refer, by the root's own references to them.
    zoned, locations, spaces: see `types.formed` and `Values`. window: only what changed in it is found; None: all rows.
    indexes: of the tables; None: no statement may be prepared.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        root: Relation,
        values: Mapping[str, bytes | None] | None = None,
        *,
        zoned: bool = False,
        locations: Locations | None = None,
        spaces: str = SPACES,
        window: Window | None = None,
        indexes: Indexes | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._indexes = indexes
        self._root = root
        self._references = References(catalogue, root, values or {}, zoned=zoned)
        self._values = Values(self._references, locations=locations or Locations(), spaces=spaces)
        self._changes = None if window is None else Changes(catalogue, self._references, self._values, window)

    def children(self, relation: Relation) -> Select:
        """Return the statement for all table rows of a relation under given parents, in the relation's order."""
        return self._select(relation, tuple(own for own, _ in relation.join), relation.order, where=True)

    def by_key(self, relation: Relation, refs: Sequence[Ref] = ()) -> Select:
        """Return the statement for table rows of a top-level relation by their own keys, without an order.

        refs: further values to read, as links.
        """
        return self._select(relation, relation.key, (), where=not relation.also, refs=refs)

    def page_keys(self, relation: Relation, parent: Mapping[str, bytes]) -> Query:
        """Return the query for the keys of a top-level relation under the root, in order, as text columns.

        The key breaks ties in the order, so that the parts of a relation, which are read by offset, never overlap.
        The condition is materialised before ordering: else the planner might walk the whole table by its primary key.
        """
        params = Params()
        names = dict.fromkeys((*relation.key, *(order.column for order in relation.order)))
        columns = {name: f"c{i}" for i, name in enumerate(names)}
        query = sql.SQL("WITH rows AS MATERIALIZED ({rows}) SELECT {keys} FROM rows AS t ORDER BY {order}").format(
            rows=self._wanted(relation, columns, parent, params),
            keys=comma([_text(column(columns[name])) for name in relation.key]),
            order=comma(
                [
                    sql.SQL("t.branch"),
                    *ordered([replace(order, column=columns[order.column]) for order in relation.order]),
                    *(column(columns[name]) for name in relation.key),
                ]
            ),
        )
        return query, params.values

    def count(self, relation: Relation, parent: Mapping[str, bytes]) -> Query:
        """Return the query for the number of table rows of a top-level relation under the root."""
        params = Params()
        rows = self._wanted(relation, {}, parent, params)
        return sql.SQL("SELECT count(*) FROM ({}) AS t").format(rows), params.values

    def many(self, link: str) -> bool:
        """Return whether the root's value of this name is an array: then any element joins."""
        return self._values.link_type(link, self._root).startswith("_")

    def _select(
        self,
        relation: Relation,
        join: tuple[str, ...],
        order: tuple[Order, ...],
        *,
        where: bool,
        refs: Sequence[Ref] = (),
    ) -> Select:
        params = Params()
        types = self._catalogue[relation.table]
        scope = self._references.of(relation)
        links = [self._values.link(link, relation, params) for link in relation.links]
        links += [self._references.value(ref, scope, params) for ref in refs]
        record = self._values.record(relation, params, refs)
        outputs = [_text(column(name)) for name in join] + [_text(link) for link in links]
        outputs += [one for one in (record.flags, record.after) if one is not None]
        arrays = [
            sql.SQL("{}::{}[]").format(sql.Placeholder(f"key{i}"), named(types[name])) for i, name in enumerate(join)
        ]
        fulfilled = self._fulfilled(relation.where, relation.either, scope, params) if where else []
        source: sql.Composable = sql.SQL("{} AS t").format(named(relation.table))
        if len(join) == 1:
            fulfilled.insert(0, sql.SQL("{} = ANY({})").format(column(join[0]), arrays[0]))
        else:
            asked = [sql.Identifier(f"k{i}") for i in range(len(join))]
            equal = [sql.SQL("{} = k.{}").format(column(own), name) for own, name in zip(join, asked, strict=True)]
            source = sql.SQL("unnest({}) AS k({}) JOIN {} ON {}").format(
                comma(arrays), comma(asked), source, every(equal)
            )
        keys = [column(name) for name in join]
        head = sql.SQL("SELECT DISTINCT ON ({}) ").format(comma(keys)) if order and relation.one else sql.SQL("SELECT ")
        tail = sql.SQL(" FROM {}{}{}{}").format(
            source,
            record.source,
            sql.SQL(" WHERE {}").format(every(fulfilled)) if fulfilled else sql.SQL(""),
            sql.SQL(" ORDER BY {}").format(comma([*keys, *ordered(order)])) if order else sql.SQL(""),
        )
        cut = sql.SQL("substr({}, 1, {})").format(record.text, sql.Literal(LONGEST + 1))
        tail_of_one = tail + sql.SQL(" LIMIT 1" if relation.one else " OFFSET 0")
        served = self._indexes is not None and self._indexes.serve(
            relation.table, join, relation.where if where else ()
        )
        return Select(
            query=(head + comma([*outputs, cut]) + tail).as_bytes(None),
            sliced=partial(_sliced, head, outputs, record.text, tail_of_one),
            params=params.values,
            join=join,
            arrays=tuple(_numbers if types[name] in _INTEGERS else _texts for name in join),
            links=(*relation.links, *map(str, refs)),
            transforms=record.transforms,
            noted=record.noted,
            prepared=served,
        )

    def _fulfilled(
        self,
        where: Sequence[Condition],
        either: Sequence[Sequence[Condition]],
        scope: Scope,
        params: Params,
    ) -> list[sql.Composable]:
        return [*self._references.conditions(where, scope, params), *self._references.either(either, scope, params)]

    def _wanted(
        self, relation: Relation, columns: Mapping[str, str], parent: Mapping[str, bytes], params: Params
    ) -> sql.Composable:
        """Return the query of `_rows`, or, in a window that limits the relation, for those of its rows that changed."""
        if self._changes is None or relation.changed_at is None:
            return self._rows(relation, columns, parent, params)
        columns = {**{name: f"k{i}" for i, name in enumerate(relation.key)}, **columns}
        rows = self._rows(relation, columns, parent, params)
        where = self._parent_is(relation, relation.table, parent, params)
        if relation.also:
            own = comma([column(name) for name in relation.key])
            keys = comma([sql.Identifier(columns[name]) for name in relation.key])
            where = sql.SQL("({}) IN (SELECT {} FROM ({}) AS r)").format(own, keys, rows)
        keys = comma([column(columns[name]) for name in relation.key])
        changed = self._changes.keys(relation, where, params)
        return sql.SQL("SELECT t.* FROM ({}) AS t WHERE ({}) IN ({})").format(rows, keys, changed)

    def _rows(
        self, relation: Relation, columns: Mapping[str, str], parent: Mapping[str, bytes], params: Params
    ) -> sql.Composable:
        """Return the query for the table rows of a top-level relation with their branch: 0, then the additional ones.

        columns: those to select, with their new names.
        """
        table = named(relation.table)
        first = self._parent_is(relation, relation.table, parent, params)
        branch = sql.SQL("SELECT {} FROM {} AS t WHERE {}")
        outputs = [sql.SQL("{} AS {}").format(column(name), sql.Identifier(to)) for name, to in columns.items()]
        branches = [branch.format(comma([sql.SQL("0 AS branch"), *outputs]), table, first)]
        for number, also in enumerate(relation.also, start=1):
            if any(parent[link] is None for _, link in also.join):
                continue
            more = self._more(relation, also, first, parent, params)
            head = sql.SQL("{} AS branch").format(sql.Literal(number))
            branches.append(sql.SQL("SELECT {} FROM ({}) AS t").format(comma([head, *outputs]), more))
        return sql.SQL(" UNION ALL ").join(branches)

    def _more(
        self, relation: Relation, also: Also, first: sql.Composable, parent: Mapping[str, bytes], params: Params
    ) -> sql.Composable:
        """Return the query for additional rows: the best for each owner without a row among the first."""
        identity = column(also.unless)
        each = [column(name) for name in also.each]
        return sql.SQL(
            "SELECT DISTINCT ON ({each}) t.* FROM {table} AS t WHERE {where} AND {identity} NOT IN"
            " (SELECT {identity} FROM {table} AS t WHERE {first} AND {identity} IS NOT NULL) ORDER BY {order}"
        ).format(
            each=comma(each),
            identity=identity,
            table=named(relation.table),
            where=self._parent_is(also, relation.table, parent, params),
            first=first,
            order=comma([*each, *(self._best(order, relation.table, params) for order in also.best)]),
        )

    def _best(self, order: Order, table: str, params: Params) -> sql.Composable:
        """Return a term that chooses between rows; it counts one more where it is raised."""
        value = column(order.column)
        if order.raised:
            scope = Scope(table)
            equal = [
                sql.SQL("{} = {}").format(column(own), self._references.value(Ref(other, ROOT), scope, params))
                for own, other in order.raised
            ]
            value = sql.SQL("CASE WHEN {} THEN {} + 1 ELSE {} END").format(every(equal), value, value)
        return directed(value, order)

    def _parent_is(
        self, source: Relation | Also, table: str, parent: Mapping[str, bytes], params: Params
    ) -> sql.Composable:
        """Return the condition for table rows that join the root; any element joins if the root's value is an array."""
        equal = []
        for own, link in source.join:
            own_type = named(self._catalogue[table][own])
            value = params(parent[link].decode())
            form = sql.SQL("{} = ANY({}::text::{}[])") if self.many(link) else sql.SQL("{} = {}::text::{}")
            equal.append(form.format(column(own), value, own_type))
        return every([*equal, *self._fulfilled(source.where, source.either, Scope(table), params)])


def _sliced(
    head: sql.Composable, outputs: Sequence[sql.Composable], record: sql.Composable, tail: sql.Composable
) -> sql.Composed:
    """Return the statement that cuts the records of these rows into slices; each is formed once."""
    names = [sql.Identifier(f"c{number}") for number in range(len(outputs))]
    columns = [sql.SQL("{} AS {}").format(*pair) for pair in zip(outputs, names, strict=True)]
    return sql.SQL(
        "SELECT {names}octet_length(record) - at, substr(record, at + 1, {slice}) FROM ("
        "SELECT *, generate_series(0, octet_length(record) - 1, {slice}) AS at FROM ({rows}) AS rows) AS slices"
    ).format(
        names=sql.SQL("").join(name + sql.SQL(", ") for name in names),
        slice=sql.Literal(SLICE),
        rows=head + comma([*columns, sql.SQL("{} AS record").format(record)]) + tail,
    )


def _text(expression: sql.Composable) -> sql.Composable:
    return sql.SQL("({})::text").format(expression)


def _numbers(values: Sequence[bytes]) -> str:
    """Return the text of an array for a column of integers: unless one is something else, they need no quotes."""
    text = b",".join(values)
    if text.translate(None, b"0123456789,") or text.count(b",") >= len(values):
        return _texts(values)
    return f"{{{text.decode()}}}"


def _texts(values: Sequence[bytes]) -> str:
    """Return the text of an array of these texts. They are first joined by NUL, which no text of PostgreSQL has."""
    if not values:
        return "{}"
    text = b"\0".join(values).decode().replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'{{"{text}"}}'
