"""Which columns a bound tree reads: those for which a role needs the right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from project_export.tree.bind import BoundTree
from project_export.tree.forms import ROOT, Beside, Climb, Elsewhere, Form, Lookup, Ref, Source
from project_export.tree.model import Relation
from project_export.tree.refs import refs

Read = tuple[str, str]
"""Table and column."""


def columns(bound: BoundTree) -> Mapping[str, frozenset[str]]:
    """Return the columns that are read, by table."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    tree = bound.tree
    derived = dict(tree.root.derived)
    links = [link for top in tree.tops for source in top.sources for _, link in source.join]
    reads = [(tree.root.table, link) for link in links if link not in derived]
    if tree.title is not None:
        reads += [*_row(tree.title.row), *_value(tree.title.value, tree.title.row.table)]
    if tree.activity is not None:
        reads += [(tree.root.table, column) for column in tree.activity.columns]
    for relation in tree.tops:
        reads += _relation(relation, bound)
    for table, column in reads:
        if column in bound.catalogue.get(table, ()):
            found[table].add(column)
    return {table: frozenset(names) for table, names in found.items()}


def _relation(relation: Relation, bound: BoundTree) -> Iterator[Read]:
    own = [*relation.key, *(name for name, _ in relation.join), *(order.column for order in relation.order)]
    if relation.also:
        own += bound.catalogue[relation.table]  # their rows are read whole
    own += [relation.changed_at] if relation.changed_at else []
    derived = dict(relation.derived)
    own += [link for link in relation.links if link not in derived]
    yield from ((relation.table, name) for name in own)
    tables = _tables(relation, bound.tree.root)
    yield from ((tables[ref.row], ref.column) for ref in refs(relation) if ref.column)
    for row in relation.beside:
        yield from _row(row)
    forms = [form for key in relation.keys for form in key.forms]
    for value in derived.values():
        if isinstance(value, Climb):
            yield from _climb(value, relation.table)
        else:
            forms.append(value)
    yield from (read for form in forms for read in _form(form))
    for key in relation.keys:
        if key.elsewhere is not None:
            yield from _elsewhere(key.elsewhere, relation.table)
    for nested in (*relation.children, relation.successor):
        if nested is not None:
            yield from _relation(nested, bound)


def _tables(relation: Relation, root: Relation) -> Mapping[str, str]:
    """Return the tables of the rows that the relation's references may name."""
    rows = {"": relation.table, ROOT: root.table}
    rows |= {row.name: row.table for row in relation.beside}
    return rows | {f"{ROOT}.{row.name}": row.table for row in root.beside}


def _form(form: Form) -> Iterator[Read]:
    """Yield what the lookups of a form read in other tables."""
    for source in form.sources:
        if isinstance(source, Lookup):
            yield from _row(source.row)
            yield from _value(source.value, source.row.table)


def _value(source: Source | None, table: str) -> Iterator[Read]:
    if isinstance(source, Ref):
        yield table, source.column
    elif source is not None:
        # The next row is found by values of this one.
        yield from ((table, ref.column) for _, match in source.row.match for ref in match if not ref.row)
        yield from _row(source.row)
        yield from _value(source.value, source.row.table)


def _row(row: Beside) -> Iterator[Read]:
    yield from ((row.table, column) for column in row.columns)


def _climb(climb: Climb, own: str) -> Iterator[Read]:
    yield own, climb.start
    named = [climb.key, climb.parent, climb.path, *(condition.column for condition in climb.where)]
    yield from ((climb.table, name) for name in named if name)


def _elsewhere(place: Elsewhere, own: str) -> Iterator[Read]:
    yield from ((own, name) for name in (place.offset, place.size, *(name for _, name in place.match)))
    yield from ((place.table, name) for name in (*place.columns, *(other for other, _ in place.match)))
