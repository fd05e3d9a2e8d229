"""Where the values of a tree come from and how they are converted, as frozen records: references, keys, forms."""

from __future__ import annotations

from dataclasses import dataclass, field

Scalar = str | int | bool | None

ROOT = "root"
"""The root's row, as the row of a reference; `root.settings` is a row beside it."""


@dataclass(frozen=True)
class Ref:
    """A column: of the row itself, or of a row beside it.

    row: the name of a row beside, ROOT or `root.NAME`; empty for the row itself. column: empty for the question whether
    the row exists.
    """

    column: str
    row: str = ""

    def __str__(self) -> str:
        return ".".join(part for part in (self.row, self.column) if part)


@dataclass(frozen=True)
class Condition:
    """A condition on a column.

    test: `in`: it has one of the values (None accepts NULL); `not`: it has none of them (NULL is accepted unless None
    is one of them); `over`: it is more than the one value.
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
        """A value that fulfils the condition, the first of several; None if the condition names no such value."""
        return self.values[0] if self.test == "in" else None

    def accepts(self, value: object) -> bool:
        """Return whether a value of the column fulfils the condition."""
        if self.test == "over":
            return isinstance(value, int) and value > int(self.values[0] or 0)
        return (value in self.values) == (self.test == "in")


@dataclass(frozen=True)
class Order:
    """One column of a relation's order.

    raised: pairs (own column, the root's column): in rows where all are equal, the value counts as one more.
    """

    column: str
    descending: bool = False
    nulls_last: bool = False
    raised: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Enum:
    """Names of integer codes. The code None names NULL, which without it is exported as null."""

    name: str
    names: tuple[tuple[int | None, str], ...]


@dataclass(frozen=True)
class Beside:
    """A row of another table that belongs to a row: at most one, the first in order.

    match: pairs (its column, references: the column equals the first of them that is not NULL).
    where, order: which of several rows, by its own columns.
    name: what references call it; empty for a lookup.
    optional: without its table or columns, a database counts as one without the row.
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
        """The columns of the other table that find the row."""
        named = [other for other, _ in self.match] + [condition.column for condition in self.where]
        return (*named, *(order.column for order in self.order))


@dataclass(frozen=True)
class Activity:
    """Columns of the root with the times of the last activity.

    late: by how many seconds a time may be too early, because the application does not write each activity.
    """

    columns: tuple[str, ...]
    late: int = 0


@dataclass(frozen=True)
class Lookup:
    """A value that is looked up in another table.

    value: a column of the row found, a lookup that starts from it, or None for the number of rows.
    """

    row: Beside
    value: Ref | Lookup | None


Source = Ref | Lookup
"""Where a value comes from."""


@dataclass(frozen=True)
class Elsewhere:
    """Where a value is stored outside its row: in the bytes [offset, offset + size) of a file beside the database.

    offset, size: own columns.
    table, match: the row that names the file: pairs (its column, own column).
    when: conditions on that row under which the value is outside; without any, it is outside if offset is not NULL and
    the value is NULL.
    location: one of the tree's, where the file is.
    file: the file's path there: texts and columns of that row alternate, the first and the last is a text; empty
    if the file is not known.
    """

    offset: str
    size: str = ""
    table: str = ""
    match: tuple[tuple[str, str], ...] = ()
    location: str = ""
    file: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the other row that are read, other than those that find it."""
        return (*self.file[1::2], *(condition.column for condition in self.when))


@dataclass(frozen=True)
class Tip:
    """The last commit of a branch, which replaces NULL.

    repository: a relation of bundles. branch: names the branch. same: columns that have the same value if the branch is
    in this repository.
    """

    repository: str
    branch: Ref
    same: tuple[Ref, ...] = ()

    @property
    def refs(self) -> tuple[Ref, ...]:
        """All that it reads."""
        return (self.branch, *self.same)


@dataclass(frozen=True)
class Form:
    """A value and how it is converted, in this order.

    sources: the first that is not NULL is the value; empty with a constant.
    of: a column of a row beside: if that row exists, this is the value, even if it is NULL.
    enum, trim (removes white space at the ends), transform (of values that are not NULL, or of all: see `transforms`)
    default: JSON text that replaces NULL
    absent: JSON text that is exported if the row beside does not exist
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
        """The first source, if it is an own column."""
        first = self.sources[0] if self.sources else None
        return first.column if isinstance(first, Ref) and not first.row else None


@dataclass(frozen=True)
class Key:
    """One key of a record: where its value comes from and the form in which it is exported.

    form: how it is made, unless one of the `cases` applies: the first whose conditions the row fulfils.
    elsewhere: where the value may be stored outside the database: it is read there if a store is given, else counted
    tip: the last commit of a branch, which replaces NULL
    head: the relation of bundles whose repository's default branch is the value; the form counts if it has no branches
    wrap: the value is exported as an object with this one key
    parameter: the request's parameter of this name replaces the value
    last: the key comes after the nested relations
    why: why it is constant, or why no record may have a value
    editions: the key as editions of the application have it, by their names
    layouts: other ways to the same value, for databases of another layout, in order of preference before this one
    without: tables that a database of this layout does not have
    """

    name: str
    form: Form = field(default_factory=Form)
    cases: tuple[tuple[tuple[Condition, ...], Form], ...] = ()
    elsewhere: Elsewhere | None = None
    tip: Tip | None = None
    head: str | None = None
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
        """All forms that it may have."""
        return (self.form, *(form for _, form in self.cases))

    @property
    def column(self) -> str | None:
        """The own column that it reads first; None for a constant or a lookup."""
        return self.form.column

    @property
    def constant(self) -> str | None:
        """JSON text that is exported for every row; None if the value depends on the row."""
        return self.form.constant if not self.cases else None


@dataclass(frozen=True)
class Climb:
    """The keys of a row and of all rows above it in a hierarchy, as an array.

    start: own column that names the first row. parent: the column that names the row above. path: an array of the keys
    of all rows above and of the row itself, which may be empty; the path of the row above counts, not the row's own.
    where: conditions that each row has to fulfil. GitLab's group_members_finder.rb and traversal/linear.rb have the
    rule.
    """

    table: str
    start: str
    key: str
    parent: str
    path: str | None
    where: tuple[Condition, ...] = ()


Derived = Form | Climb
"""A named value on which relations join; it is not exported."""
