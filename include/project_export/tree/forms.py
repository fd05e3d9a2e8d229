"""Where the values of a tree come from and what is made of them, as frozen records: references, rows beside, keys."""

from __future__ import annotations

from dataclasses import dataclass, field

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
class Order:
    """One column of a relation's order.

    raised: pairs (own column, the root's column): where they are all equal, the value counts as one more.
    """

    column: str
    descending: bool = False
    nulls_last: bool = False
    raised: tuple[tuple[str, str], ...] = ()


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
