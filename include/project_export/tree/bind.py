"""Fit a tree to a live catalogue: which layout the database has, and what it lacks.

What it lacks is an error, listed with the tree's lines, unless the version of the application explains it
(`column_since`, `column_until`) or an operator allows it. What the version explains is left out; what it may explain,
or an operator allows, is left out and reported as an omission. A key with `layouts` takes the first layout whose tables
and columns exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from project_export.errors import SourceChanged, listed
from project_export.tree.fit import Fit
from project_export.tree.forms import Climb, Lookup, Ref, Source
from project_export.tree.gaps import Gaps, LeftOut
from project_export.tree.model import UNSEEN, Also, Relation, Tree

Catalogue = Mapping[str, Mapping[str, str]]
"""table → column → type, by its pg_type.typname: int8, timestamptz, _text."""


@dataclass(frozen=True)
class BoundTree:
    """A tree that can be read from this database, the types of its columns, and what was left out.

    absent: dotted paths of the optional relations that this database does not have; nothing else is reported for them.
    untimed: dotted paths of the relations whose time of change this database does not have.
    """

    tree: Tree
    catalogue: Catalogue
    left_out: tuple[LeftOut, ...]
    absent: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()

    def relation(self, name: str) -> Relation:
        """Return the root or a top-level relation. Raises SourceChanged for an optional one that the source lacks."""
        for relation in self.tree.tops:
            if relation.name == name:
                return relation
        raise SourceChanged(f"relation {name} is optional, and the source does not have it; see `tree check`")

    def remarks(self, name: str) -> tuple[str, ...]:
        """Return remarks on a top-level relation: what its version lacks, and which keys are constant and why."""
        missing = [str(item) for item in self.left_out if item.of(name) and not item.omission]
        untimed = [path for path in self.untimed if path.partition(".")[0] == name]
        timeless = [f"{path}: its changes do not show, because the source lacks the time" for path in untimed]
        return (*missing, *timeless, *_constants(self.relation(name)))

    def omissions(self, name: str) -> tuple[str, ...]:
        """Return what a top-level relation leaves out although the source may have it."""
        return tuple(str(item) for item in self.left_out if item.of(name) and item.omission)


def tables(tree: Tree) -> frozenset[str]:
    """Return the names of all tables that the tree reads."""
    whole = tree.extended()
    named = {table for relation in whole.tops for table in _tables(relation)}
    if tree.title is not None:
        named.add(tree.title.row.table)
    return frozenset(named.union(*(option.needs for option in tree.optional)))


def bind(tree: Tree, catalogue: Catalogue, version: str = "", allowed: Iterable[str] = ()) -> BoundTree:
    """Fit the tree to the catalogue, with those of its optional relations whose tables exist.

    version: of the application whose database it is, e.g. 18.6.0-ee; the newest if empty. allowed: tables and columns
    (`table`, `table.column`) that may be absent.

    Raises SourceChanged, which lists everything that is absent without an explanation or contradicts the version.
    """
    gaps = Gaps(tree, catalogue, version, frozenset(allowed))
    there = [option for option in tree.optional if option.needs <= catalogue.keys()]
    absent = tuple(tree.path(option) for option in tree.optional if option not in there)
    for option in tree.optional:
        if option not in there and option.needs & catalogue.keys():
            gaps.partly(tree.path(option), option)
    binder = _Binder(tree.extended(there), catalogue, gaps)
    bound = binder.tree_bound()
    problems = gaps.problems()
    if problems:
        said = tree.format.described(version) if version else "the newest version"
        headline = f"the source does not have what the tree {tree.name} reads, and {said} does not explain it"
        hint = f"Is the version right ({tree.format.version_variable}), and is this the right database and schema?"
        raise SourceChanged(f"{listed(headline, problems)}\n{hint}")
    return BoundTree(bound, catalogue, gaps.left_out(), absent, tuple(binder.untimed))


class _Binder:
    def __init__(self, tree: Tree, catalogue: Catalogue, gaps: Gaps) -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.gaps = gaps
        self.root: Fit | None = None
        self.untimed: list[str] = []

    def tree_bound(self) -> Tree:
        """Return the tree with the relations, keys and layouts that the database has."""
        root = self.tree.root
        if root.table not in self.catalogue:
            message = f"{self.tree.file}:{root.line}: the source has no table {root.table}, the root of the tree"
            raise SourceChanged(f"{message}. Is this the right database, and is its schema on the search_path?")
        bound = self.relation(root, root.name)
        assert bound is not None
        self.present(root, root.name, "finding its row", root.key)
        derived = {name for name, _ in bound.derived}
        for relation in self.tree.tops[1:]:
            for source in relation.sources:
                links = [parent for _, parent in source.join if parent not in derived]
                self.present(root, root.name, f"the join of {relation.name}", links)
        return replace(
            self.tree,
            root=bound,
            title=self.title(),
            relations=tuple(map(self.top, self.tree.relations)),
            files=tuple(map(self.top, self.tree.files)),
        )

    def title(self) -> Lookup | None:
        """Return the lookup of the title; None if the database lacks what it reads. The archive does not need it."""
        title = self.tree.title
        if title is None or not isinstance(title.value, Ref):
            return None
        there = self.catalogue.get(title.row.table, {}).keys()
        return title if {*title.row.columns, title.value.column} <= there else None

    def top(self, relation: Relation) -> Relation:
        """Bind a top-level relation. Without its table it is empty: its file is that of a relation without records."""
        bound = self.relation(relation, relation.name)
        if bound is not None:
            if not relation.one and relation.table:
                self.present(relation, relation.name, "reading in batches", relation.key)
            return bound
        constant = "null" if relation.one and relation.content is None else None
        return Relation(
            relation.name, one=relation.one, constant=constant, kind=relation.kind, content=relation.content
        )

    def relation(self, relation: Relation, path: str) -> Relation | None:
        if not relation.table:
            return relation
        successor = self.successor(relation, path)
        if relation.table not in self.catalogue:
            if successor is not None:
                return successor
            self.gaps.add(path, relation.table, None, relation.line)
            return None
        self.needed(relation, path)
        fit = Fit(relation, path, self.catalogue, self.gaps, self.root)
        self.root = self.root or fit
        derived = ((name, fit.derived(name, value)) for name, value in relation.derived)
        return replace(
            relation,
            beside=fit.beside,
            either=tuple(
                conditions for conditions in relation.either if fit.fulfillable(conditions, path, relation.line)
            ),
            keys=tuple(key for key in map(fit.key, relation.keys) if key),
            derived=tuple((name, value) for name, value in derived if value is not None),
            children=tuple(child for child in (self.nested(c, relation, path) for c in relation.children) if child),
            also=tuple(also for also in relation.also if self.addition(also, relation, path)),
            successor=successor,
            changed=self.changed(relation, path),
        )

    def changed(self, relation: Relation, path: str) -> str:
        """Return how a change shows in this database. An export of everything needs no time of a change."""
        column = relation.changed_at
        known = column is None or self.catalogue[relation.table].get(column) in ("timestamp", "timestamptz")
        if not known:
            self.untimed.append(path)
        return relation.changed if known else UNSEEN

    def nested(self, child: Relation, parent: Relation, path: str) -> Relation | None:
        """Bind a nested relation; return None if its parent lacks the column on which it joins."""
        own, derived = self.catalogue[parent.table], dict(parent.derived)
        for link in (link for _, link in child.join if link not in own and link not in derived):
            self.gaps.add(f"{path}.{child.name}", parent.table, link, child.line)
            return None
        return self.relation(child, f"{path}.{child.name}")

    def successor(self, relation: Relation, path: str) -> Relation | None:
        """Bind the table that replaces a relation's, if the database has it."""
        if relation.successor is None or relation.successor.table not in self.catalogue:
            return None
        return self.relation(relation.successor, f"{path}[{relation.successor.table}]")

    def needed(self, relation: Relation, path: str) -> None:
        """Record which columns are absent that finding, choosing and ordering a relation's rows needs."""
        uses = {
            "join": [own for own, _ in relation.join],
            "where": [condition.column for condition in relation.where if not condition.ref.row],
            "order": [order.column for order in relation.order],
        }
        for use, columns in uses.items():
            self.present(relation, path, use, columns)

    def present(self, relation: Relation, path: str, use: str, columns: Iterable[str]) -> None:
        for column in columns:
            if column not in self.catalogue[relation.table]:
                self.gaps.add(path, relation.table, column, relation.line, use)

    def addition(self, also: Also, relation: Relation, path: str) -> bool:
        """Return whether additional rows can be found; record what is absent."""
        read = [own for own, _ in also.join] + [also.unless, *also.each]
        read += [order.column for order in also.best] + [own for order in also.best for own, _ in order.raised]
        for conditions in (also.where, *also.either):
            read += [condition.column for condition in conditions if not condition.ref.row]
        absent = [name for name in read if name not in self.catalogue[relation.table]]
        for name in absent:
            self.gaps.add(path, relation.table, name, relation.line, "its additional rows")
        return not absent


def _tables(relation: Relation) -> Iterator[str]:
    if relation.table:
        yield relation.table
    yield from (row.table for row in relation.beside)
    for key in relation.keys:
        for one in (key, *key.layouts):
            yield from (table for form in one.forms for source in form.sources for table in _tables_of(source))
        if key.elsewhere and key.elsewhere.table:
            yield key.elsewhere.table
    for _, value in relation.derived:
        if isinstance(value, Climb):
            yield value.table
        else:
            yield from (table for source in value.sources for table in _tables_of(source))
    for nested in (*relation.children, relation.successor):
        if nested is not None:
            yield from _tables(nested)


def _tables_of(source: Source) -> Iterator[str]:
    if isinstance(source, Lookup):
        yield source.row.table
        if source.value is not None:
            yield from _tables_of(source.value)


def _constants(relation: Relation) -> Iterator[str]:
    for path, nested in relation.walk():
        for key in nested.keys:
            if key.constant is not None and key.why:
                yield f"{path}.{key.name}: always {key.constant}, {key.why}"
