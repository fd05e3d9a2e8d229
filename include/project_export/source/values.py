"""The keys of a record as SQL: the expressions that are exported, and when the client has to act.

PostgreSQL forms nearly every value by its type. The client does what SQL cannot express, for the few records whose flag
bit is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from project_export.external import Locations
from project_export.source.names import Params, column, comma, every, named
from project_export.source.references import References, Scope
from project_export.tree import Form, Key, Ref, Relation
from project_export.tree.forms import Climb, Elsewhere, Tip
from project_export.tree.transforms import TRANSFORMS

_JSON_TYPES = ("json", "jsonb")
_L = sql.Identifier("l")

COMPACT = "compact"
"""The transform of JSON: writing the record again removes white space."""
ELSEWHERE = "elsewhere"
"""The transform of a value that is stored outside the database."""
TIP = "tip:"
"""The transform of the name of a branch, with the relation that has its repository."""
OTHER = "comes from another Git repository, which is not read"
HEAD = "head:"
"""The transform of the value for a repository without branches, with the relation that has the repository."""
BLANK = "blank"
"""The transform of a value that counts as NULL if it is only white space."""
SPACES = (
    "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))))
    + "\u2028\u2029\u202f\u205f\u3000"
)
"""White space for Ruby's String#blank?: that of Unicode."""
LOST = "a value that is stored outside the database was left out"
GONE = "the row that it names does not exist; its own columns were exported"
STRIPPED = " \\t\\n\\v\\f\\r"
"""White space for Ruby's String#strip."""

Due = tuple[int, str, str, str | None]
"""A transform: flag bit, key, name of the transform, JSON text that replaces a transformed null."""
Note = tuple[int, str, bool]
"""What is counted: flag bit, description, whether data are missing from the record."""


@dataclass(frozen=True)
class Record:
    """The record of a table row as JSON texts in UTF-8.

    text: its keys before the nested relations. after: those after them, None if there are none. source: what follows
    the table in FROM. flags: the sum of the flag bits, whose meanings are `transforms` and `noted`.
    """

    text: sql.Composable
    after: sql.Composable | None
    source: sql.Composable
    flags: sql.Composable | None
    transforms: tuple[Due, ...]
    noted: tuple[Note, ...]


class Values:
    """Makes the records of a relation's table rows.

    locations: where the client can read values that are stored outside the database. spaces: those of SPACES that the
    database's encoding has.
    """

    def __init__(self, references: References, *, locations: Locations, spaces: str = SPACES) -> None:
        self.references = references
        self.locations = locations
        self.spaces = spaces

    def record(self, relation: Relation, params: Params, more: Sequence[Ref] = ()) -> Record:
        """Return the record of a relation's rows. more: further references that are read.

        The values are in FROM, where the planner can optimise them: a subquery of the record would run for each row.
        """
        scope = self.references.of(relation)
        joined = self.references.joined(relation, params, more)
        shaped = [_Shaped(self, key, scope, params) for key in relation.keys]
        terms: list[sql.Composable] = []
        transforms: list[Due] = []
        noted: list[Note] = []
        for condition, note in self._gone(relation, scope, params):
            noted.append((1 << len(terms), note, False))
            terms.append(_flag(condition, len(terms)))
        for item in shaped:
            for condition, note in item.looks:
                noted.append((1 << len(terms), f"{item.key.name}: {note}", True))
                terms.append(_flag(condition, len(terms)))
            for condition, transform, default in item.transforms:
                transforms.append((1 << len(terms), item.key.name, transform, default))
                terms.append(_flag(condition, len(terms)))
        flags = sql.SQL("({})::int8").format(sql.SQL(" + ").join(terms)) if terms else None
        last = [item for item in shaped if item.key.last and relation.children]
        first = [item for item in shaped if item not in last]
        return Record(
            text=_json("r") if first else sql.SQL("'{}'::bytea"),
            after=_json("z") if last else None,
            source=joined + _laterally("r", first) + _laterally("z", last),
            flags=flags,
            transforms=tuple(transforms),
            noted=tuple(noted),
        )

    def link(self, name: str, relation: Relation, params: Params) -> sql.Composable:
        """Return a column or derived value as it is stored."""
        scope = self.references.of(relation)
        value = dict(relation.derived).get(name)
        if value is None:
            return column(name)
        if isinstance(value, Climb):
            return self.references.climb(value, scope, params)
        return self.raw(value, scope, params)

    def link_type(self, name: str, relation: Relation) -> str:
        """Return the type of a column or derived value."""
        scope = self.references.of(relation)
        value = dict(relation.derived).get(name)
        if value is None:
            return self.references.type_of(Ref(name), scope)
        return "_int8" if isinstance(value, Climb) else self.type_of(value, scope)

    def raw(self, form: Form, scope: Scope, params: Params) -> sql.Composable:
        """Return a form's stored value."""
        return self._chosen(form, scope, params, form=False)

    def type_of(self, form: Form, scope: Scope) -> str:
        """Return the type of a form's stored value."""
        first = form.of or form.sources[0]
        return self.references.type_read(first, scope)

    def formed(self, form: Form, scope: Scope, params: Params) -> sql.Composable:
        """Return a form's value in the form of its type."""
        return self._chosen(form, scope, params, form=True)

    def _chosen(self, chosen: Form, scope: Scope, params: Params, *, form: bool) -> sql.Composable:
        sources = [self.references.read(source, scope, params, form=form) for source in chosen.sources]
        value: sql.Composable = sql.SQL("coalesce({})").format(comma(sources)) if len(sources) > 1 else sql.SQL("NULL")
        value = sources[0] if len(sources) == 1 else value
        if chosen.of is None:
            return value
        there = self.references.value(Ref("", chosen.of.row), scope, params)
        beside = self.references.read(chosen.of, scope, params, form=form)
        return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(there, beside, value)

    def _gone(self, relation: Relation, scope: Scope, params: Params) -> list[tuple[sql.Composable, str]]:
        """Return when a row beside whose columns replace own ones is named but does not exist, with a description."""
        replacing = {form.of.row for key in relation.keys for form in key.forms if form.of is not None}
        found = []
        for row in relation.beside:
            if row.name in replacing:
                names = [match[0] for _, match in row.match if not match[0].row and len(match) == 1]
                named_by = [
                    sql.SQL("{} IS NOT NULL").format(self.references.value(ref, scope, params)) for ref in names
                ]
                gone = sql.SQL("NOT {}").format(self.references.value(Ref("", row.name), scope, params))
                found.append((every([gone, *named_by]), f"{row.name}: {GONE}"))
        return found

    def found(self, stored: Elsewhere) -> sql.Composable:
        """Return file, offset and size of a value outside the database, as JSON; file is null if nothing names it."""
        parts = [
            column(part, _L) if number % 2 else sql.Literal(part.replace("%", "%%"))
            for number, part in enumerate(stored.file)
        ]
        return sql.SQL(
            "json_build_object('location', {}::text, 'file', (SELECT {} FROM {} AS {} WHERE {}),"
            " 'offset', {}, 'size', {})"
        ).format(
            sql.Literal(stored.location),
            sql.SQL(" || ").join(parts),
            named(stored.table),
            _L,
            _matched(stored),
            column(stored.offset),
            column(stored.size),
        )

    def is_elsewhere(self, stored: Elsewhere, raw: sql.Composable, params: Params) -> sql.Composable:
        """Return the condition under which a value is outside the database."""
        if not stored.when:
            return sql.SQL("({} IS NULL AND {} IS NOT NULL)").format(raw, column(stored.offset))
        when = every(self.references.conditions(stored.when, Scope(stored.table, _L), params))
        return sql.SQL("coalesce((SELECT {} FROM {} AS {} WHERE {}), false)").format(
            when, named(stored.table), _L, _matched(stored)
        )


class _Shaped:
    """One key as SQL.

    looks: conditions under which something is counted, with its description. transforms: conditions under which the
    client transforms the value, with the transform and the JSON text that replaces a transformed null.
    """

    def __init__(self, values: Values, key: Key, scope: Scope, params: Params) -> None:
        self.key = key
        self.looks: list[tuple[sql.Composable, str]] = []
        self.transforms: list[tuple[sql.Composable, str, str | None]] = []
        self._values = values
        self._scope = scope
        self._params = params
        whens: list[sql.Composable] = []
        passed: list[sql.Composable] = []
        for conditions, form in key.cases:
            when = every(values.references.conditions(conditions, scope, params))
            whens.append(sql.SQL("WHEN {} THEN to_json({})").format(when, self._form(form, [*passed, when])))
            passed.append(sql.SQL("NOT ({})").format(when))
        expression = self._form(key.form, passed)
        if whens:
            expression = sql.SQL("CASE {} ELSE to_json({}) END").format(sql.SQL(" ").join(whens), expression)
        if key.wrap is not None:
            expression = sql.SQL("(SELECT row_to_json(w.*) FROM (SELECT {} AS {}) AS w)").format(
                expression, named(key.wrap)
            )
        if key.tip is not None:
            expression = self._tip(key.tip, expression)
        if key.head is not None:
            self.transforms.append((sql.SQL("true"), f"{HEAD}{key.head}", None))
        self.expression = expression

    def _tip(self, tip: Tip, value: sql.Composable) -> sql.Composable:
        """Return a value, or where it is NULL the name of the branch, which the client replaces by its commit."""
        stored = sql.SQL("NULL::text") if self.key.form.constant is not None else value
        branch, *same = (self._values.references.value(ref, self._scope, self._params) for ref in tip.refs)
        due = sql.SQL("({} IS NULL AND {} IS NOT NULL)").format(stored, branch)
        if same:
            here = every([sql.SQL("{} = {}").format(same[0], other) for other in same[1:]])
            self.looks.append((sql.SQL("({} AND coalesce(NOT ({}), false))").format(due, here), OTHER))
            due = sql.SQL("({} AND {})").format(due, here)
        self.transforms.append((due, f"{TIP}{tip.repository}", None))
        return sql.SQL("CASE WHEN {} THEN to_json({}::text) ELSE to_json({}) END").format(due, branch, stored)

    def _form(self, form: Form, applies: Sequence[sql.Composable]) -> sql.Composable:
        """Return the value in a form; record what the client has to do. applies: conditions under which it is used."""
        values, scope, params, key = self._values, self._scope, self._params, self.key
        if form.constant is not None:
            return sql.SQL("{}::json").format(params(form.constant))
        raw, type_name = values.raw(form, scope, params), values.type_of(form, scope)
        expression = values.formed(form, scope, params) if form.enum is None else self._named(form, raw, applies)
        if form.trim:
            expression = sql.SQL("btrim({}, {})").format(expression, sql.SQL(f"E'{STRIPPED}'"))
        if form.blank:
            expression = _unblank(raw, expression, values.spaces)
        if form.default is not None:
            expression = sql.SQL("coalesce(to_json({}), {}::json)").format(expression, params(form.default))
        if form.absent is not None:
            expression = self._or_absent(form, form.absent, expression)
        there = sql.SQL("{} IS NOT NULL").format(raw)
        transforms: list[tuple[sql.Composable, str]] = []
        if key.elsewhere is not None:
            lost = values.is_elsewhere(key.elsewhere, raw, params)
            if key.elsewhere.file and values.locations.has(key.elsewhere.location):
                found = values.found(key.elsewhere)
                expression = sql.SQL("CASE WHEN {} THEN {} ELSE to_json({}) END").format(lost, found, expression)
                transforms.append((lost, ELSEWHERE))
                there = sql.SQL("({} OR {})").format(there, lost)
            else:
                self.looks.append((every([*applies, lost]), LOST))
                if key.elsewhere.when:  # what the row holds is not the value
                    nothing = params(form.default or "null")
                    expression = sql.SQL("CASE WHEN {} THEN {}::json ELSE to_json({}) END").format(
                        lost, nothing, expression
                    )
        transform = COMPACT if form.transform is None and type_name in _JSON_TYPES else form.transform
        if transform is not None:
            of_null = transform != COMPACT and TRANSFORMS[transform].of_null
            needed: list[sql.Composable] = [] if of_null else [there]
            needed += values.references.conditions(form.when, scope, params)
            transforms.append((every(needed) if needed else sql.SQL("true"), transform))
        if form.blank:
            transforms += [(due, BLANK) for due, _ in transforms]
        for due, name in transforms:
            self.transforms.append((every([*applies, sql.SQL("({})").format(due)]), name, form.default))
        return expression

    def _or_absent(self, form: Form, absent: str, expression: sql.Composable) -> sql.Composable:
        """Return an expression, or what replaces it if the row beside does not exist."""
        first = form.sources[0]
        assert isinstance(first, Ref)
        there = self._values.references.value(Ref("", first.row), self._scope, self._params)
        replacement = self._params(absent)
        return sql.SQL("CASE WHEN {} THEN to_json({}) ELSE {}::json END").format(there, expression, replacement)

    def _named(self, form: Form, raw: sql.Composable, applies: Sequence[sql.Composable]) -> sql.Composable:
        """Return the name of an enum's code."""
        params, enum = self._params, form.enum
        assert enum is not None
        codes = [(code, name) for code, name in enum.names if code is not None]
        null = [name for code, name in enum.names if code is None]
        whens = [sql.SQL("WHEN {} THEN {}").format(params(code), params(name)) for code, name in codes]
        named: sql.Composable = sql.SQL("CASE {} {} END").format(raw, sql.SQL(" ").join(whens))
        if null:
            named = sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END").format(raw, params(null[0]), named)
        # With bound values, PostgreSQL would make an array for each row.
        unknown = sql.SQL("{} NOT IN ({})").format(raw, comma([sql.Literal(code) for code, _ in codes]))
        left = "null" if form.default is None else form.default
        self.looks.append((every([*applies, unknown]), f"a code without a name was exported as {left}"))
        return named


def _laterally(name: str, shaped: Sequence[_Shaped]) -> sql.Composable:
    """Return the lateral join that makes one row of these values."""
    if not shaped:
        return sql.SQL("")
    values = comma([sql.SQL("{} AS {}").format(s.expression, named(s.key.name)) for s in shaped])
    return sql.SQL(" CROSS JOIN LATERAL (SELECT {}) AS {}").format(values, sql.Identifier(name))


def _json(name: str) -> sql.Composable:
    """Return a row as JSON in the client's encoding, which is UTF-8. With `convert_to` a row costs 3 % more."""
    return sql.SQL("json_send(row_to_json({}.*))").format(sql.Identifier(name))


def _matched(stored: Elsewhere) -> sql.Composable:
    return every([sql.SQL("{} = {}").format(column(a, _L), column(b)) for a, b in stored.match])


def _unblank(raw: sql.Composable, value: sql.Composable, spaces: str) -> sql.Composable:
    """Return NULL for white space alone. The first character of a text nearly always decides, which is quick."""
    return sql.SQL("CASE WHEN btrim(left({0}::text, 1), {2}) <> '' OR btrim({0}::text, {2}) <> '' THEN {1} END").format(
        raw, value, sql.Literal(spaces)
    )


def _flag(condition: sql.Composable, bit: int) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} ELSE 0 END").format(condition, sql.Literal(1 << bit))
