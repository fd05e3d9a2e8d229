"""One key of a record as SQL: the expression that leaves, and where the client has to look at it.

PostgreSQL forms nearly every value by its type. What SQL cannot say is done by the client, on the few records whose
flag bit is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from project_export.tree import Catalogue, Key, Lookup, Order
from project_export.tree.model import Condition, Elsewhere, Scalar

# .MS truncates microseconds, as GitLab does.
_TIME = '"T"HH24:MI:SS.MS'
_JSON_TYPES = ("json", "jsonb")
_T = sql.Identifier("t")
_L = sql.Identifier("l")

ELSEWHERE = "elsewhere"
"""What stands in the place of a transform where a value lies outside of the database."""
BLANK = "blank"
"""As ELSEWHERE, where white space alone counts as NULL."""
SPACES = (
    "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))))
    + "\u2028\u2029\u202f\u205f\u3000"
)
"""White space as Ruby's String#blank? has it: what Unicode calls so."""
LOST = "a value that is stored outside of the database was left out"

Due = tuple[int, str, str, str | None]
"""A transform: flag bit, key, name of the transform, JSON text that stands for a transformed null."""


@dataclass
class Params:
    """Collects values and gives placeholders for them."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any) -> sql.Placeholder:
        """Return the placeholder of a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


@dataclass(frozen=True)
class Flags:
    """What a row's flags mean. noted: flag bit and what is to be counted."""

    expression: sql.Composable | None
    transforms: tuple[Due, ...]
    noted: tuple[tuple[int, str], ...]


class Values:
    """Makes expressions over the row `t` of a table.

    catalogue: types of all columns. zoned: times leave with the offset of the session's zone, else as UTC with a Z.
    external: the client can read values that lie elsewhere.
    """

    def __init__(self, catalogue: Catalogue, *, zoned: bool, external: bool) -> None:
        self.external = external
        self._catalogue = catalogue
        self._zoned = zoned

    def record(self, keys: Sequence[Key], table: str, params: Params) -> tuple[sql.Composable, sql.Composable, Flags]:
        """Return the record of a row as JSON text in UTF-8, what FROM needs for it after the table, and its flags.

        The values stand in FROM, where the planner finds them: a subquery of the record's own is run for each row.
        """
        shaped = [_Shaped(self, key, table, params) for key in keys]
        terms: list[sql.Composable] = []
        transforms: list[Due] = []
        noted: list[tuple[int, str]] = []
        for item in shaped:
            for condition, note in item.looks:
                noted.append((1 << len(terms), f"{item.key.name}: {note}"))
                terms.append(_flag(condition, len(terms)))
            for condition, transform in item.transforms:
                transforms.append((1 << len(terms), item.key.name, transform, item.key.default))
                terms.append(_flag(condition, len(terms)))
        flags = sql.SQL("({})::int8").format(sql.SQL(" + ").join(terms)) if terms else None
        if not shaped:
            return sql.SQL("'{}'::bytea"), sql.SQL(""), Flags(flags, (), ())
        values = comma([sql.SQL("{} AS {}").format(s.expression, named(s.key.name)) for s in shaped])
        source = sql.SQL(" CROSS JOIN LATERAL (SELECT {}) AS r").format(values)
        record = sql.SQL("convert_to(row_to_json(r.*)::text, 'UTF8')")
        return record, source, Flags(flags, tuple(transforms), tuple(noted))

    def raw(self, name: str, table: str, derived: Mapping[str, Lookup]) -> sql.Composable:
        """Return a column or derived value as it is."""
        return self.lookup(derived[name], table, formed=False) if name in derived else column(name)

    def type_of(self, name: str, table: str, derived: Mapping[str, Lookup]) -> str:
        """Return the type of a column or derived value."""
        lookup = derived.get(name)
        if lookup is None:
            return self._catalogue[table][name]
        return self._catalogue[lookup.table or table][lookup.column]

    def formed(self, expression: sql.Composable, type_name: str) -> sql.Composable:
        """Return the expression in the form in which values of this type leave; row_to_json does the others.

        As Rails does it: what is no number or no time (infinity) is null, a float has a fraction, and years before
        Christ are counted as ISO 8601 counts them, with a year 0.
        """
        if type_name == "bytea":
            return sql.SQL("encode({}, 'hex')").format(expression)
        if type_name in ("timestamp", "timestamptz"):
            if type_name == "timestamp" and self._zoned:
                expression = sql.SQL("({} AT TIME ZONE 'UTC')").format(expression)
            return _dated(expression, _TIME + ("TZH:TZM" if self._zoned else '"Z"'))
        if type_name == "date":
            return _dated(expression, "")
        if type_name in ("float4", "float8"):
            # PostgreSQL writes an exponent where a number has more digits than its type: from 1e15, of float4 from 1e6.
            digits = "::text" if type_name == "float8" else "::text::numeric::text"
            return sql.SQL(
                "CASE WHEN {0} IN ('NaN', 'Infinity', '-Infinity') THEN NULL"
                " WHEN {0} = trunc({0}) AND abs({0}) < 1e15 THEN ({0}{1} || '.0')::json ELSE to_json({0}) END"
            ).format(expression, sql.SQL(digits))
        if type_name == "numeric":
            return sql.SQL("CASE WHEN {0} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {0} END").format(expression)
        return expression

    def lookup(self, lookup: Lookup, table: str, *, formed: bool) -> sql.Composable:
        """Return a lookup's value for a row of the table, formed by its type or raw."""
        if not lookup.table:
            return column(lookup.column)
        other = _L
        value: sql.Composable = sql.SQL("{}.{}").format(other, named(lookup.column))
        if formed:
            value = self.formed(value, self._catalogue[lookup.table][lookup.column])
        match = [sql.SQL("{}.{} = {}").format(other, named(a), column(b)) for a, b in lookup.match]
        by = comma(ordered(lookup.order, other))
        order = sql.SQL(" ORDER BY {} LIMIT 1").format(by) if lookup.order else sql.SQL("")
        found = sql.SQL("(SELECT {} FROM {} AS {} WHERE {}{})").format(
            value,
            named(lookup.table),
            other,
            sql.SQL(" AND ").join([*match, *conditions(lookup.where, _literal, other)]),
            order,
        )
        return found if lookup.fallback is None else self._else(found, lookup.fallback, table, formed=formed)

    def of_key(self, key: Key, table: str, *, formed: bool) -> tuple[sql.Composable, str]:
        """Return a key's stored value and its type."""
        if key.lookup is not None:
            return self.lookup(key.lookup, table, formed=formed), self._catalogue[key.lookup.table][key.lookup.column]
        assert key.column is not None
        type_name = self._catalogue[table][key.column]
        value = self.formed(column(key.column), type_name) if formed else column(key.column)
        if key.fallback is not None:
            value = self._else(value, key.fallback, table, formed=formed)
        return value, type_name

    def found(self, place: Elsewhere) -> sql.Composable:
        """Return where a value lies, as JSON for the client; its file is null where nothing names it."""
        other = _L
        parts = [
            sql.SQL("{}.{}").format(other, named(part)) if number % 2 else _literal(part)
            for number, part in enumerate(place.file)
        ]
        match = [sql.SQL("{}.{} = {}").format(other, named(a), column(b)) for a, b in place.match]
        return sql.SQL(
            "json_build_object('file', (SELECT {} FROM {} AS {} WHERE {}), 'offset', {}, 'size', {})"
        ).format(
            sql.SQL(" || ").join(parts),
            named(place.table),
            other,
            sql.SQL(" AND ").join(match),
            column(place.offset),
            column(place.size),
        )

    def _else(self, value: sql.Composable, fallback: str, table: str, *, formed: bool) -> sql.Composable:
        own = column(fallback)
        return sql.SQL("coalesce({}, {})").format(
            value, self.formed(own, self._catalogue[table][fallback]) if formed else own
        )


class _Shaped:
    """One key as SQL. looks: conditions under which something is counted; transforms: under which the client acts."""

    def __init__(self, values: Values, key: Key, table: str, params: Params) -> None:
        self.key = key
        self.looks: list[tuple[sql.Composable, str]] = []
        self.transforms: list[tuple[sql.Composable, str]] = []
        if key.constant is not None:
            self.expression: sql.Composable = sql.SQL("{}::json").format(params(key.constant))
            return
        raw, type_name = values.of_key(key, table, formed=False)
        expression = values.of_key(key, table, formed=True)[0] if key.enum is None else self._named(raw, params)
        if key.blank:
            expression = _unblank(raw, expression)
        if key.default is not None:
            expression = sql.SQL("coalesce(to_json({}), {}::json)").format(expression, params(key.default))
        if key.wrap is not None:
            expression = sql.SQL("(SELECT row_to_json(w.*) FROM (SELECT {} AS {}) AS w)").format(
                expression, named(key.wrap)
            )
        there = sql.SQL("{} IS NOT NULL").format(raw)
        if key.elsewhere is not None:
            lost = sql.SQL("({} IS NULL AND {} IS NOT NULL)").format(raw, column(key.elsewhere.offset))
            if values.external and key.elsewhere.file:
                found = values.found(key.elsewhere)
                expression = sql.SQL("CASE WHEN {} THEN {} ELSE to_json({}) END").format(lost, found, expression)
                self.transforms.append((lost, ELSEWHERE))
                there = sql.SQL("({} OR {})").format(there, lost)
            else:
                self.looks.append((lost, LOST))
        self.expression = expression
        transform = "compact" if key.transform is None and type_name in _JSON_TYPES else key.transform
        if transform is not None:
            due = there if key.when is None else sql.SQL("({} AND {})").format(there, column(key.when))
            self.transforms.append((due, transform))
        if key.blank:
            self.transforms += [(due, BLANK) for due, _ in self.transforms]

    def _named(self, raw: sql.Composable, params: Params) -> sql.Composable:
        """Return the name of an enum's code."""
        assert self.key.enum is not None
        codes = [(code, name) for code, name in self.key.enum.names if code is not None]
        null = [name for code, name in self.key.enum.names if code is None]
        whens = [sql.SQL("WHEN {} THEN {}").format(params(code), params(name)) for code, name in codes]
        named: sql.Composable = sql.SQL("CASE {} {} END").format(raw, sql.SQL(" ").join(whens))
        if null:
            named = sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END").format(raw, params(null[0]), named)
        unknown = sql.SQL("{} NOT IN ({})").format(raw, comma([params(code) for code, _ in codes]))
        left = "null" if self.key.default is None else self.key.default
        self.looks.append((unknown, f"a code without a name left as {left}"))
        return named


def named(name: str) -> sql.Identifier:
    """Return a quoted name; in quotes, too, psycopg takes a % for the beginning of a placeholder."""
    return sql.Identifier(name.replace("%", "%%"))


def column(name: str, row: sql.Identifier = _T) -> sql.Composable:
    """Return a column of a row, by default of `t`."""
    return sql.SQL("{}.{}").format(row, named(name))


def conditions(
    where: Sequence[Condition], value: Callable[[Scalar], sql.Composable], row: sql.Identifier = _T
) -> list[sql.Composable]:
    """Return conditions on a row; `value` makes what an accepted value is compared as."""
    found: list[sql.Composable] = []
    for name, accepted in where:
        values = [value(item) for item in accepted if item is not None]
        either = [sql.SQL("{} IN ({})").format(column(name, row), comma(values))] if values else []
        if None in accepted:
            either.append(sql.SQL("{} IS NULL").format(column(name, row)))
        found.append(sql.SQL("({})").format(sql.SQL(" OR ").join(either)))
    return found


def ordered(orders: Sequence[Order], row: sql.Identifier = _T) -> list[sql.Composable]:
    """Return what rows are ordered by."""
    forms = [(o, "{}" + " DESC" * o.descending + " NULLS LAST" * o.nulls_last) for o in orders]
    return [sql.SQL(form).format(column(order.column, row)) for order, form in forms]


def _literal(value: Scalar) -> sql.Literal:
    """Return a value in quotes, in which, too, psycopg takes a % for the beginning of a placeholder."""
    return sql.Literal(value.replace("%", "%%") if isinstance(value, str) else value)


def _unblank(raw: sql.Composable, value: sql.Composable) -> sql.Composable:
    """Return NULL for white space alone; of a long text the first character tells nearly always."""
    return sql.SQL("CASE WHEN btrim(left({0}::text, 1), {2}) <> '' OR btrim({0}::text, {2}) <> '' THEN {1} END").format(
        raw, value, sql.Literal(SPACES)
    )


def _flag(condition: sql.Composable, place: int) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} ELSE 0 END").format(condition, sql.Literal(1 << place))


def comma(items: Sequence[sql.Composable]) -> sql.Composable:
    """Join with commas."""
    return sql.SQL(", ").join(items)


def _dated(expression: sql.Composable, time_format: str) -> sql.Composable:
    return sql.SQL(
        "CASE WHEN {0} >= '0001-01-01' AND {0} < 'infinity' THEN to_char({0}, {1})"
        " WHEN {0} > '-infinity' AND {0} < 'infinity'"
        " THEN to_char(extract(year FROM {0}) + 1, 'FM0000') || to_char({0}, {2}) END"
    ).format(expression, sql.Literal("YYYY-MM-DD" + time_format), sql.Literal("-MM-DD" + time_format))
