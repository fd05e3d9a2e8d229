"""What a tree file says, as frozen records.

A tree is one root record and its relations; a relation is rows of one table under named keys, with nested relations.
Nothing here knows a database or a file; `load` makes these records from YAML, `bind` fits them to a live catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

Scalar = str | int | bool | None

ROOT = "root"
"""As the row of a reference: the root's row, or a row beside it (`root.settings`)."""


@dataclass(frozen=True)
class Ref:
    """A column: of the row itself, or of one beside it.

    row: the name of a row beside, ROOT or `root.NAME`; empty for the row itself. column: empty where it is asked
    whether the row is there.
    """

    column: str
    row: str = ""

    def __str__(self) -> str:
        return ".".join(part for part in (self.row, self.column) if part)


@dataclass(frozen=True)
class Condition:
    """What a column has to be: one of the values, none of them, or more than the one.

    test: `in` (None accepts NULL), `not` (NULL is accepted unless None is among the values) or `over`.
    """

    ref: Ref
    values: tuple[Scalar, ...]
    test: str = "in"

    @property
    def column(self) -> str:
        """The column's name."""
        return self.ref.column

    @property
    def only(self) -> Scalar:
        """The value that fulfils the condition, the first of several; None where there is none to name."""
        return self.values[0] if self.test == "in" else None

    def accepts(self, value: object) -> bool:
        """Whether a value of the column fulfils the condition."""
        if self.test == "over":
            return isinstance(value, int) and value > int(self.values[0] or 0)
        return (value in self.values) == (self.test == "in")


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
class Beside:
    """A row of another table that belongs to a row: at most one, the first in order.

    match: pairs (its column, what of this row equals it: the first of these that is not NULL).
    where, order: which of several rows, by its own columns.
    name: by which references name it; empty for a lookup.
    optional: a database without its table or columns is as one without the row.
    """

    table: str
    match: tuple[tuple[str, tuple[Ref, ...]], ...]
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    name: str = ""
    optional: bool = False
    line: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the other table by which the row is found."""
        named = [other for other, _ in self.match] + [condition.column for condition in self.where]
        return (*named, *(order.column for order in self.order))


@dataclass(frozen=True)
class Lookup:
    """A value that is read where it is needed: of a row beside, or how many rows there are.

    value: a column of the row, a lookup that starts from there, or None for the number of rows.
    """

    row: Beside
    value: Ref | Lookup | None


Source = Ref | Lookup
"""Where a value comes from."""


@dataclass(frozen=True)
class Elsewhere:
    """Where a value lies that is not in its row: in the bytes [offset, offset + size) of a file beside the database.

    offset, size: own columns.
    table, match: the row that names the file: pairs (its column, own column).
    when: what that row fulfils where the value is elsewhere; without conditions it is where offset is not NULL and the
    value is.
    file: the file's path in its store: text and columns of that row, in turn, beginning and ending with a text; empty
    where nothing says which file it is.
    """

    offset: str
    size: str = ""
    table: str = ""
    match: tuple[tuple[str, str], ...] = ()
    file: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the other row that are read, besides those that find it."""
        return (*self.file[1::2], *(condition.column for condition in self.when))


@dataclass(frozen=True)
class Form:
    """A value and what is made of it, in this order.

    sources: the first that is not NULL is the value; empty with a constant.
    of: a row beside: where it is there, its column of the same name is the value, even if that is NULL.
    enum, trim (white space at the ends goes), transform (of values that are not NULL, or of all: see `transforms`)
    default: JSON text that stands for NULL
    absent: JSON text that stands for the value where the row beside, of which the value is, is not there
    blank: white space alone counts as NULL
    constant: JSON text that is always exported
    """

    sources: tuple[Source, ...] = ()
    of: Ref | None = None
    enum: Enum | None = None
    trim: bool = False
    transform: str | None = None
    when: tuple[Condition, ...] = ()
    default: str | None = None
    absent: str | None = None
    blank: bool = False
    constant: str | None = None

    @property
    def column(self) -> str | None:
        """The own column that comes first among the sources."""
        first = self.sources[0] if self.sources else None
        return first.column if isinstance(first, Ref) and not first.row else None


@dataclass(frozen=True)
class Key:
    """One key of a record: where its value comes from and the form in which it is exported.

    form: what is made of it, unless one of the `cases` applies: the first whose conditions the row fulfils.
    elsewhere: where the value may lie outside of the database: it is read there if a store is given, else counted
    wrap: the value is exported as an object with this one key
    parameter: the request's parameter of this name replaces the value
    last: the key comes after the nested relations
    why: why it is constant, or why a column may have no value in any record
    editions: by name of an edition of the application, the key as that edition has it
    layouts: other ways to the same value, for databases of another layout, in order of preference before this one
    without: tables that a database of its layout does not have
    """

    name: str
    form: Form = field(default_factory=Form)
    cases: tuple[tuple[tuple[Condition, ...], Form], ...] = ()
    elsewhere: Elsewhere | None = None
    wrap: str | None = None
    parameter: str | None = None
    last: bool = False
    why: str | None = None
    editions: tuple[tuple[str, Key], ...] = ()
    layouts: tuple[Key, ...] = ()
    without: tuple[str, ...] = ()
    line: int = 0

    @property
    def forms(self) -> tuple[Form, ...]:
        """All that may be made of it."""
        return (self.form, *(form for _, form in self.cases))

    @property
    def column(self) -> str | None:
        """The own column that it is, None for a constant or a lookup."""
        return self.form.column

    @property
    def constant(self) -> str | None:
        """JSON text that is always exported, whatever the row holds."""
        return self.form.constant if not self.cases else None


@dataclass(frozen=True)
class Order:
    """One column of a relation's order.

    raised: pairs (own column, the root's column): where they are all equal, the value counts as one more.
    """

    column: str
    descending: bool = False
    nulls_last: bool = False
    raised: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Climb:
    """The keys of a row and of all that is above it in a hierarchy, as an array.

    start: own column that names the first row. parent: the column that names the row above. path: an array with the
    keys of all rows above and of the row itself, which may be empty; the path of the row above is what counts, not its
    own. where: conditions that each row has to fulfil. For the rule see GitLab's group_members_finder.rb and
    traversal/linear.rb.
    """

    table: str
    start: str
    key: str
    parent: str
    path: str | None
    where: tuple[Condition, ...] = ()


Derived = Form | Climb
"""A named value that relations join on and that is not exported."""


@dataclass(frozen=True)
class Also:
    """Rows that a top-level relation has in addition, after its own ones.

    join, where, either: as of a relation; the root's value may be an array, any element of which joins.
    unless: the column that says whose row it is: whoever has a row among the first has none here, and if anybody has,
    rows without this column are not taken (as SQL's NOT IN has it).
    each: the columns of which each combination of values has one row: the first by `best`.
    editions: the application's editions in which it is so; in all when empty.
    """

    join: tuple[tuple[str, str], ...]
    where: tuple[Condition, ...]
    unless: str
    best: tuple[Order, ...]
    each: tuple[str, ...] = ()
    either: tuple[tuple[Condition, ...], ...] = ()
    editions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """Rows of one table, under a parent's rows.

    one: at most one record per parent, the first in order; else many
    join: pairs (own column, parent's column or derived name)
    where: conditions, all of which its rows fulfil
    either: lists of conditions, one of which its rows fulfil as well
    order: empty where no parent has more than one row
    key: the columns that identify a row; by them a top-level relation is read in batches
    beside: rows of other tables that belong to a row
    derived: named values that children join on and that are not exported
    also: rows that a top-level relation has in addition
    successor: another table's rows, taken for parents that have none here (a table that is being replaced)
    since: by name of a key or nested relation (the root's: a top-level one too), when it came, where that is known
    until: by name of what it has no more, when it went
    constant: JSON text that stands for the whole relation, which then has no table
    default: what is exported for a nested one without a row: JSON text by key; other keys are null, many are empty
    instead: what is exported for a nested one whose parent has this value in the column that joins: JSON text
    optional: whether only some databases have it
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
    line: int = 0

    @property
    def links(self) -> tuple[str, ...]:
        """The columns and derived values of this relation that its children join on, each once."""
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

    needs: tables that are there where the relation is, all of them. editions: those of the application that export it;
    all when empty.
    """

    parent: str
    relation: Relation
    needs: frozenset[str]
    editions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """A whole tree file. `file` is for messages; `known`: its reference schema, table to column to type.

    editions: those of the application that the file tells apart, the usual one first.
    column_since, column_until: by `table` or `table.column`, when it came and went.
    relations: the top-level ones. optional: relations that come in addition, by `extended`.
    uncovered: dotted paths of what the application exports and the tree does not, each with the reason.
    evidence: the file that says how its keys are known, empty where there is none; `evidence` reads it.
    """

    name: str
    file: str
    root: Relation
    relations: tuple[Relation, ...]
    known: dict[str, dict[str, str]] = field(default_factory=dict, compare=False)
    optional: tuple[Option, ...] = ()
    uncovered: tuple[tuple[str, str], ...] = ()
    editions: tuple[str, ...] = ()
    column_since: dict[str, Span] = field(default_factory=dict, compare=False)
    column_until: dict[str, Span] = field(default_factory=dict, compare=False)
    evidence: str = ""

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

    def of(self, edition: str) -> Tree:
        """Return the tree as one edition of the application exports it."""

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
            optional=tuple(replace(option, relation=chosen(option.relation)) for option in options),
        )
