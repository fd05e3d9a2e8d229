"""Fit a tree to a live catalogue.

What this database lacks is left out and said; what the tree cannot do without is an error.

A GitLab of another version has other columns. A key whose column is absent is left out; so is a nested relation whose
table is absent, or the column of its parent that leads to it. Of its own columns those that it is joined, ordered or
chosen by are needed: without them records would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from project_export.errors import SourceChanged, TreeError, nearest
from project_export.tree.model import Also, Elsewhere, Key, Lookup, Option, Relation, Tree

Catalogue = Mapping[str, Mapping[str, str]]
"""table → column → type, as pg_type.typname has it: int8, timestamptz, _text."""


@dataclass(frozen=True)
class LeftOut:
    """What does not leave, and why: `path` is a relation or one of its keys, dotted."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: left out, {self.why}"


@dataclass(frozen=True)
class BoundTree:
    """A tree that this database can answer, the types of its columns, and what was left out.

    absent: dotted paths of the optional relations that this database does not have, of which nothing else is said.
    """

    tree: Tree
    catalogue: Catalogue
    left_out: tuple[LeftOut, ...]
    absent: tuple[str, ...] = ()

    def relation(self, name: str) -> Relation:
        """Return the root or a top-level relation by name; raise SourceChanged for an optional one that is not here."""
        for relation in (self.tree.root, *self.tree.relations):
            if relation.name == name:
                return relation
        raise SourceChanged(f"relation {name} is optional, and the source does not have it; see `tree check`")

    def remarks(self, name: str) -> tuple[str, ...]:
        """Say of a top-level relation what was left out, and which keys are constant for a reason."""
        missing = [str(item) for item in self.left_out if item.path == name or item.path.startswith(f"{name}.")]
        return (*missing, *_constants(self.relation(name)))


def tables(tree: Tree) -> frozenset[str]:
    """Name every table that the tree reads."""
    whole = tree.extended()
    named = {table for relation in (whole.root, *whole.relations) for table in _tables(relation)}
    return frozenset(named.union(*(option.needs for option in tree.optional)))


def bind(tree: Tree, catalogue: Catalogue) -> BoundTree:
    """Fit the tree to the catalogue. Of its optional relations those take part whose tables are there.

    Raises SourceChanged where a column is absent that the tree needs to find or order rows, and TreeError where a name
    is absent here and unknown to the tree's reference schema as well, so that a slip of the pen is not taken for an
    older version.
    """
    there = [option for option in tree.optional if option.needs <= catalogue.keys()]
    absent = tuple(tree.path(option) for option in tree.optional if option not in there)
    unjoined = {tree.path(option): name for option in there if (name := _unjoined(option, tree, catalogue))}
    tree = tree.extended(option for option in there if tree.path(option) not in unjoined)
    binder = _Binder(tree, catalogue)
    for path, name in unjoined.items():
        binder.leave_out(path, f"the source has no {name}")
    root = binder.relation(tree.root, tree.root.name)
    if root is None:
        message = f"{tree.file}:{tree.root.line}: the source has no table {tree.root.table}, the root of the tree"
        raise SourceChanged(f"{message}. Is this the right database, and does search_path lead to its schema?")
    binder.linked(tree)
    relations = tuple(binder.top(relation, root) for relation in tree.relations)
    return BoundTree(replace(tree, root=root, relations=relations), catalogue, tuple(binder.left_out), absent)


class _Binder:
    def __init__(self, tree: Tree, catalogue: Catalogue) -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.left_out: list[LeftOut] = []
        self.came = {f"{path}.{name}": span for path, relation in tree.walk() for name, span in relation.since}
        self.came.update((name, span) for name, span in tree.root.since if name in tree.names)

    def leave_out(self, path: str, why: str) -> None:
        """Say of a key or relation why it is left out, and since when there is one, where that is known."""
        came = self.came.get(path)
        self.left_out.append(LeftOut(path, f"{why}; {path.rpartition('.')[2]} {came.came}" if came else why))

    def top(self, relation: Relation, root: Relation) -> Relation:
        """Bind a top-level relation; without its table it stays, empty, so that its file is as an empty one's."""
        relation = replace(relation, also=tuple(self.additions(relation, root)))
        bound = self.relation(relation, relation.name)
        if bound is not None:
            if not relation.one and relation.table:
                self.present(relation, relation.name, "reading in batches", relation.key)
            return bound
        return Relation(relation.name, one=relation.one, constant="null" if relation.one else None)

    def additions(self, relation: Relation, root: Relation) -> Iterator[Also]:
        """Yield the rows in addition that can be found; an export without them is smaller, not wrong."""
        own = self.catalogue.get(relation.table, {})
        there = {*self.catalogue[root.table], *(name for name, _ in root.derived)}
        for also in relation.also:
            read = [name for name, _ in (*also.join, *also.where)] + [also.unless, *(o.column for o in also.best)]
            absent = [f"{root.name}'s {link}" for _, link in also.join if link not in there]
            absent += [f"{relation.table}.{name}" for name in read if name not in own]
            if absent and own:
                self.left_out.append(
                    LeftOut(relation.name, f"rows in addition, for which the source lacks {absent[0]}")
                )
            else:
                yield also

    def relation(self, relation: Relation, path: str) -> Relation | None:
        if not relation.table:
            return relation
        successor = self.successor(relation, path)
        if relation.table not in self.catalogue:
            self.known_table(relation.table, relation.line)
            if successor is not None:
                return successor
            self.leave_out(path, f"the source has no table {relation.table}")
            return None
        self.needed(relation, path)
        keys = tuple(key for key in (self.key(key, relation, path) for key in relation.keys) if key)
        derived = tuple(
            (name, lookup)
            for name, lookup in ((name, self.derived(name, of, relation, path)) for name, of in relation.derived)
            if lookup is not None
        )
        children = tuple(
            bound for bound in (self.nested(child, relation, path) for child in relation.children) if bound is not None
        )
        return replace(relation, keys=keys, derived=derived, children=children, successor=successor)

    def nested(self, child: Relation, parent: Relation, path: str) -> Relation | None:
        """Bind a nested relation; leave it out where the parent lacks a column that leads to it."""
        own, derived = self.catalogue[parent.table], dict(parent.derived)
        for link in (link for _, link in child.join if link not in own and link not in derived):
            self.known_column(parent.table, link, child.line)
            self.leave_out(f"{path}.{child.name}", f"the source has no {parent.table}.{link}")
            return None
        return self.relation(child, f"{path}.{child.name}")

    def successor(self, relation: Relation, path: str) -> Relation | None:
        """Bind the table that is to replace a relation's; that it is not there yet is nothing to be said."""
        if relation.successor is None or relation.successor.table not in self.catalogue:
            return None
        try:
            return self.relation(relation.successor, f"{path}[{relation.successor.table}]")
        except SourceChanged as error:
            self.left_out.append(LeftOut(path, f"its successor {relation.successor.table} cannot be read: {error}"))
            return None

    def needed(self, relation: Relation, path: str) -> None:
        uses = {
            "join": [own for own, _ in relation.join],
            "where": [column for column, _ in relation.where],
            "order": [order.column for order in relation.order],
        }
        for use, columns in uses.items():
            self.present(relation, path, use, columns)

    def present(self, relation: Relation, path: str, use: str, columns: Iterable[str]) -> None:
        own = self.catalogue[relation.table]
        for column in columns:
            if column not in own:
                self.known_column(relation.table, column, relation.line)
                message = f"{self.tree.file}:{relation.line}: {path} needs {relation.table}.{column} for {use}"
                raise SourceChanged(f"{message}, which the source lacks; {nearest(column, own)}")

    def key(self, key: Key, relation: Relation, path: str) -> Key | None:
        own = self.catalogue[relation.table]
        where = f"{path}.{key.name}"
        if key.lookup is not None:
            lookup = self.reduced(key.lookup, relation.table, key.line)
            if lookup is None:
                absent = ".".join(self.absent(key.lookup, relation.table)[0])
                self.leave_out(where, f"the source has no {absent}")
                return None
            if isinstance(lookup, Lookup):
                return replace(key, lookup=lookup)
            return replace(key, lookup=None, column=lookup)
        if key.column not in own and key.fallback in own:
            self.known_column(relation.table, str(key.column), key.line)
            return replace(key, column=key.fallback, fallback=None)
        if key.elsewhere is not None:
            key = replace(key, elsewhere=self.elsewhere(key.elsewhere, relation.table, key.line))
        if key.fallback is not None and key.fallback not in own:
            self.known_column(relation.table, key.fallback, key.line)
            key = replace(key, fallback=None)
        for column in (key.column, key.when):
            if column is not None and column not in own:
                self.known_column(relation.table, column, key.line)
                self.leave_out(where, f"the source has no {relation.table}.{column}")
                return None
        return key

    def elsewhere(self, place: Elsewhere, own: str, line: int) -> Elsewhere | None:
        """Return where a value may lie; without its file where the source lacks what names it, None where it lies here.

        What names it is absent from a GitLab that is older, where no value can be elsewhere.
        """
        if place.offset not in self.catalogue[own]:
            self.known_column(own, place.offset, line)
            return None
        if not place.file:
            return place
        if place.table not in self.catalogue:
            self.known_table(place.table, line)
            return replace(place, file=())
        read = [(own, column) for column in (place.size, *(column for _, column in place.match))]
        read += [(place.table, column) for column in (*(other for other, _ in place.match), *place.columns)]
        absent = [(table, column) for table, column in read if column not in self.catalogue[table]]
        for table, column in absent:
            self.known_column(table, column, line)
        return replace(place, file=()) if absent else place

    def reduced(self, lookup: Lookup, own: str, line: int) -> Lookup | str | None:
        """Return the lookup without what is absent, its fallback column where that is all, None where nothing is."""
        here = self.catalogue[own]
        table = self.catalogue.get(lookup.table)
        fallback = lookup.fallback
        if fallback is not None and fallback not in here:
            self.known_column(own, fallback, line)
            fallback = None
        if table is None:
            self.known_table(lookup.table, line)
            return fallback
        absent = self.absent(lookup, own)
        for name, column in absent:
            self.known_column(name, column, line)
        return fallback if absent else replace(lookup, fallback=fallback)

    def absent(self, lookup: Lookup, own: str) -> list[tuple[str, str]]:
        """Return table and column of all that a lookup of the table `own` reads and this database lacks."""
        read = [(lookup.table, column) for column in lookup.columns] + [(own, column) for _, column in lookup.match]
        return [(table, column) for table, column in read if column not in self.catalogue.get(table, ())]

    def derived(self, name: str, lookup: Lookup, relation: Relation, path: str) -> Lookup | None:
        """Return the lookup of a derived value, or its fallback; None where nothing needs it.

        What joins on it needs it; rows in addition can do without.
        """
        reduced = self.reduced(lookup, relation.table, relation.line)
        if reduced is not None:
            return reduced if isinstance(reduced, Lookup) else Lookup("", (), reduced)
        children = self.tree.relations if relation.name == self.tree.root.name else relation.children
        if any(parent == name for child in children for _, parent in child.join):
            absent = ".".join(self.absent(lookup, relation.table)[0])
            message = f"{self.tree.file}:{relation.line}: {path} needs {absent} for {name}, on which others join"
            raise SourceChanged(f"{message}, and the source lacks it")
        return None

    def linked(self, tree: Tree) -> None:
        """Check the root's columns by which it is found and on which the top-level relations join."""
        self.present(tree.root, tree.root.name, "finding its row", tree.root.key)
        derived = {name for name, _ in tree.root.derived}
        for relation in tree.relations:
            links = [parent for _, parent in relation.join if parent not in derived]
            self.present(tree.root, tree.root.name, f"the join of {relation.name}", links)

    def known_table(self, table: str, line: int) -> None:
        if self.tree.known.get(table) is None and table not in self.catalogue:
            message = f"{self.tree.file}:{line}: the source has no table {table}"
            raise TreeError(f"{message}, nor does the tree's reference schema; {nearest(table, self.catalogue)}")

    def known_column(self, table: str, column: str, line: int) -> None:
        if column not in self.tree.known.get(table, ()):
            message = f"{self.tree.file}:{line}: the source has no column {table}.{column}"
            valid = self.catalogue[table]
            raise TreeError(f"{message}, nor does the tree's reference schema; {nearest(column, valid)}")


def _unjoined(option: Option, tree: Tree, catalogue: Catalogue) -> str | None:
    """Return the first column that an optional relation's join needs and this database lacks."""
    relation, parent = option.relation, dict(tree.walk())[option.parent]
    derived = {name for name, _ in parent.derived}
    links = [(parent.table, link) for _, link in relation.join if link not in derived]
    columns = [(relation.table, own) for own, _ in relation.join] + links
    lacking = (f"{table}.{column}" for table, column in columns if column not in catalogue.get(table, (column,)))
    return next(lacking, None)


def _tables(relation: Relation) -> Iterator[str]:
    if relation.table:
        yield relation.table
    yield from (key.lookup.table for key in relation.keys if key.lookup)
    yield from (key.elsewhere.table for key in relation.keys if key.elsewhere and key.elsewhere.table)
    yield from (lookup.table for _, lookup in relation.derived)
    for nested in (*relation.children, relation.successor):
        if nested is not None:
            yield from _tables(nested)


def _constants(relation: Relation) -> Iterator[str]:
    for path, nested in relation.walk():
        for key in nested.keys:
            if key.constant is not None and key.why:
                yield f"{path}.{key.name}: always {key.constant}, {key.why}"
