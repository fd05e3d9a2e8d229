"""What a tree file says, as frozen records.

A tree is one root record and its relations; a relation is rows of one table under named keys, with nested relations.
Nothing here knows a database or a file; `load` makes these records from YAML, `bind` fits them to a live catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

Scalar = str | int | bool | None
Condition = tuple[str, tuple[Scalar, ...]]
"""An own column and the values that are accepted; None accepts NULL."""


@dataclass(frozen=True)
class Span:
    """A change lies after one version and at the latest in the other; None: not known.

    before: the last version that is known to be as it was. after: the first one that is known to have changed.
    """

    before: str | None
    after: str | None

    @property
    def came(self) -> str:
        """Say of something since when it is there.

        >>> Span("17.10", "18.9").came, Span("18.9", None).came, Span(None, "18.9").came
        ('came after 17.10, in 18.9 at the latest', 'came after 18.9', 'came in 18.9')
        """
        if self.before is None:
            return f"came in {self.after}"
        return f"came after {self.before}" + (f", in {self.after} at the latest" if self.after else "")

    @property
    def went(self) -> str:
        """Say of something until when it was there.

        >>> Span("13.5", "15.5").went, Span("17.3", None).went
        ('last seen in 13.5, gone in 15.5', 'last seen in 17.3')
        """
        return f"last seen in {self.before}" + (f", gone in {self.after}" if self.after else "")


@dataclass(frozen=True)
class Enum:
    """Names of integer codes. The code None names what a NULL leaves as; an unnamed NULL stays null."""

    name: str
    names: tuple[tuple[int | None, str], ...]


@dataclass(frozen=True)
class Lookup:
    """A value of another table's row: `table.column` where each (its column, own column) of `match` agrees.

    where, order: of several such rows, the first one by this order that fulfils these conditions.
    fallback: the own column that is taken when the lookup finds nothing or NULL. Without a table (which only `bind`
    makes, of a fallback that is all there is) the value is the own column itself.
    """

    table: str
    match: tuple[tuple[str, str], ...]
    column: str
    fallback: str | None = None
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the other table that are read."""
        named = [other for other, _ in self.match] + [column for column, _ in self.where]
        return (self.column, *named, *(order.column for order in self.order))


@dataclass(frozen=True)
class Elsewhere:
    """Where a value lies that is NULL in its row: in the bytes [offset, offset + size) of a file beside the database.

    offset, size: own columns; where offset is not NULL, the value is elsewhere.
    table, match: the row that names the file, as of a Lookup.
    file: the file's path in its store: text and columns of that row, in turn, beginning and ending with a text; empty
    where nothing says which file it is.
    """

    offset: str
    size: str = ""
    table: str = ""
    match: tuple[tuple[str, str], ...] = ()
    file: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the file's path."""
        return self.file[1::2]


@dataclass(frozen=True)
class Key:
    """One key of a record: where its value comes from and the form in which it leaves.

    column: own column, None for a constant or a lookup
    fallback: the own column that is taken where `column` is NULL (a lookup has its own)
    transform: name of a function of `transforms`, applied where the value is not NULL (or where column `when` is true)
    default: JSON text that stands for NULL
    blank: white space alone counts as NULL
    elsewhere: where the value may lie outside of the database: it is read there if a store is given, else counted
    wrap: the value leaves as an object with this one key
    parameter: the request's parameter of this name replaces the value
    constant: JSON text that leaves always
    last: the key stands after the nested relations
    why: why it is constant, or why a column may have no value in any record
    """

    name: str
    column: str | None = None
    fallback: str | None = None
    lookup: Lookup | None = None
    enum: Enum | None = None
    transform: str | None = None
    when: str | None = None
    default: str | None = None
    blank: bool = False
    elsewhere: Elsewhere | None = None
    wrap: str | None = None
    parameter: str | None = None
    constant: str | None = None
    last: bool = False
    why: str | None = None
    line: int = 0


@dataclass(frozen=True)
class Order:
    """One column of a relation's order."""

    column: str
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True)
class Also:
    """Rows that a top-level relation has in addition, after its own ones.

    join, where: as of a relation; the root's value may be an array, any element of which joins.
    unless: the column that says whose row it is: rows without it, and of those who have an own row, are not taken.
    best: the order by which one row of each is chosen.
    """

    join: tuple[tuple[str, str], ...]
    where: tuple[Condition, ...]
    unless: str
    best: tuple[Order, ...]


@dataclass(frozen=True)
class Relation:
    """Rows of one table, under a parent's rows.

    one: at most one record per parent, the first in order; else many
    join: pairs (own column, parent's column or derived name)
    where: pairs (own column, accepted values; None accepts NULL)
    order: empty where no parent has more than one row
    key: the columns that identify a row; by them a top-level relation is read in batches
    derived: named values that children join on and that do not leave
    also: rows that a top-level relation has in addition
    successor: another table's rows, taken for parents that have none here (a table that is being replaced)
    since: by name of a key or nested relation (the root's: a top-level one too), when it came, where that is known
    until: by name of what it has no more, when it went
    constant: JSON text that stands for the whole relation, which then has no table
    default: what leaves for a nested one without a row: JSON text by key; other keys are null, what is many is empty
    optional: whether only some databases have it
    """

    name: str
    table: str = ""
    one: bool = False
    join: tuple[tuple[str, str], ...] = ()
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    key: tuple[str, ...] = ("id",)
    keys: tuple[Key, ...] = ()
    derived: tuple[tuple[str, Lookup], ...] = ()
    children: tuple[Relation, ...] = ()
    also: tuple[Also, ...] = ()
    successor: Relation | None = None
    since: tuple[tuple[str, Span], ...] = ()
    until: tuple[tuple[str, Span], ...] = ()
    constant: str | None = None
    default: tuple[tuple[str, str], ...] | None = None
    optional: bool = False
    line: int = 0

    @property
    def links(self) -> tuple[str, ...]:
        """The columns and derived names of this relation that its children join on, each once."""
        joins = [join for child in self.children for source in child.sources for join in source.join]
        return tuple(dict.fromkeys(parent for _, parent in joins))

    @property
    def sources(self) -> tuple[Relation | Also, ...]:
        """Where its rows come from: its own join and condition, and those in addition."""
        return (self, *self.also)

    def walk(self, path: str = "") -> Iterator[tuple[str, Relation]]:
        """Yield this relation and all nested ones with their dotted paths, parents first."""
        here = f"{path}.{self.name}" if path else self.name
        yield here, self
        for child in self.children:
            yield from child.walk(here)


@dataclass(frozen=True)
class Option:
    """A relation that only some databases have, under the one at the dotted path `parent` (the root: top-level).

    needs: it is there where all of these tables are.
    """

    parent: str
    relation: Relation
    needs: frozenset[str]


@dataclass(frozen=True)
class Tree:
    """A whole tree file. `file` is for messages; `known`: its reference schema, table to column to type.

    relations: the top-level ones. optional: relations that come in addition, by `extended`.
    uncovered: dotted paths of what the application exports and the tree does not, each with the reason.
    """

    name: str
    file: str
    root: Relation
    relations: tuple[Relation, ...]
    known: dict[str, dict[str, str]] = field(default_factory=dict, compare=False)
    optional: tuple[Option, ...] = ()
    uncovered: tuple[tuple[str, str], ...] = ()

    def walk(self) -> Iterator[tuple[str, Relation]]:
        """Yield the root and every relation, nested ones too, with their dotted paths."""
        yield from self.root.walk()
        for relation in self.relations:
            yield from relation.walk()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the root and the top-level relations, in the order of the archive."""
        return (self.root.name, *(relation.name for relation in self.relations))

    def path(self, option: Option) -> str:
        """Return the dotted path of an optional relation."""
        above = "" if option.parent == self.root.name else f"{option.parent}."
        return f"{above}{option.relation.name}"

    def extended(self, options: Iterable[Option] | None = None) -> Tree:
        """Return the tree with optional relations in their places, behind the others: with all when none are given."""
        chosen = self.optional if options is None else tuple(options)

        def grown(relation: Relation, path: str) -> Relation:
            added = [option.relation for option in chosen if option.parent == path]
            children = [grown(child, f"{path}.{child.name}") for child in relation.children]
            return replace(relation, children=(*children, *added))

        tops = [grown(relation, relation.name) for relation in self.relations]
        tops += [option.relation for option in chosen if option.parent == self.root.name]
        return replace(self, relations=tuple(tops), optional=())
