"""Which top-level records of a relation changed in a window of time, as SQL.

A record changed if its own row did, or a row nested in it at any depth. The statement joins the rows of the project
with those of each nested relation that has a time of change, and selects the keys of the rows at the top. Each join is
a branch of its own, so that the planner can start from the end with fewer rows, and use an index on the time of change
where there is one. What a branch finds too much (a row that is not the first of a relation of one) does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from psycopg import sql

from project_export.source.names import ROW, Params, column, comma, every, named
from project_export.source.references import References
from project_export.source.values import Values
from project_export.tree import Catalogue, Relation
from project_export.tree.refs import refs

_ABOVE = sql.Identifier("a")


@dataclass(frozen=True)
class Window:
    """A window of time, with its start and without its end. A timestamp without time zone counts as UTC."""

    start: datetime
    end: datetime


class Changes:
    """Makes the queries for the keys of changed rows."""

    def __init__(self, catalogue: Catalogue, references: References, values: Values, window: Window) -> None:
        self._catalogue = catalogue
        self._references = references
        self._values = values
        self._window = window

    def keys(self, relation: Relation, where: sql.Composable, params: Params) -> sql.Composable:
        """Return the query for the keys of the changed rows of a top-level relation. where: which of its rows to join.

        The relation must have a time of change.
        """
        keys = [column(name) for name in relation.key]
        own = self._source(relation, named(relation.table) + sql.SQL(" AS ") + ROW, [where], params)
        named_keys = [_as(key, f"k{number}") for number, key in enumerate(keys)]
        branches = [_select(keys, own, [self._in_window(relation, params)])]
        branches += self._below(relation, named_keys, own, params)
        return sql.SQL(" UNION ALL ").join(branches)

    def _below(
        self, relation: Relation, keys: Sequence[sql.Composable], source: sql.Composable, params: Params
    ) -> Iterator[sql.Composable]:
        """Yield the branches of what is nested in a relation. keys: of the rows at the top. source: its rows."""
        nested = [one for child in relation.children for one in _alternatives(child) if _shows(one)]
        links = {link: f"l{number}" for number, link in enumerate(relation.links)}
        above_keys = [column(f"k{number}", _ABOVE) for number in range(len(keys))]
        for child in nested:
            used = dict.fromkeys(link for _, link in child.join)
            outputs = [*keys, *(_as(self._values.link(link, relation, params), links[link]) for link in used)]
            equal = [sql.SQL("{} = {}").format(column(own), column(links[link], _ABOVE)) for own, link in child.join]
            joined = sql.SQL("({}) AS {} JOIN {} AS {} ON {}").format(
                _select(outputs, source, []), _ABOVE, named(child.table), ROW, every(equal)
            )
            scope = self._references.of(child)
            fulfilled = [
                *self._references.conditions(child.where, scope, params),
                *self._references.either(child.either, scope, params),
            ]
            rows = self._source(child, joined, fulfilled, params)
            if child.changed_at is not None:
                yield _select(above_keys, rows, [self._in_window(child, params)])
            passed = [_as(key, f"k{number}") for number, key in enumerate(above_keys)]
            yield from self._below(child, passed, rows, params)

    def _source(
        self, relation: Relation, rows: sql.Composable, where: Sequence[sql.Composable], params: Params
    ) -> sql.Composable:
        """Return what follows FROM for rows, up to their conditions. Rows beside are joined if the rows need them."""
        links = {link for child in relation.children if _shows(child) for _, link in child.join}
        derived = tuple(pair for pair in relation.derived if pair[0] in links)
        needs = replace(relation, keys=(), derived=derived, children=(), successor=None, also=())
        beside = {row.name for row in relation.beside}
        joins = self._references.joined(needs, params) if any(ref.row in beside for ref in refs(needs)) else sql.SQL("")
        return rows + joins + sql.SQL(" WHERE ") + every([*where, sql.SQL("true")])

    def _in_window(self, relation: Relation, params: Params) -> sql.Composable:
        name = str(relation.changed_at)
        kind = self._catalogue[relation.table][name]
        start, end = (_text(time, zoned=kind == "timestamptz") for time in (self._window.start, self._window.end))
        return sql.SQL("{0} >= {1}::text::{3} AND {0} < {2}::text::{3}").format(
            column(name), params(start), params(end), named(kind)
        )


def _shows(relation: Relation) -> bool:
    """Return whether a change of a row, or of one nested in it, can be seen."""
    return any(one.changed_at is not None for top in _alternatives(relation) for _, one in top.walk())


def _alternatives(relation: Relation) -> Iterator[Relation]:
    """Yield a nested relation and its successors."""
    source: Relation | None = relation
    while source is not None:
        yield source
        source = source.successor


def _select(
    outputs: Sequence[sql.Composable], source: sql.Composable, more: Sequence[sql.Composable]
) -> sql.Composable:
    conditions = sql.SQL("").join(sql.SQL(" AND {}").format(one) for one in more)
    return sql.SQL("SELECT {} FROM {}{}").format(comma(outputs), source, conditions)


def _as(value: sql.Composable, name: str) -> sql.Composable:
    return sql.SQL("{} AS {}").format(value, sql.Identifier(name))


def _text(time: datetime, *, zoned: bool) -> str:
    """Return a time as a text in PostgreSQL's form."""
    text = time.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ")
    return f"{text}+00" if zoned else text
