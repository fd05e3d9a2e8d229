"""A tree as frozen records.

A tree is one root record and its relations; a relation makes records of the rows of one table, with named keys and
nested relations. Nothing here knows a database or a file: `load` makes a tree from YAML, `bind` fits it to a catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from project_export.formats import PLAIN, Format
from project_export.tree.content import Content, Location
from project_export.tree.forms import Activity, Beside, Condition, Derived, Key, Lookup, Order, Scalar
from project_export.tree.parameters import Parameter


@dataclass(frozen=True)
class Span:
    """When a change happened: after one version, and by another; None: not known.

    before: the last version known not to have the change. after: the first version known to have it.
    """

    before: str | None
    after: str | None

    @property
    def came(self) -> str:
        """Describe when something was added.

        >>> Span("17.10", "18.9").came, Span("18.9", None).came, Span(None, "18.9").came
        ('added after 17.10, by 18.9', 'added after 18.9', 'added in 18.9')
        """
        if self.before is None:
            return f"added in {self.after}"
        return f"added after {self.before}" + (f", by {self.after}" if self.after else "")

    @property
    def went(self) -> str:
        """Describe when something was removed.

        >>> Span("13.5", "15.5").went, Span("17.3", None).went
        ('last seen in 13.5, gone in 15.5', 'last seen in 17.3')
        """
        return f"last seen in {self.before}" + (f", gone in {self.after}" if self.after else "")


@dataclass(frozen=True)
class Also:
    """Additional table rows of a top-level relation, after its own.

    join, where, either: as in a relation; if the root's value is an array, any of its elements joins.
    unless: the column that identifies the owner of a row. Owners who have a row among the first get no additional one,
    and if there are any such owners, rows where the column is NULL are not taken (like SQL's NOT IN).
    each: for each combination of values of these columns there is one row: the first by `best`.
    editions: the application's editions that have these rows; all if empty.
    """

    join: tuple[tuple[str, str], ...]
    where: tuple[Condition, ...]
    unless: str
    best: tuple[Order, ...]
    each: tuple[str, ...] = ()
    either: tuple[tuple[Condition, ...], ...] = ()
    editions: tuple[str, ...] = ()


KINDS = ("records", "files", "bundle")
"""What a relation can be made of: rows of the source as lines of JSON, files outside the database, or Git repositories
as bundles. The first is the default."""

WITH_PARENT, UNSEEN = "with_parent", "unseen"
"""How a change of a nested row shows where no column has its time: it only changes together with its parent, which has
one; or not at all."""


@dataclass(frozen=True)
class Relation:
    """Records made of the rows of one table, under the records of a parent.

    one: at most one record per parent, the first in order; else many
    join: pairs (own column, parent's column or derived name)
    where: conditions, all of which its table rows fulfil
    either: lists of conditions, one of which its table rows fulfil as well
    order: empty if no parent has more than one row
    key: the columns that identify a row; a top-level relation is read in batches of keys
    beside: rows of other tables that belong to a row
    derived: named values on which children join; they are not exported
    also: additional table rows of a top-level relation
    successor: the table that replaces this one, read for parents that have no row here
    since: when a key or a nested relation (of the root: also a top-level one) was added, by name, where that is known
    until: when what it no longer has was removed, by name
    constant: JSON text that is the whole relation, which then has no table
    default: what a nested relation of one exports without a row: JSON text by key; other keys are null, many are empty
    instead: what a nested relation of one exports for values of the parent's join column: pairs (value, JSON text)
    optional: whether only some databases have it
    kind: what a top-level one is made of; see KINDS
    content: where the files or repositories of its rows are; None for records
    changed: the column with the time of a row's last change, WITH_PARENT or UNSEEN; a top-level relation without such a
    column is exported as a whole in every delta
    merge: the keys that identify a record of a top-level relation in an archive
    """

    name: str
    table: str = ""
    one: bool = False
    join: tuple[tuple[str, str], ...] = ()
    where: tuple[Condition, ...] = ()
    either: tuple[tuple[Condition, ...], ...] = ()
    order: tuple[Order, ...] = ()
    key: tuple[str, ...] = ("id",)
    keys: tuple[Key, ...] = ()
    beside: tuple[Beside, ...] = ()
    derived: tuple[tuple[str, Derived], ...] = ()
    children: tuple[Relation, ...] = ()
    also: tuple[Also, ...] = ()
    successor: Relation | None = None
    since: tuple[tuple[str, Span], ...] = ()
    until: tuple[tuple[str, Span], ...] = ()
    constant: str | None = None
    default: tuple[tuple[str, str], ...] | None = None
    instead: tuple[tuple[Scalar, str], ...] = ()
    optional: bool = False
    kind: str = KINDS[0]
    content: Content | None = None
    changed: str = UNSEEN
    merge: tuple[str, ...] = ()
    line: int = 0

    @property
    def links(self) -> tuple[str, ...]:
        """The columns and derived values of this relation that its children join on, each once."""
        joins = [join for child in self.children for source in child.sources for join in source.join]
        return tuple(dict.fromkeys(parent for _, parent in joins))

    @property
    def changed_at(self) -> str | None:
        """The column with the time of a row's last change; None if there is none."""
        return None if self.changed in (WITH_PARENT, UNSEEN) else self.changed

    @property
    def sources(self) -> tuple[Relation | Also, ...]:
        """Where its table rows come from: the relation itself, and additional rows."""
        return (self, *self.also)

    def walk(self, path: str = "") -> Iterator[tuple[str, Relation]]:
        """Yield this relation and all nested ones, each with its dotted path, parents first."""
        here = f"{path}.{self.name}" if path else self.name
        yield here, self
        for child in self.children:
            yield from child.walk(here)


@dataclass(frozen=True)
class Option:
    """A relation that only some databases have, under the relation at the dotted path `parent` (the root: top-level).

    needs: the tables that a database with this relation has. editions: those of the application that export it; all if
    empty.
    """

    parent: str
    relation: Relation
    needs: frozenset[str]
    editions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """A whole tree file. `file` is for messages; `known`: its reference schema, table to column to type.

    format: how its archives are written. parameters: those of a request that replace values, by name.
    title: what people call the project; messages show it, the archive does not have it.
    activity: what shows when somebody last worked on the project; None if the tree does not say.
    editions: those of the application that the file distinguishes, the usual one first.
    column_since, column_until: when a table or column was added and removed, by `table` or `table.column`.
    relations: the top-level ones that have records. files: those that have files or repositories.
    locations: where these and values outside the database can be, by name. optional: additional relations, see
    `extended`.
    uncovered: dotted paths of what the application exports and the tree does not, each with the reason.
    evidence: the file that says how its keys are known, empty if there is none; the module `evidence` reads it.
    """

    name: str
    file: str
    root: Relation
    relations: tuple[Relation, ...]
    format: Format = PLAIN
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    known: dict[str, dict[str, str]] = field(default_factory=dict, compare=False)
    files: tuple[Relation, ...] = ()
    locations: Mapping[str, Location] = field(default_factory=dict)
    optional: tuple[Option, ...] = ()
    uncovered: tuple[tuple[str, str], ...] = ()
    title: Lookup | None = None
    activity: Activity | None = None
    editions: tuple[str, ...] = ()
    column_since: dict[str, Span] = field(default_factory=dict, compare=False)
    column_until: dict[str, Span] = field(default_factory=dict, compare=False)
    evidence: str = ""

    def walk(self) -> Iterator[tuple[str, Relation]]:
        """Yield the root and every relation with records, including nested ones, each with its dotted path."""
        yield from self.root.walk()
        for relation in self.relations:
            yield from relation.walk()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the root and the top-level relations with records, in the order of the archive."""
        return (self.root.name, *(relation.name for relation in self.relations))

    @property
    def tops(self) -> tuple[Relation, ...]:
        """The root and all top-level relations, of every kind, in the order of the archive."""
        return (self.root, *self.relations, *self.files)

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of all that is exported: of the root and the top-level relations of every kind."""
        return tuple(relation.name for relation in self.tops)

    def relation(self, name: str) -> Relation:
        """Return the root or a top-level relation, an optional one too. Raises KeyError."""
        optional = (option.relation for option in self.optional if option.parent == self.root.name)
        return {relation.name: relation for relation in (*self.tops, *optional)}[name]

    def path(self, option: Option) -> str:
        """Return the dotted path of an optional relation."""
        above = "" if option.parent == self.root.name else f"{option.parent}."
        return f"{above}{option.relation.name}"

    def extended(self, options: Iterable[Option] | None = None) -> Tree:
        """Return the tree with these optional relations, after the others of their parents. options: all if None."""
        chosen = self.optional if options is None else tuple(options)

        def grown(relation: Relation, path: str) -> Relation:
            added = [option.relation for option in chosen if option.parent == path]
            children = [grown(child, f"{path}.{child.name}") for child in relation.children]
            return replace(relation, children=(*children, *added))

        tops = [grown(relation, relation.name) for relation in self.relations]
        tops += [option.relation for option in chosen if option.parent == self.root.name]
        return replace(self, relations=tuple(tops), optional=())

    def of(self, edition: str) -> Tree:
        """Return the tree for one edition of the application."""

        def chosen(relation: Relation) -> Relation:
            keys = tuple(dict(key.editions).get(edition, key) for key in relation.keys)
            also = tuple(also for also in relation.also if not also.editions or edition in also.editions)
            successor = relation.successor and chosen(relation.successor)
            children = tuple(map(chosen, relation.children))
            return replace(relation, keys=keys, also=also, successor=successor, children=children)

        options = (o for o in self.optional if not o.editions or edition in o.editions)
        return replace(
            self,
            root=chosen(self.root),
            relations=tuple(map(chosen, self.relations)),
            files=tuple(map(chosen, self.files)),
            optional=tuple(replace(option, relation=chosen(option.relation)) for option in options),
        )
